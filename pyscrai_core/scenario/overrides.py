"""Overrides: `--set PATH=VALUE`."""

from __future__ import annotations

import copy
import re
from typing import Any

from attrs import frozen

from ..errors import Mistake, ScenarioError
from ..language.templates import guess
from . import yaml
from .document import Document, Mark, Path, dotted, few
from .model import DEFAULT_USES
from .structure import shown


@frozen
class Override:
    """One `--set PATH=VALUE`: the path's keys, and the value."""

    flag: str
    path: str
    keys: tuple[str, ...]
    value: Any

    @classmethod
    def read(cls, path: str, text: str) -> Override:
        """Raises `ScenarioError`."""
        flag = f"--set {path}={text}"
        # `goals[0]` is how messages write it, `goals.0` how it is typed more easily.
        keys = tuple(re.sub(r"\[(\d+)\]", r".\1", path).split("."))
        if not all(keys):
            raise ScenarioError([Mistake(flag, "", "expected PATH=VALUE, such as agents.Mara.goals=[win]")])
        try:
            value = yaml.parse_scalar(text)
        except ScenarioError as error:
            raise ScenarioError([Mistake(flag, path, error.mistakes[0].what)]) from None
        return cls(flag, path, keys, value)

    @property
    def inside_agent(self) -> bool:
        return self.keys[0] == "agents" and len(self.keys) > 2 and self.keys[2] != "template"

    def apply(self, document: Document) -> None:
        """Set the value. Raises `ScenarioError` if there is no such place."""
        mark = Mark(self.flag)
        path: Path = ()
        node = document.value
        keys = self._keys_in(document)
        for key in keys[:-1]:
            step, inner = self._enter(node, key)
            path = (*path, step)
            if inner is None:
                if len(path) == 2 and path[0] == "agents":
                    near = guess(key, document.value["agents"])
                    raise self._error(
                        f"there is no agent {key!r}{near}; agents: {few(document.value['agents'])}"
                    )
                inner = DEFAULT_USES.get(key, {}) if len(path) in (1, 3) else {}
            if isinstance(inner, str) and _takes_use(path):
                inner = {"use": inner}  # a bare name is short for {use: name}
            if not isinstance(inner, (dict, list)):
                raise self._error(f"{dotted(path)} is {shown(inner)} and has no keys")
            node[step] = inner
            document.mark_if_new(path, mark)
            node = inner
        step, _ = self._enter(node, keys[-1])
        document.put((*path, step), copy.deepcopy(self.value), mark)

    def _keys_in(self, document: Document) -> tuple[str, ...]:
        """The keys; an option of an engine leads to where the agent has it, beside `engine` or in it."""
        if not self.inside_agent:
            return self.keys
        agent = document.value["agents"].get(self.keys[1])
        engine = agent.get("engine") if isinstance(agent, dict) else None
        if agent is None:
            return self.keys
        if self.keys[2] == "engine" and len(self.keys) > 3 and self.keys[3] in agent:
            return (*self.keys[:2], *self.keys[3:])
        if isinstance(engine, dict) and self.keys[2] in engine.keys() - agent.keys():
            return (*self.keys[:2], "engine", *self.keys[2:])
        return self.keys

    def _enter(self, node: Any, key: str) -> tuple[str | int, Any]:
        if isinstance(node, list):
            if not key.isdecimal() or int(key) >= len(node):
                expected = f"expected 0 to {len(node) - 1}" if node else "give the whole list"
                raise self._error(f"{key!r} is no position in a list of {len(node)}; {expected}")
            return int(key), node[int(key)]
        return key, node.get(key)

    def _error(self, what: str) -> ScenarioError:
        return ScenarioError([Mistake(self.flag, self.path, what)])


def _takes_use(path: Path) -> bool:
    """Whether an extension is chosen at this place, so that a bare name is short for a mapping."""
    if path[0] == "agents":
        return len(path) > 2 and (path[2] in ("engine", "reasoning", "memory") or path[2] == "tools")
    return path == ("schedule",) or (path[0] == "providers" and len(path) == 2)
