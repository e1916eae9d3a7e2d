"""From a resolved document to a `Scenario`: every key and every name is checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from pyscrai_language.document import Document, Mistakes
from pyscrai_language.expressions import Expression
from pyscrai_language.misfit import Misfit, Path, dotted
from pyscrai_language.schemas import check_schema, relocate_refs
from pyscrai_records.base.frozen import freeze
from pyscrai_records.base.suggest import did_you_mean, expected, list_some, there_is_no
from pyscrai_records.canonical import canonical, check_json
from pyscrai_records.records import EVERYONE

from ..agent import Action, Agent, ToolUse, Use
from .model import (
    COMMON_KINDS,
    KERNEL_KINDS,
    KERNEL_OPTIONS,
    KIND,
    RULE_NAMES,
    RUN_NAMES,
    Assignment,
    Group,
    Limits,
    ProviderUse,
    Rule,
    Scenario,
)
from .quantities import ROW_NAMES, Quantity, QuantitySpec, Table, TableSpec
from .resolve import NAME
from .spec import AGENT_KEYS, AgentSpec, GroupSpec, RuleSpec, ScenarioSpec, WorldSpec
from .structure import Structurer

T = TypeVar("T")

#: Keys of an action that are not parameters, with the type that tells them apart.
ACTION_KEYS = {"when": str, "description": str, "audience": (str, list)}
#: What these keys take, in words.
_ACTION_KEYS = {
    "when": "an expression, as text",
    "description": "a text",
    "audience": "a name or a list of names",
}


class Builder:
    """Builds the scenario that a resolved document describes, or only its providers.

    What does not fit is noted in `mistakes` and left out of the scenario, which is then not to be run. It
    is only used to look for further mistakes. None of these may be a mere consequence of another.
    """

    def __init__(self, document: Document, structurer: Structurer, mistakes: Mistakes) -> None:
        self._structurer = structurer
        self._mistakes = mistakes
        self._document = document.value
        self._place = document.place
        self._spec = self._read(ScenarioSpec, document.value, (), scenario="-", agents={})
        self._world = self._read(WorldSpec, self._spec.world, ("world",))
        self._names = {EVERYONE, *self._spec.agents, *self._spec.groups}
        #: Whether the names of groups are known, so that a name can be checked.
        self._known_groups = isinstance(document.value.get("groups", {}), dict)
        #: The actions of each text of `actions:`; the members of a population have one.
        self._actions: dict[bytes, dict[str, Action]] = {}

    def _read(self, kind: type[T], value: Any, path: Path, /, **instead: Any) -> T:
        """`value` as a `kind`, without what does not fit; `instead` has the fields without a default."""
        try:
            return self._structurer.structure(value, kind)
        except Misfit as error:
            self._mistakes.note(path, error.found)
            unfit = {misfit.below[0] for misfit in error.found if misfit.below}
        fit = (
            {key: part for key, part in value.items() if key not in unfit} if isinstance(value, dict) else {}
        )
        return self._read(kind, {**instead, **fit}, path)  # now its validators may refuse more

    def scenario(self) -> Scenario:
        spec = self._spec
        if not spec.scenario.strip():
            self._mistakes.add(("scenario",), "expected a name, got an empty one; name the scenario")
        with self._mistakes.at("seed"):
            check_json(spec.seed, "seed")
        if any(mark in self._world.premise for mark in ("{{", "{%")):
            what = (
                "it is told as it is written, and is no template; expected plain text: prompts show the state"
            )
            self._mistakes.add(
                ("world", "premise"), f"{what}, and personas and goals can use `{{{{ NAME }}}}`"
            )
        for kind, schema in spec.events.items():
            with self._mistakes.at("events", kind):
                _check_kind(kind)
                if not isinstance(schema, dict):
                    raise Misfit(expected("the JSON Schema of the event's payload", schema))
                check_schema(schema)
        groups = self._groups()
        return Scenario(
            name=spec.scenario,
            description=spec.description,
            seed=spec.seed,
            plugins=spec.plugins,
            premise=self._world.premise,
            state=self._world.state,
            providers=self.providers(),
            agents=self._agents(groups),
            groups=groups,
            events=spec.events,
            rules=self._rules(),
            schedule=spec.schedule,
            stop_when=self._expression(spec.stop_when, RUN_NAMES, "stop_when"),
            limits=self._read(Limits, spec.limits, ("limits",)),
            outcomes=self._quantities(spec.outcomes, RUN_NAMES, "outcomes"),
            measures=self._quantities(spec.measures, RUN_NAMES, "measures"),
            tables=self._tables(),
            document=self._document,
        )

    def _expression(self, text: Any, names: tuple[str, ...], *path: str | int) -> Expression | None:
        if text is None:
            return None
        with self._mistakes.at(*path):
            if not isinstance(text, str):
                raise Misfit(expected("an expression, as text", text))
            return Expression(text, names)
        return None

    # -- outcomes, measures, tables --

    def _quantities(
        self, given: Mapping[str, Any], names: tuple[str, ...], *path: str
    ) -> dict[str, Quantity]:
        """What is measured: expressions, or mappings with the expression as `value`."""
        quantities = {}
        for name, one in given.items():
            short = not isinstance(one, dict)
            if short and not isinstance(one, str):
                what = expected("an expression, as text, or a mapping {value: …, kind: …}", one)
                self._mistakes.add((*path, name), what)
                continue
            spec = self._read(QuantitySpec, {"value": one} if short else one, (*path, name), value="null")
            below = () if short else ("value",)
            if path == ("outcomes",) and name.startswith(("measures.", "tables.")):
                what = "its name begins as those of measures and tables do; change it"
                self._mistakes.add((*path, name), what)
            if path != ("measures",) and spec.every != 1:
                self._mistakes.add((*path, name, "every"), "only a measure has `every`; leave it out")
            expression = self._expression(spec.value, names, *path, name, *below)
            if expression is not None:
                fields = (spec.kind, spec.unit, spec.levels, spec.every, spec.expected)
                quantities[name] = Quantity(expression, *fields)
        return quantities

    def _tables(self) -> dict[str, Table]:
        tables = {}
        for name, given in self._spec.tables.items():
            path = ("tables", name)
            if not NAME.fullmatch(name):
                what = f"{name!r} is not a valid name for a table; choose a plain word"
                self._mistakes.add(path, what, on_key=True)
            spec = self._read(TableSpec, given, path, rows="steps", columns={})
            rows, _, kind = spec.rows.partition(".")
            if rows not in ROW_NAMES or (kind and rows != "events"):
                kinds = f"{', '.join(ROW_NAMES)} or events.KIND"
                self._mistakes.add((*path, "rows"), expected(kinds, spec.rows))
                continue
            names = (*RUN_NAMES, *ROW_NAMES[rows])
            tables[name] = Table(
                rows,
                self._quantities(spec.columns, names, *path, "columns"),
                self._expression(spec.when, names, *path, "when"),
                kind,
            )
        return tables

    # -- providers, groups --

    def providers(self) -> dict[str, ProviderUse]:
        providers = {}
        for name, given in self._spec.providers.items():
            path: Path = ("providers", name)
            with self._mistakes.at(*path):
                use = self._structurer.structure(given, Use)
                (sampling, policy), rest = self._split("provider", use, path)
                for key, low, high in (("temperature", 0, 10), ("top_p", 0, 1), ("max_tokens", 1, 10**7)):
                    number = getattr(sampling, key)
                    if number is not None and not low <= number <= high:
                        self._mistakes.add((*path, key), expected(f"{low} to {high:,}", number))
                if name in policy.fallback:
                    what = f"{name!r} is this provider; name another, or leave it out"
                    self._mistakes.add((*path, "fallback", policy.fallback.index(name)), what)
                self._check_names("provider", policy.fallback, self._spec.providers, (*path, "fallback"))
                providers[name] = ProviderUse(use.use, sampling, policy, rest)
        return providers

    def _split(self, kind: str, use: Use, path: Path) -> tuple[list[Any], dict[str, Any]]:
        """The kernel's parts of the options of a choice, and those of the extension."""
        rest = dict(use.options)
        parts: list[Any] = []
        for part in KERNEL_OPTIONS[kind]:
            keys = [option.name for option in attrs.fields(part) if option.name in rest]
            parts.append(self._read(part, {key: rest.pop(key) for key in keys}, path))
        return parts, rest

    def _check_names(self, kind: str, names: Sequence[str], known: Collection[str], path: Path) -> None:
        """Note the names in the list at `path` that are not known, or there twice."""
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name not in known:
                self._mistakes.add((*path, index), there_is_no(kind, name, known))
            elif name in seen:
                self._mistakes.add((*path, index), f"{name!r} is listed twice; keep one")
            seen.add(name)

    def _groups(self) -> dict[str, Group]:
        groups = {}
        for name, given in self._spec.groups.items():
            path: Path = ("groups", name)
            if name in self._spec.agents:
                self._mistakes.add(path, "an agent has this name; choose another", on_key=True)
            elif not NAME.fullmatch(name):
                what = f"{name!r} is not a valid name for a group; choose a plain word"
                self._mistakes.add(path, what, on_key=True)
            listed = isinstance(given, list)
            with self._mistakes.at(*path):
                if listed:
                    spec = GroupSpec(self._structurer.structure(given, tuple[str, ...]))
                elif isinstance(given, dict):
                    spec = self._structurer.structure(given, GroupSpec)
                else:
                    raise Misfit(expected("a list of agents, or a mapping with members and state", given))
                members = path if listed else (*path, "members")
                self._check_names("agent", spec.members, self._spec.agents, members)
                groups[name] = Group(name, spec.members, spec.state)
        return groups

    # -- agents --

    def _agents(self, groups: Mapping[str, Group]) -> dict[str, Agent]:
        belongs: dict[str, list[str]] = {}
        for group in groups.values():
            for member in group.members:
                belongs.setdefault(member, []).append(group.name)
        return {
            name: self._agent(name, given, tuple(belongs.get(name, ())))
            for name, given in self._spec.agents.items()
        }

    def _agent(self, name: str, given: dict[str, Any], groups: tuple[str, ...]) -> Agent:
        path: Path = ("agents", name)
        own = {key: part for key, part in given.items() if key in AGENT_KEYS}
        extra = {key: part for key, part in given.items() if key not in AGENT_KEYS}
        spec = self._read(AgentSpec, own, path)
        providers = self._spec.providers
        if providers and spec.provider not in providers:
            self._mistakes.add((*path, "provider"), there_is_no("provider", spec.provider, providers))
        engine = spec.engine
        for key in extra.keys() & engine.options.keys():
            what = f"{key!r} is given both here and under `engine`; keep one of them"
            self._mistakes.add((*path, key), what, on_key=True)
        written = canonical(spec.actions)
        if written not in self._actions:
            self._actions[written] = freeze(self._read_actions(spec.actions, (*path, "actions")))
        tools = []
        for index, use in enumerate(spec.tools):
            (policy,), rest = self._split("tool", use, (*path, "tools", index))
            tools.append(ToolUse(use.use, policy, rest))
        parts = {
            **attrs.asdict(spec, recurse=False),
            "engine": Use(engine.use, {**engine.options, **extra}),
            "actions": self._actions[written],
            "tools": tuple(tools),
        }
        return Agent(name=name, groups=groups, **parts)

    def _read_actions(self, given: Mapping[str, Any], path: Path) -> dict[str, Action]:
        actions = {}
        for name, one in given.items():
            with self._mistakes.at(*path, name):
                _check_kind(name)
                if not isinstance(one, dict):
                    raise Misfit(expected("a mapping of parameters, {} for none", one))
                actions[name] = self._action(name, one, (*path, name))
        return actions

    def _action(self, name: str, given: dict[str, Any], path: Path) -> Action:
        special = {
            key: part
            for key, part in given.items()
            if key in ACTION_KEYS and isinstance(part, ACTION_KEYS[key])  # type: ignore[arg-type]
        }
        parameters: dict[str, Any] = {}
        for key, schema in given.items():
            if key in special:
                continue
            with self._mistakes.at(*path, key):
                if not isinstance(schema, dict):
                    wanted = "the JSON Schema of a parameter, such as {type: integer}"
                    own = _ACTION_KEYS.get(key)
                    raise Misfit(expected(f"{own}, or {wanted}" if own else wanted, schema))
                check_schema(schema)
                # In the parameter its references begin at the parameter, in the action at the action.
                step = key.replace("~", "~0").replace("/", "~1").replace("%", "%25")
                parameters[key] = relocate_refs(schema, f"#/properties/{step}")
        when = self._expression(special.get("when"), RULE_NAMES, *path, "when")
        return Action(
            name=name,
            description=special.get("description", ""),
            schema={
                "type": "object",
                "properties": parameters,
                "required": [key for key, schema in parameters.items() if "default" not in schema],
                "additionalProperties": False,
            },
            when=when.source if when is not None else None,
            place=self._place((*path, "when")),
            audience=self._audience(special.get("audience", EVERYONE), (*path, "audience")),
        )

    def _audience(self, given: str | list[Any], path: Path) -> tuple[str, ...]:
        for index, one in enumerate([given] if isinstance(given, str) else given):
            place = path if isinstance(given, str) else (*path, index)
            if not isinstance(one, str):
                self._mistakes.add(place, expected("the name of an agent or a group", one))
            elif self._known_groups and one not in self._names:
                what = f"the audience {one!r} does not exist{did_you_mean(one, self._names)}"
                names = list_some(sorted(self._names - {EVERYONE}))
                self._mistakes.add(place, f"{what}; agents and groups: {names}")
        return (given,) if isinstance(given, str) else tuple(given)

    # -- rules --

    def _rules(self) -> tuple[Rule, ...]:
        rules = []
        for index, given in enumerate(self._spec.rules):
            with self._mistakes.at("rules", index):
                rules.append(self._rule(self._structurer.structure(given, RuleSpec), ("rules", index)))
        return tuple(rules)

    def _rule(self, spec: RuleSpec, path: Path) -> Rule:
        assignments = []
        for op in ("set", "add"):
            for target, value in getattr(spec, op).items():
                with self._mistakes.at(*path, op, target):
                    # Text is an expression; anything else is taken as the value that it is.
                    expression = Expression(value if isinstance(value, str) else repr(value), RULE_NAMES)
                    assignments.append(Assignment(self._target(target), op, expression, f"{op} {target}"))
        if not spec.set and not spec.add:
            self._mistakes.add(path, "the rule does nothing; give it `set` or `add`")
        when = self._expression(spec.when, RULE_NAMES, *path, "when")
        place = self._place(path)
        return Rule(spec.on, when, tuple(assignments), spec.on_error, dotted(path), place)

    def _target(self, text: str) -> tuple[str | Expression, ...]:
        """The path that a rule assigns to: plain text, and expressions in braces."""
        parts: list[str | Expression] = []
        for index, part in enumerate(re.split(r"\{([^{}]*)\}", text)):
            if index % 2:
                try:
                    parts.append(Expression(part, RULE_NAMES))
                except ValueError as error:
                    raise Misfit(str(error), on_key=True) from None
            elif "{" in part or "}" in part:
                raise Misfit(f"{text!r} has a brace without its partner", on_key=True)
            elif part:
                parts.append(part)
        keys = re.sub(r"\{[^{}]*\}", "{}", text).split(".")
        if not all(keys):
            raise Misfit(f"{text!r} is not a path: expected names with dots between them", on_key=True)
        if keys[0] == "state" and "state" not in self._world.state:
            shorter = text.removeprefix("state.")
            raise Misfit(f"a path begins in the world's state by itself; write {shorter!r}", on_key=True)
        if keys[0] in ("agents", "groups", "self"):
            least = 2 if keys[0] == "self" else 3
            if len(keys) < least:
                form = "self.KEY" if keys[0] == "self" else f"{keys[0]}.NAME.KEY"
                raise Misfit(f"{text!r} names no key of a state; expected {form}", on_key=True)
            known = self._spec.agents if keys[0] == "agents" else self._spec.groups
            checked = keys[0] == "agents" or (keys[0] == "groups" and self._known_groups)
            if checked and "{}" not in keys[1] and keys[1] not in known:
                raise Misfit(there_is_no(keys[0].removesuffix("s"), keys[1], known), on_key=True)
        return tuple(parts)


def _check_kind(kind: str) -> None:
    """Raise `Misfit` if a kind of events cannot be declared by a scenario."""
    if kind in KERNEL_KINDS:
        raise Misfit(f"{kind!r} is an event of the kernel's own; choose another name", on_key=True)
    if kind in COMMON_KINDS:
        raise Misfit(
            f"{kind!r} is something that every agent can do already; choose another name", on_key=True
        )
    if not KIND.fullmatch(kind):
        form = "a letter, then letters, digits and any of _ . -"
        raise Misfit(f"{kind!r} is not a valid kind of events; expected {form}", on_key=True)
