"""From a resolved document to a `Scenario`: every key known, every name resolved, every mistake placed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import attrs
from attrs import field, frozen

from ..errors import InputError, Mistake, ScenarioError
from ..records import EVERYONE, Sampling, check_json
from ..runtime.rules import COMMON_KINDS, KERNEL_KINDS, KIND, RULE_NAMES, RUN_NAMES
from . import yaml
from .expressions import Expression
from .loading import NAME, place
from .model import Action, Acts, Agent, Assignment, Group, Limits, ProviderUse, Rule, Scenario, Use
from .prompts import guess
from .schemas import check_schema
from .structure import Misfit, Misfits, Path, Structurer, shown, unknown_key
from .yaml import Document

#: What stands in for what an agent or a scenario does not say.
DEFAULT_ENGINE, DEFAULT_MEMORY, DEFAULT_SCHEDULE = Use("actor"), Use("full"), Use("round-robin")
#: Keys of an action that are not parameters, with the type that tells them apart.
ACTION_KEYS = {"when": str, "description": str, "audience": (str, list)}


@frozen
class WorldForm:
    premise: str = ""
    state: dict[str, Any] = field(factory=dict)


@frozen
class AgentForm:
    """An agent as written. Other keys are options of its engine."""

    persona: str = ""
    goals: tuple[str, ...] = ()
    engine: Use = DEFAULT_ENGINE
    provider: str = "default"
    reasoning: Use | None = None
    memory: Use | None = DEFAULT_MEMORY
    tools: tuple[Use, ...] = ()
    actions: dict[str, dict[str, Any]] = field(factory=dict)
    acts: Acts = Acts(scheduled=True)
    state: dict[str, Any] = field(factory=dict)
    on_error: Literal["fail", "skip"] = "fail"
    variables: dict[str, Any] = field(factory=dict)


@frozen
class GroupForm:
    members: tuple[str, ...]
    state: dict[str, Any] = field(factory=dict)


@frozen
class RuleForm:
    on: str
    when: str | None = None
    set: dict[str, Any] = field(factory=dict)
    add: dict[str, Any] = field(factory=dict)


@frozen
class LimitsForm:
    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    steps: int | None = None
    concurrency: int = 64


@frozen
class ScenarioForm:
    scenario: str
    agents: dict[str, Any]
    description: str = ""
    seed: int = 0
    plugins: tuple[str, ...] | None = None
    world: WorldForm = WorldForm()
    providers: dict[str, Use] = field(factory=dict)
    groups: dict[str, GroupForm] = field(factory=dict)
    events: dict[str, dict[str, Any]] = field(factory=dict)
    rules: tuple[RuleForm, ...] = ()
    schedule: Use = DEFAULT_SCHEDULE
    stop_when: str | None = None
    limits: LimitsForm = LimitsForm()
    outcomes: dict[str, str] = field(factory=dict)


AGENT_KEYS = frozenset(option.name for option in attrs.fields(AgentForm))


class Mistakes:
    """Collects mistakes with their places, to report all of them at once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.found: list[Mistake] = []

    def add(self, path: Iterable[str | int], what: str, on_key: bool = False) -> None:
        path = tuple(path)
        mistake = Mistake(place(self._document, path, on_key), yaml.dotted(path), what)
        if mistake not in self.found:
            self.found.append(mistake)

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Note the misfits and value errors of the block below `path`, and go on."""
        try:
            yield
        except Misfits as error:
            for below, what, on_key in error.found:
                self.add((*path, *below), what, on_key)
        except Misfit as error:
            self.add((*path, *error.below), str(error), error.on_key)
        except InputError:
            raise
        except ValueError as error:
            self.add(path, str(error))

    def check(self) -> None:
        if self.found:
            raise ScenarioError(self.found)


def build(document: Document, structurer: Structurer, mistakes: Mistakes) -> Scenario:
    """The scenario that a resolved document describes. Raises `ScenarioError` with all mistakes found."""
    structurer.hook(Use, _use)
    structurer.hook(Acts, _acts)
    structurer.hook(GroupForm, _group_hook(structurer))
    form: ScenarioForm | None = None
    with mistakes.at():
        form = structurer.structure(document.value, ScenarioForm)
    if form is None:
        _look_further(document, structurer, mistakes)
        mistakes.check()
        raise AssertionError("a failed structuring left no mistake")
    with mistakes.at("seed"):
        check_json(form.seed, "seed")

    forms: dict[str, AgentForm] = {}
    extras: dict[str, dict[str, Any]] = {}
    for name, given in form.agents.items():
        with mistakes.at("agents", name):
            extras[name] = {key: part for key, part in given.items() if key not in AGENT_KEYS}
            forms[name] = structurer.structure(
                {key: part for key, part in given.items() if key in AGENT_KEYS}, AgentForm
            )
    mistakes.check()

    providers = _providers(form, structurer, mistakes)
    groups = _groups(form, mistakes)
    for kind, schema in form.events.items():
        with mistakes.at("events", kind):
            if not KIND.fullmatch(kind) or kind in KERNEL_KINDS or kind in COMMON_KINDS:
                raise Misfit(f"{kind!r} is the kernel's, or no name of a kind of events", on_key=True)
            check_schema(schema)
    names = {EVERYONE, *forms, *groups}
    agents = {
        name: _agent(name, one, extras[name], providers, groups, names, mistakes)
        for name, one in forms.items()
    }
    scenario = Scenario(
        name=form.scenario,
        description=form.description,
        seed=form.seed,
        plugins=form.plugins,
        premise=form.world.premise,
        state=form.world.state,
        providers=providers,
        agents=agents,
        groups=groups,
        events=form.events,
        rules=tuple(_rules(form, mistakes)),
        schedule=form.schedule,
        stop_when=_expression(form.stop_when, RUN_NAMES, mistakes, "stop_when"),
        limits=_limits(form, mistakes),
        outcomes={
            name: expression
            for name, text in form.outcomes.items()
            if (expression := _expression(text, RUN_NAMES, mistakes, "outcomes", name))
        },
        document=document.value,
    )
    _check_states(scenario, mistakes)
    mistakes.check()
    return scenario


def check_kinds(scenario: Scenario, declared: Iterable[str], mistakes: Mistakes) -> None:
    """Whether rules and `acts: {on: …}` name kinds of events that exist.

    `declared` are the kinds that the scenario's engines and other components declare.
    """
    actions = {action for agent in scenario.agents.values() for action in agent.actions}
    known = {*actions, *scenario.events, *declared, *COMMON_KINDS}
    for index, rule in enumerate(scenario.rules):
        if rule.on not in known:
            what = f"no agent has an action {rule.on!r} and no such event is declared"
            mistakes.add(
                ("rules", index, "on"), f"{what}{guess(rule.on, known)}; known: {', '.join(sorted(known))}"
            )
    for name, agent in scenario.agents.items():
        for kind in sorted(agent.acts.on - known - {"change"}):
            mistakes.add(
                ("agents", name, "acts"),
                f"there is no kind of events {kind!r}{guess(kind, known)}; known: {', '.join(sorted(known))}",
            )
    mistakes.check()


def _look_further(document: Document, structurer: Structurer, mistakes: Mistakes) -> None:
    # The top level did not fit; what is wrong inside the agents is worth knowing at the same time.
    agents = document.value.get("agents")
    for name, given in agents.items() if isinstance(agents, dict) else ():
        if isinstance(given, dict):
            with mistakes.at("agents", name):
                structurer.structure(
                    {key: part for key, part in given.items() if key in AGENT_KEYS}, AgentForm
                )


# -- hooks --


def _use(value: Any, _: Any) -> Use:
    if isinstance(value, str) and value:
        return Use(value)
    if isinstance(value, Use):
        return value
    if not isinstance(value, dict):
        raise Misfit(f"expected the name of an extension, or {{use: NAME, …}}; got {shown(value)}")
    if "use" not in value:
        raise Misfit("the key 'use' is missing; expected {use: NAME, …}")
    if not isinstance(value["use"], str) or not value["use"]:
        raise Misfit(f"expected the name of an extension, got {shown(value['use'])}", ("use",))
    return Use(value["use"], {key: part for key, part in value.items() if key != "use"})


def _acts(value: Any, _: Any) -> Acts:
    if isinstance(value, Acts):
        return value
    chosen: dict[str, Any] = {}
    for index, one in enumerate(value if isinstance(value, list) else [value]):
        below: Path = (index,) if isinstance(value, list) else ()
        if one in ("scheduled", "start", "end", "after-group"):
            chosen[str(one).replace("-", "_")] = True
        elif isinstance(one, dict) and one and one.keys() <= {"every", "on"}:
            if "every" in one:
                if type(one["every"]) is not int or one["every"] < 1:
                    raise Misfit(f"expected a number of steps, got {shown(one['every'])}", (*below, "every"))
                chosen["every"] = one["every"]
            if "on" in one:
                kinds = [one["on"]] if isinstance(one["on"], str) else one["on"]
                if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
                    raise Misfit(f"expected kinds of events, got {shown(one['on'])}", (*below, "on"))
                chosen["on"] = frozenset(kinds)
        else:
            near = guess(one, ["scheduled", "start", "end", "after-group"]) if isinstance(one, str) else ""
            expected = "scheduled, start, end, after-group, {every: N}, {on: KIND}, or a list of these"
            raise Misfit(f"expected {expected}; got {shown(one)}{near}", below)
    return Acts(**chosen)


def _group_hook(structurer: Structurer) -> Any:
    plain = GroupForm

    def structure(value: Any, _: Any) -> GroupForm:
        if isinstance(value, list):
            value = {"members": value}
        if not isinstance(value, dict):
            raise Misfit(
                f"expected a list of agents, or a mapping with members and state; got {shown(value)}"
            )
        for key in value:
            if key not in ("members", "state"):
                raise Misfit(unknown_key(key, ("members", "state")), (key,), on_key=True)
        return plain(
            structurer.structure(value.get("members", []), tuple[str, ...]),
            structurer.structure(value.get("state", {}), dict[str, Any]),
        )

    return structure


# -- parts --


def _providers(form: ScenarioForm, structurer: Structurer, mistakes: Mistakes) -> dict[str, ProviderUse]:
    sampling_keys = [option.name for option in attrs.fields(Sampling)]
    providers = {}
    for name, use in form.providers.items():
        with mistakes.at("providers", name):
            given = {key: use.options[key] for key in sampling_keys if key in use.options}
            sampling = structurer.structure(given, Sampling)
            for key, low, high in (("temperature", 0, 10), ("top_p", 0, 1), ("max_tokens", 1, 10**7)):
                number = getattr(sampling, key)
                if number is not None and not low <= number <= high:
                    mistakes.add(("providers", name, key), f"expected {low} to {high:,}, got {number}")
            rest = {key: part for key, part in use.options.items() if key not in sampling_keys}
            providers[name] = ProviderUse(use.use, sampling, rest)
    return providers


def _groups(form: ScenarioForm, mistakes: Mistakes) -> dict[str, Group]:
    groups = {}
    for name, given in form.groups.items():
        if not NAME.fullmatch(name) or name in form.agents:
            mistakes.add(("groups", name), "an agent has this name, or it is no name", on_key=True)
        for index, member in enumerate(given.members):
            if member not in form.agents:
                what = f"there is no agent {member!r}{guess(member, form.agents)}"
                mistakes.add(("groups", name, index), f"{what}; agents: {_few(form.agents)}")
        groups[name] = Group(name, given.members, given.state)
    return groups


def _agent(
    name: str,
    form: AgentForm,
    extra: dict[str, Any],
    providers: Mapping[str, ProviderUse],
    groups: Mapping[str, Group],
    names: set[str],
    mistakes: Mistakes,
) -> Agent:
    path: Path = ("agents", name)
    if providers and form.provider not in providers:
        what = f"there is no provider {form.provider!r}{guess(form.provider, providers)}"
        mistakes.add((*path, "provider"), f"{what}; providers: {', '.join(providers)}")
    actions = {}
    for action, given in form.actions.items():
        with mistakes.at(*path, "actions", action):
            actions[action] = _action(action, given, names, mistakes, (*path, "actions", action))
    engine = form.engine
    for key in extra.keys() & engine.options.keys():
        mistakes.add((*path, key), f"{key!r} stands both here and under `engine`; keep one of them")
    return Agent(
        name=name,
        persona=form.persona,
        goals=form.goals,
        engine=Use(engine.use, {**engine.options, **extra}),
        provider=form.provider,
        reasoning=form.reasoning,
        memory=form.memory,
        tools=form.tools,
        actions=actions,
        acts=form.acts,
        state=form.state,
        on_error=form.on_error,
        groups=tuple(group.name for group in groups.values() if name in group.members),
        variables=form.variables,
    )


def _action(name: str, given: dict[str, Any], names: set[str], mistakes: Mistakes, path: Path) -> Action:
    if not KIND.fullmatch(name) or name in KERNEL_KINDS or name in COMMON_KINDS:
        raise Misfit(f"{name!r} is taken, or no name of an action", on_key=True)
    if not isinstance(given, dict):
        raise Misfit(f"expected a mapping of parameters, got {shown(given)}")
    special = {
        key: part
        for key, part in given.items()
        if key in ACTION_KEYS and isinstance(part, ACTION_KEYS[key])  # type: ignore[arg-type]
    }
    parameters = {key: part for key, part in given.items() if key not in special}
    required = []
    for key, schema in parameters.items():
        if not isinstance(schema, dict):
            raise Misfit(f"expected the JSON Schema of a parameter, got {shown(schema)}", (key,))
        try:
            check_schema(schema)
        except ValueError as error:
            raise Misfit(str(error), (key,)) from None
        if "default" not in schema:
            required.append(key)
    audience = special.get("audience", [EVERYONE])
    audience = [audience] if isinstance(audience, str) else audience
    for one in audience:
        if one not in names:
            raise Misfit(f"the audience {shown(one)} does not exist{guess(str(one), names)}", ("audience",))
    return Action(
        name=name,
        description=special.get("description", ""),
        schema={
            "type": "object",
            "properties": parameters,
            "required": required,
            "additionalProperties": False,
        },
        when=_expression(special.get("when"), RULE_NAMES, mistakes, *path, "when"),
        audience=tuple(audience),
    )


def _expression(
    text: str | None, names: tuple[str, ...], mistakes: Mistakes, *path: str | int
) -> Expression | None:
    if text is None:
        return None
    with mistakes.at(*path):
        return Expression(text, names)
    return None


def _rules(form: ScenarioForm, mistakes: Mistakes) -> Iterator[Rule]:
    for index, given in enumerate(form.rules):
        assignments = []
        for op in ("set", "add"):
            for target, value in getattr(given, op).items():
                path = ("rules", index, op, target)
                with mistakes.at(*path):
                    # A number, a list and so on stand for themselves; text is an expression.
                    text = value if isinstance(value, str) else repr(value)
                    expression = Expression(text, RULE_NAMES)
                    assignments.append(Assignment(_target(target), op, expression, f"{op} {target}"))
        if not assignments:
            mistakes.add(("rules", index), "the rule does nothing; give it `set` or `add`")
        when = _expression(given.when, RULE_NAMES, mistakes, "rules", index, "when")
        yield Rule(given.on, when, tuple(assignments), f"rules[{index}]")


def _target(text: str) -> tuple[str | Expression, ...]:
    """The path that a rule assigns to: plain text, and expressions in braces."""
    parts: list[str | Expression] = []
    for index, part in enumerate(re.split(r"\{([^{}]*)\}", text)):
        if index % 2:
            parts.append(Expression(part, RULE_NAMES))
        elif "{" in part or "}" in part:
            raise ValueError(f"{text!r} has a brace without its partner")
        elif part:
            parts.append(part)
    return tuple(parts)


def _limits(form: ScenarioForm, mistakes: Mistakes) -> Limits:
    given = attrs.asdict(form.limits)
    for key, bound in given.items():
        if bound is not None and bound <= 0:
            mistakes.add(("limits", key), f"expected more than 0, got {shown(bound)}")
    return Limits(**given)


def _check_states(scenario: Scenario, mistakes: Mistakes) -> None:
    for key in scenario.state.keys() & {"agents", "groups", "self"}:
        mistakes.add(("world", "state", key), f"{key!r} is reserved; choose another name", on_key=True)
    parts: list[tuple[Path, Any]] = [(("world", "state"), scenario.state)]
    parts += [(("agents", name, "state"), agent.state) for name, agent in scenario.agents.items()]
    parts += [(("groups", name, "state"), group.state) for name, group in scenario.groups.items()]
    for path, state in parts:
        for key in state:
            if "." in key or not key:
                mistakes.add((*path, key), "a key of a state has no dots, which separate keys", on_key=True)


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:12]) + (f" and {len(listed) - 12} more" if len(listed) > 12 else "")
