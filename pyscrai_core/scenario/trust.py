"""What a scenario may only do with a person's approval, and the approvals that were given.

A scenario is data. It demands more than that by naming paths outside of its folder, foreign hosts, secrets,
modules or programs. These demands are shown in full, and approved once for exactly this content, as direnv
does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ..canonical import canonical, digest
from ..errors import TrustRequired


class Demands:
    """The demands of one scenario, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], None] = {}
        #: The hash of the scenario's file, where it comes from one.
        self.written = ""

    def add(self, what: str, value: str) -> None:
        self._found[what, value] = None

    def __iter__(self) -> Iterator[str]:
        return (f"{what}: {value}" for what, value in self._found)

    def __len__(self) -> int:
        return len(self._found)


def hash_content(document: object, files: dict[str, str], demands: Demands) -> str:
    """The hash that an approval is remembered under: it is another one when content or demands change.

    Where the scenario comes from a file, its content is that file, so that another seed needs no approval.
    """
    return digest(canonical([demands.written or document, files, list(demands)]))


def require_approval(
    where: str,
    demands: Demands,
    content: str,
    *,
    trusted: bool,
    ask: Callable[[str], bool] | None = None,
) -> None:
    """Return if nothing is demanded or a person approves of it; else raise `TrustRequired`.

    `content` is the hash of the scenario, `trusted` an approval given beforehand (`--trust`), and `ask` asks
    a person now (None: nobody can be asked).
    """
    if not demands or trusted:
        return
    approvals = _approvals_file()
    if approvals.exists() and content in approvals.read_text().split():
        return
    listed = "\n".join(f"  - {demand}" for demand in demands)
    if ask is None:
        raise TrustRequired(
            f"{where}: this scenario needs your approval to:\n{listed}\nread the scenario, then add --trust"
        )
    if not ask(f"{where} needs your approval to:\n{listed}\nApprove, and remember that for this content?"):
        raise TrustRequired(f"{where}: you did not approve it; nothing was run")
    approvals.parent.mkdir(parents=True, exist_ok=True)
    with approvals.open("a") as file:
        file.write(content + "\n")


def _approvals_file() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "pyscrai" / "trusted"
