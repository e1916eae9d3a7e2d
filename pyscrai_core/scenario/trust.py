"""What a scenario may only do with a person's approval, and the approvals that were given.

A scenario is data. It demands more than that by naming paths outside of its folder, foreign hosts, secrets,
modules or programs. These demands are shown in full, and approved once for exactly this content, as direnv
does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from ..errors import TrustRequired


def require_approval(
    where: str,
    demands: Collection[str],
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
