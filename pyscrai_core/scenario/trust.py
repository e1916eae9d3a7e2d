"""What a scenario wants beyond being data, and a person's yes to it.

Paths outside of its folder, foreign hosts, names of secrets, modules and programs are demands. They are
shown in full and asked for once; the yes is remembered for exactly this content, as direnv does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import TrustRequired
from ..records import canonical, digest


class Demands:
    """The demands of one scenario, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], None] = {}
        #: The hash of the scenario's file as it is written, where it comes from one.
        self.written = ""

    def add(self, what: str, value: str) -> None:
        self._found[what, value] = None

    def __iter__(self) -> Iterator[str]:
        return (f"{what}: {value}" for what, value in self._found)

    def __len__(self) -> int:
        return len(self._found)


def _register() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "pyscrai" / "trusted"


def key(document: object, files: dict[str, str], demands: Demands) -> str:
    """The hash that a yes is remembered under: any change of the content or of the demands asks again.

    Where the scenario comes from a file, its content is that file, so that another seed asks nothing.
    """
    return digest(canonical([demands.written or document, files, list(demands)]))


def check(
    where: str,
    demands: Demands,
    content: str,
    *,
    trusted: bool,
    ask: Callable[[str], bool] | None = None,
) -> None:
    """Return if nothing is demanded or a person agrees; else raise `TrustRequired`.

    `content` is the `key` of the scenario, `trusted` a yes given beforehand (`--trust`), `ask` how a person
    can be asked now (None: nobody is there).
    """
    if not demands or trusted:
        return
    register = _register()
    if register.exists() and content in register.read_text().split():
        return
    wanted = "\n".join(f"  - {demand}" for demand in demands)
    if ask is not None:
        if ask(f"{where} wants to:\n{wanted}\nAllow it, and remember that for this content?"):
            register.parent.mkdir(parents=True, exist_ok=True)
            with register.open("a") as file:
                file.write(content + "\n")
            return
        raise TrustRequired(f"{where}: you did not allow it; nothing was run")
    raise TrustRequired(
        f"{where}: it wants to do what needs a person's yes:\n{wanted}\nread it, then add --trust"
    )
