"""Overrides, `--set PATH=VALUE`: of a scenario that is run or forked, and of one that is resumed."""

from __future__ import annotations

import copy
import re
from typing import Any

import attrs
import orjson
from attrs import evolve, field, frozen

from pyscrai_language import yaml
from pyscrai_language.document import RECORDED, Document, Mark
from pyscrai_language.lookalikes import normalize
from pyscrai_language.misfit import Path, dotted
from pyscrai_language.values import mistyped
from pyscrai_records.base.suggest import did_you_mean, format_value, there_is_no
from pyscrai_records.canonical import check_json
from pyscrai_records.errors import ConfigError, Mistake, ScenarioError

from .model import DEFAULT_USES, CallPolicy
from .spec import AGENT_KEYS

#: The options of a provider that say how it may be called; another value changes no answer.
_ACCESS = {option.name for option in attrs.fields(CallPolicy)}

#: The mappings in which a mistyped key would be a new one without a word, and what their keys are.
_NAMED = {
    ("groups",): "group",
    ("world", "state"): "key",
    ("agents", "*", "state"): "key",
    ("groups", "*", "state"): "key",
    ("agents", "*", "vary"): "variable",
}


@frozen
class Override:
    """An override: the dotted path as it was given, the value, its text, and the keys of the path."""

    path: str = field(converter=normalize)
    value: Any
    text: str
    keys: tuple[str, ...] = field(init=False)

    @keys.default
    def _split(self) -> tuple[str, ...]:
        # `goals[0]` is how messages write it, `goals.0` how it is typed more easily.
        path = re.sub(r"\[(\d+)\]", r".\1", self.path)
        # What a rule sets is a path itself, and one key of the rule.
        if found := re.match(r"(rules)\.(\d+)\.(set|add)\.(.+)", path):
            return found.groups()
        keys = tuple(path.split("."))
        if not all(keys):
            what = "expected PATH=VALUE, such as agents.Mara.goals=[win]"
            raise ScenarioError([Mistake(self.flag, "", what)])
        # An outcome or a measure is set as a whole: what dots there are belong to its name.
        whole = keys[0] in ("outcomes", "measures") and keys[1:]
        return (keys[0], self.path.removeprefix(f"{keys[0]}.")) if whole else keys

    @classmethod
    def parse(cls, path: str, text: str) -> Override:
        """An override from a command line, whose value is YAML. Raises `ScenarioError`."""
        override = cls(path, None, text)
        try:
            return evolve(override, value=yaml.parse_scalar(text))
        except ScenarioError as error:
            raise override._error(error.mistakes[0].what) from None

    @classmethod
    def of(cls, path: str, value: Any) -> Override:
        """An override from Python, whose value is taken as it is. Raises `ScenarioError`."""
        try:
            value = check_json(normalize(value), path)
        except ValueError as error:
            raise ScenarioError([Mistake("--set", "", f"{error}; give plain data, as JSON is")]) from None
        return cls(path, value, value if isinstance(value, str) else orjson.dumps(value).decode())

    @property
    def flag(self) -> str:
        return f"--set {self.path}={self.text}"

    @property
    def inside_agent(self) -> bool:
        return self.keys[0] == "agents" and len(self.keys) > 2 and self.keys[2] != "template"

    @property
    def has_expression(self) -> bool:
        """Whether it sets an expression, of those that a resume can change."""
        return self.keys[0] in ("outcomes", "measures", "tables", "rules") or self.keys[-1] == "when"

    def apply(self, document: Document) -> None:
        """Set the value. Raises `ScenarioError` if there is no such place."""
        mark = Mark(self.flag)
        path: Path = ()
        node = document.value
        keys = self._keys_in(document)
        for key in keys[:-1]:
            step, inner = self._enter(node, key)
            self._check_new(path, node, step)
            path = (*path, step)
            if inner is None:
                if len(path) == 2 and path[0] == "agents":
                    raise self._error(there_is_no("agent", key, document.value["agents"]))
                inner = DEFAULT_USES.get(key, {}) if len(path) in (1, 3) else {}
            if isinstance(inner, str) and _takes_use(path):
                inner = {"use": inner}  # a bare name is short for {use: name}
            if not isinstance(inner, (dict, list)):
                raise self._error(f"{dotted(path)} is {format_value(inner)} and has no keys")
            node[step] = inner
            document.mark_if_new(path, mark)
            node = inner
        step, _ = self._enter(node, keys[-1])
        self._check_new(path, node, step)
        document.put((*path, step), copy.deepcopy(self.value), mark)

    def check_resumable(self) -> None:
        """Raise `ConfigError` unless a resume can change this, which has to leave all events as they are.

        A rule or a guard that failed made no event, so it can be corrected. If it made others before, and the
        new one makes different ones, the execution diverges, and says so.
        """
        match self.keys:
            case ["outcomes" | "measures", _] | ["tables", *_]:
                return
            case ["limits", _] | ["agents", _, "limits", _] | ["rules", *_]:
                return
            case ["agents", _, "actions", _, "when"] | ["agents", _, "on_error"]:
                return
            case ["providers", _, key, *below] if key in _ACCESS and len(below) <= 1:
                return
        raise ConfigError(
            f"--set {self.path}: a resume cannot change that; expected limits.NAME, agents.NAME.limits.NAME, "
            "outcomes.NAME, measures.NAME, tables.NAME, rules[N].KEY, agents.NAME.actions.NAME.when, "
            "agents.NAME.on_error, or providers.NAME.KEY with one of "
            f"{', '.join(sorted(_ACCESS))}; for another story: pyscrai fork RUN --at SEQ --set …"
        )

    def apply_to_recorded(self, scenario: dict[str, Any]) -> None:
        """Set the value in the scenario of a run that is resumed. Raises `InputError` if it cannot be set."""
        self.check_resumable()
        part, name = (*self.keys, "")[:2]
        known = scenario.get(part, {})
        # A recorded scenario has the agents of a population one by one.
        members = [one for one in known if part == "agents" and re.fullmatch(rf"{re.escape(name)}-\d+", one)]
        if name not in known and members:
            for member in members:
                path = self.path.replace(f"agents.{name}", f"agents.{member}", 1)
                evolve(self, path=path).apply(Document.at(scenario, RECORDED))
            return
        if part not in ("limits", "rules") and name not in known:
            what = f"there is no {part.removesuffix('s')} {name!r}{did_you_mean(name, known)}"
            raise ConfigError(f"--set {self.path}: {what}; the run's: {', '.join(known) or 'none'}")
        self.apply(Document.at(scenario, RECORDED))

    def _keys_in(self, document: Document) -> tuple[str, ...]:
        """The keys; an option of an engine leads to where the agent has it, beside `engine` or in it."""
        agent = document.value["agents"].get(self.keys[1]) if self.inside_agent else None
        if not isinstance(agent, dict):
            return self.keys
        engine = agent.get("engine")
        if self.keys[2] == "engine" and len(self.keys) > 3 and self.keys[3] in agent:
            return (*self.keys[:2], *self.keys[3:])
        if isinstance(engine, dict) and self.keys[2] in engine.keys() - agent.keys() - AGENT_KEYS:
            return (*self.keys[:2], "engine", *self.keys[2:])
        return self.keys

    def _enter(self, node: Any, key: str) -> tuple[str | int, Any]:
        if isinstance(node, list):
            if not key.isdecimal() or int(key) >= len(node):
                expected = f"expected 0 to {len(node) - 1}" if node else "give the whole list"
                raise self._error(f"{key!r} is not a position in a list of {len(node)}; {expected}")
            return int(key), node[int(key)]
        return key, node.get(key)

    def _check_new(self, path: Path, node: Any, key: str | int) -> None:
        """Raise `ScenarioError` for a new group, or a new key of a state, that is like an existing one."""
        kind = next((kind for place, kind in _NAMED.items() if _is_at(path, place)), "")
        if not kind or not isinstance(node, dict) or key in node:
            return
        if meant := mistyped(str(key), node):
            where = f" in {dotted(path)}" if path[1:] else ""
            what = f"there is no {kind} {key!r}{where}; did you mean {meant!r}?"
            raise self._error(f"{what} If it is to be a new one, write it into the scenario")

    def _error(self, what: str) -> ScenarioError:
        return ScenarioError([Mistake(self.flag, self.path, what)])


def _is_at(path: Path, place: tuple[str, ...]) -> bool:
    return len(path) == len(place) and all(one in ("*", key) for key, one in zip(path, place, strict=True))


def _takes_use(path: Path) -> bool:
    """Whether an extension is chosen at this place, so that a bare name is short for a mapping."""
    if path[0] == "agents":
        return len(path) > 2 and path[2] in ("engine", "reasoning", "memory", "tools")
    return path == ("schedule",) or (path[0] == "providers" and len(path) == 2)
