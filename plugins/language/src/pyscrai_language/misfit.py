"""What is wrong with a value, a schema or a template, and where inside it.

It is a `ValueError` that stays inside the kernel: who reads a scenario turns it into a mistake with a place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

#: A place in nested data: the keys and the indices that lead to it.
Path: TypeAlias = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """A path as people write it: `agents.Mara.goals[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class Misfit(ValueError):
    """A value is not what is expected; `below` is where inside it, `on_key` whether its key is at fault."""

    def __init__(self, what: str, below: Path = (), on_key: bool = False) -> None:
        super().__init__(what)
        self.below = below
        self.on_key = on_key

    @property
    def found(self) -> Sequence[Misfit]:
        """The misfits, one by one."""
        return (self,)

    def under(self, path: Path) -> Misfit:
        """The same, as seen from a value that has this one at `path`."""
        return Misfit(str(self), (*path, *self.below), self.on_key)


class Misfits(Misfit):
    """Several of them."""

    def __init__(self, found: Iterable[Misfit]) -> None:
        self._found = tuple(found)
        super().__init__("; ".join(map(str, self._found)))

    @property
    def found(self) -> Sequence[Misfit]:
        return self._found
