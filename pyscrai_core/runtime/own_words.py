"""An agent speaks for itself alone: its own name as a prefix goes, and so do lines of other agents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from attrs import frozen

from ..errors import AnswerRejected

#: What may stand before a name at the beginning of a line: space, quotation marks, brackets, Markdown.
_BEFORE = r"""[ \t>*_#"'“„«\[(-]*"""
#: What stands between a name and the words: perhaps who is addressed, and a colon.
_AFTER = r"[*_]*[ \t]*(?:\([^)\n]{0,80}\))?[*_]*[ \t]*[:：][*_]*[ \t]*"


@frozen
class OwnWords:
    """Finds lines that begin with the name of the agent `name`, or of another one."""

    name: str
    own: re.Pattern[str]
    others: re.Pattern[str] | None

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, name: str, agents: tuple[str, ...]) -> OwnWords:
        """For the agent `name` among the scenario's `agents`."""
        others = [one for one in agents if one != name]
        return cls(name, _lines_of([name]), _lines_of(others) if others else None)

    def of_text(self, text: str) -> str:
        """What the agent says itself. Raises `AnswerRejected` if the text begins with another one's line."""
        if self.others is None:
            return self._without_name(text)
        rest = text
        if begun := self.own.match(rest.lstrip()):
            rest = rest.lstrip()[begun.end() :]
        found = self.others.search(rest)
        if found is None:
            return self._without_name(text)
        before = rest[: found.start()]
        if not before.strip():
            raise AnswerRejected(
                f"it begins with a line of {found['name']}; answer as {self.name}, and for nobody else"
            )
        return self._without_name(before).rstrip()

    def _without_name(self, text: str) -> str:
        return self.own.sub("", text)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A structured answer with its texts changed. Texts in lists are left as they are: they may be names."""
    if isinstance(value, dict):
        return {key: change(one) if isinstance(one, str) else map_texts(one, change)
                for key, one in value.items()}  # fmt: skip
    if isinstance(value, list):
        return [one if isinstance(one, str) else map_texts(one, change) for one in value]
    return value


def _lines_of(names: Iterable[str]) -> re.Pattern[str]:
    listed = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"^{_BEFORE}(?P<name>{listed}){_AFTER}", re.IGNORECASE | re.MULTILINE)
