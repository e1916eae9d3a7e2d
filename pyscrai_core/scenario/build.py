"""From a resolved document to a `Scenario`: every key and every name is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from ..agent import Action, Agent, ToolPolicy, ToolUse, Use
from ..canonical import canonical, check_json
from ..language.expressions import Expression
from ..language.misfit import Misfit, Path
from ..language.schemas import check_schema, relocate_refs
from ..records import EVERYONE, Sampling
from ..suggest import did_you_mean, format_value, list_some
from .document import Document, Mistakes
from .model import (
    COMMON_KINDS,
    KERNEL_KINDS,
    KIND,
    RULE_NAMES,
    RUN_NAMES,
    Assignment,
    CallPolicy,
    Group,
    Limits,
    ProviderUse,
    Rule,
    Scenario,
)
from .resolve import NAME
from .spec import AGENT_KEYS, AgentSpec, GroupSpec, RuleSpec, ScenarioSpec, WorldSpec, add_hooks
from .structure import Structurer

T = TypeVar("T")

#: Keys of an action that are not parameters, with the type that tells them apart.
ACTION_KEYS = {"when": str, "description": str, "audience": (str, list)}


def build(document: Document, structurer: Structurer, mistakes: Mistakes) -> tuple[Scenario, set[Path]]:
    """The scenario that a resolved document describes, and the paths of choices that could not be read.

    What does not fit is noted in `mistakes` and left out of the scenario, which is then not to be run. It
    is only used to look for further mistakes. None of these may be a mere consequence of another.
    """
    add_hooks(structurer)
    value = document.value
    given, found = structurer.parts(value, ScenarioSpec)
    mistakes.note((), found)
    spec = ScenarioSpec(**{"scenario": "-", "agents": {}, **given})
    if not spec.scenario.strip():
        mistakes.add(("scenario",), "expected a name, got an empty one; name the scenario")
    with mistakes.at("seed"):
        check_json(spec.seed, "seed")
    world = _part(WorldSpec, spec.world, ("world",), structurer, mistakes)

    builder = _Builder(spec, structurer, mistakes)
    builder.known_groups = isinstance(value.get("groups", {}), dict)
    groups = builder.groups()
    agents, unread = builder.agents(groups)
    if "schedule" in value and "schedule" not in given:
        unread.add(("schedule",))
    for kind, schema in spec.events.items():
        with mistakes.at("events", kind):
            _check_kind(kind)
            if not isinstance(schema, dict):
                raise Misfit(f"expected the JSON Schema of the event's payload, got {format_value(schema)}")
            check_schema(schema)
    scenario = Scenario(
        name=spec.scenario,
        description=spec.description,
        seed=spec.seed,
        plugins=spec.plugins,
        premise=world.premise,
        state=world.state,
        providers=builder.providers(),
        agents=agents,
        groups=groups,
        events=spec.events,
        rules=tuple(builder.rules()),
        schedule=spec.schedule,
        stop_when=_expression(spec.stop_when, RUN_NAMES, mistakes, "stop_when"),
        limits=builder.limits(),
        outcomes={
            name: expression
            for name, text in spec.outcomes.items()
            if (expression := _expression(text, RUN_NAMES, mistakes, "outcomes", name))
        },
        document=value,
    )
    return scenario, unread


def build_providers(document: Document, structurer: Structurer, mistakes: Mistakes) -> dict[str, ProviderUse]:
    """The providers of a document that has nothing else, such as the settings."""
    add_hooks(structurer)
    spec = ScenarioSpec(scenario="-", agents={}, providers=document.value["providers"])
    return _Builder(spec, structurer, mistakes).providers()


def _part(kind: type[T], value: Any, path: Path, structurer: Structurer, mistakes: Mistakes) -> T:
    """`value` as a `kind` that has a default for each of its fields, without those that do not fit."""
    if not isinstance(value, dict):
        with mistakes.at(*path):
            structurer.structure(value, kind)
        return kind()
    given, found = structurer.parts(value, kind)
    mistakes.note(path, found)
    return kind(**given)


# -- parts --


class _Builder:
    """Builds the parts of a scenario that consist of many."""

    #: Whether the names of groups are known, so that an audience can be checked.
    known_groups = True

    def __init__(self, spec: ScenarioSpec, structurer: Structurer, mistakes: Mistakes) -> None:
        self._spec = spec
        self._structurer = structurer
        self._mistakes = mistakes
        state = spec.world.get("state")
        self._world = state if isinstance(state, dict) else {}
        self._names = {EVERYONE, *spec.agents, *spec.groups}
        #: The actions of each text of `actions:`; the members of a population have one.
        self._actions: dict[bytes, dict[str, Action]] = {}

    def providers(self) -> dict[str, ProviderUse]:
        kernels = {option.name for kind in (Sampling, CallPolicy) for option in attrs.fields(kind)}
        providers = {}
        for name, given in self._spec.providers.items():
            path: Path = ("providers", name)
            with self._mistakes.at(*path):
                use = self._structurer.structure(given, Use)
                sampling = self._kernels(Sampling, use.options, path)
                policy = self._kernels(CallPolicy, use.options, path)
                for key, low, high in (("temperature", 0, 10), ("top_p", 0, 1), ("max_tokens", 1, 10**7)):
                    number = getattr(sampling, key)
                    if number is not None and not low <= number <= high:
                        self._mistakes.add(
                            (*path, key), f"expected {low} to {high:,}, got {format_value(number)}"
                        )
                self._check_policy(policy, name)
                rest = {key: part for key, part in use.options.items() if key not in kernels}
                providers[name] = ProviderUse(use.use, sampling, policy, rest)
        return providers

    def _kernels(self, kind: type[T], options: Mapping[str, Any], path: Path) -> T:
        """The kernel's part `kind` of a provider's options."""
        keys = {option.name for option in attrs.fields(kind)}  # type: ignore[arg-type]
        given = {key: part for key, part in options.items() if key in keys}
        return _part(kind, given, path, self._structurer, self._mistakes)

    def _check_policy(self, policy: CallPolicy, name: str) -> None:
        path: Path = ("providers", name)
        for key in ("requests_per_minute", "tokens_per_minute", "concurrency", "timeout"):
            self._check_positive((*path, key), getattr(policy, key))
        for key in ("tries", "seconds"):
            self._check_positive((*path, "retry", key), getattr(policy.retry, key))
        for index, other in enumerate(policy.fallback):
            below: Path = (*path, "fallback", index)
            if other == name:
                self._mistakes.add(below, f"{name!r} is this provider; name another, or leave it out")
            elif other not in self._spec.providers:
                known = [one for one in self._spec.providers if one != name]
                what = f"there is no provider {other!r}{did_you_mean(other, known)}"
                self._mistakes.add(below, f"{what}; others: {', '.join(known) or 'none'}")
            elif other in policy.fallback[:index]:
                self._mistakes.add(below, f"{other!r} is listed twice; keep one")

    def _check_positive(self, path: Path, number: float | None) -> None:
        if number is not None and number <= 0:
            self._mistakes.add(path, f"expected more than 0, got {format_value(number)}")

    def groups(self) -> dict[str, Group]:
        groups = {}
        for name, given in self._spec.groups.items():
            path: Path = ("groups", name)
            if name in self._spec.agents:
                self._mistakes.add(path, "an agent has this name; choose another", on_key=True)
            elif not NAME.fullmatch(name):
                self._mistakes.add(
                    path, f"{name!r} is not a valid name for a group; choose a plain word", on_key=True
                )
            listed = isinstance(given, list)
            with self._mistakes.at(*path):
                if listed:
                    spec = GroupSpec(self._structurer.structure(given, tuple[str, ...]))
                elif isinstance(given, dict):
                    spec = self._structurer.structure(given, GroupSpec)
                else:
                    what = "expected a list of agents, or a mapping with members and state"
                    raise Misfit(f"{what}; got {format_value(given)}")
                self._check_members(spec.members, path if listed else (*path, "members"))
                groups[name] = Group(name, spec.members, spec.state)
        return groups

    def _check_members(self, members: Sequence[str], path: Path) -> None:
        seen: set[str] = set()
        for index, member in enumerate(members):
            if member not in self._spec.agents:
                what = f"there is no agent {member!r}{did_you_mean(member, self._spec.agents)}"
                self._mistakes.add((*path, index), f"{what}; agents: {list_some(self._spec.agents)}")
            elif member in seen:
                self._mistakes.add((*path, index), f"{member!r} is listed twice; keep one")
            seen.add(member)

    def agents(self, groups: Mapping[str, Group]) -> tuple[dict[str, Agent], set[Path]]:
        """The agents, and the paths of the keys that do not fit."""
        belongs: dict[str, list[str]] = {}
        for group in groups.values():
            for member in group.members:
                belongs.setdefault(member, []).append(group.name)
        agents: dict[str, Agent] = {}
        unread: set[Path] = set()
        for name, given in self._spec.agents.items():
            path: Path = ("agents", name)
            own = {key: part for key, part in given.items() if key in AGENT_KEYS}
            extra = {key: part for key, part in given.items() if key not in AGENT_KEYS}
            parts, found = self._structurer.parts(own, AgentSpec)
            self._mistakes.note(path, found)
            agents[name] = self._agent(name, AgentSpec(**parts), extra, tuple(belongs.get(name, ())))
            unread.update((*path, key) for key in own.keys() - parts.keys())
        return agents, unread

    def _agent(self, name: str, spec: AgentSpec, extra: dict[str, Any], groups: tuple[str, ...]) -> Agent:
        path: Path = ("agents", name)
        providers = self._spec.providers
        if providers and spec.provider not in providers:
            what = f"there is no provider {spec.provider!r}{did_you_mean(spec.provider, providers)}"
            self._mistakes.add((*path, "provider"), f"{what}; providers: {', '.join(providers)}")
        for key, bound in attrs.asdict(spec.limits).items():
            self._check_positive((*path, "limits", key), bound)
        engine = spec.engine
        for key in extra.keys() & engine.options.keys():
            what = f"{key!r} is given both here and under `engine`; keep one of them"
            self._mistakes.add((*path, key), what, on_key=True)
        written = canonical(spec.actions)
        if written not in self._actions:
            self._actions[written] = self._read_actions(spec.actions, (*path, "actions"))
        return Agent(
            name=name,
            persona=spec.persona,
            goals=spec.goals,
            engine=Use(engine.use, {**engine.options, **extra}),
            provider=spec.provider,
            reasoning=spec.reasoning,
            memory=spec.memory,
            tools=tuple(self._tool(use, (*path, "tools", index)) for index, use in enumerate(spec.tools)),
            actions=self._actions[written],
            acts=spec.acts,
            state=spec.state,
            on_error=spec.on_error,
            groups=groups,
            variables=spec.variables,
            limits=spec.limits,
        )

    def _tool(self, use: Use, path: Path) -> ToolUse:
        policy = self._kernels(ToolPolicy, use.options, path)
        self._check_positive((*path, "timeout"), policy.timeout)
        self._check_positive((*path, "calls_per_minute"), policy.calls_per_minute)
        kernels = attrs.asdict(policy).keys()
        return ToolUse(use.use, policy, {k: part for k, part in use.options.items() if k not in kernels})

    def _read_actions(self, given: Mapping[str, Any], path: Path) -> dict[str, Action]:
        actions = {}
        for name, one in given.items():
            with self._mistakes.at(*path, name):
                _check_kind(name)
                if not isinstance(one, dict):
                    raise Misfit(f"expected a mapping of parameters, {{}} for none; got {format_value(one)}")
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
                    raise Misfit(
                        "expected the JSON Schema of a parameter, such as {type: integer}; "
                        f"got {format_value(schema)}"
                    )
                check_schema(schema)
                # In the parameter its references begin at the parameter, in the action at the action.
                step = key.replace("~", "~0").replace("/", "~1").replace("%", "%25")
                parameters[key] = relocate_refs(schema, f"#/properties/{step}")
        when = _expression(special.get("when"), RULE_NAMES, self._mistakes, *path, "when")
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
            audience=self._audience(special.get("audience", EVERYONE), (*path, "audience")),
        )

    def _audience(self, given: str | list[Any], path: Path) -> tuple[str, ...]:
        for index, one in enumerate([given] if isinstance(given, str) else given):
            place = path if isinstance(given, str) else (*path, index)
            if not isinstance(one, str):
                self._mistakes.add(
                    place, f"expected the name of an agent or a group, got {format_value(one)}"
                )
            elif self.known_groups and one not in self._names:
                what = f"the audience {one!r} does not exist{did_you_mean(one, self._names)}"
                names = list_some(sorted(self._names - {EVERYONE}))
                self._mistakes.add(place, f"{what}; agents and groups: {names}")
        return (given,) if isinstance(given, str) else tuple(given)

    def rules(self) -> Iterator[Rule]:
        for index, given in enumerate(self._spec.rules):
            path: Path = ("rules", index)
            spec: RuleSpec | None = None
            with self._mistakes.at(*path):
                spec = self._structurer.structure(given, RuleSpec)
            if spec is None:
                continue
            assignments = []
            for op in ("set", "add"):
                for target, value in getattr(spec, op).items():
                    with self._mistakes.at(*path, op, target):
                        # Text is an expression; anything else is taken as the value that it is.
                        text = value if isinstance(value, str) else repr(value)
                        expression = Expression(text, RULE_NAMES)
                        parts = self._target(target)
                        assignments.append(Assignment(parts, op, expression, f"{op} {target}"))
            if not spec.set and not spec.add:
                self._mistakes.add(path, "the rule does nothing; give it `set` or `add`")
            when = _expression(spec.when, RULE_NAMES, self._mistakes, *path, "when")
            yield Rule(spec.on, when, tuple(assignments), f"rules[{index}]")

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
        if keys[0] == "state" and "state" not in self._world:
            shorter = text.removeprefix("state.")
            raise Misfit(f"a path begins in the world's state by itself; write {shorter!r}", on_key=True)
        if keys[0] in ("agents", "groups", "self"):
            least = 2 if keys[0] == "self" else 3
            if len(keys) < least:
                expected = "self.KEY" if keys[0] == "self" else f"{keys[0]}.NAME.KEY"
                raise Misfit(f"{text!r} names no key of a state; expected {expected}", on_key=True)
            known = self._spec.agents if keys[0] == "agents" else self._spec.groups
            checked = keys[0] == "agents" or (keys[0] == "groups" and self.known_groups)
            if checked and "{}" not in keys[1] and keys[1] not in known:
                word = keys[0].removesuffix("s")
                what = f"there is no {word} {keys[1]!r}{did_you_mean(keys[1], known)}"
                raise Misfit(f"{what}; {keys[0]}: {list_some(known) or 'none'}", on_key=True)
        return tuple(parts)

    def limits(self) -> Limits:
        limits = _part(Limits, self._spec.limits, ("limits",), self._structurer, self._mistakes)
        for key, bound in attrs.asdict(limits).items():
            self._check_positive(("limits", key), bound)
        return limits


def _check_kind(kind: str) -> None:
    """Raise `Misfit` if a kind of events cannot be declared by a scenario."""
    if kind in KERNEL_KINDS:
        raise Misfit(f"{kind!r} is an event of the kernel's own; choose another name", on_key=True)
    if kind in COMMON_KINDS:
        raise Misfit(
            f"{kind!r} is something that every agent can do already; choose another name", on_key=True
        )
    if not KIND.fullmatch(kind):
        expected = "a letter, then letters, digits and any of _ . -"
        raise Misfit(f"{kind!r} is not a valid kind of events; expected {expected}", on_key=True)


def _expression(text: Any, names: tuple[str, ...], mistakes: Mistakes, *path: str | int) -> Expression | None:
    if text is None:
        return None
    with mistakes.at(*path):
        if not isinstance(text, str):
            raise Misfit(f"expected an expression, as text; got {format_value(text)}")
        return Expression(text, names)
    return None
