"""The names that exist in a scenario, and the shapes of its states: what is used is held against them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from attrs import evolve

from pyscrai_language.assignments import Key, assigned, settable
from pyscrai_language.expressions import Expression
from pyscrai_language.inference import Events, infer, literals
from pyscrai_language.misfit import Misfit, Path
from pyscrai_language.schemas import check_value
from pyscrai_language.shapes import (
    ANY,
    EVENT,
    NUMERIC,
    TEXT,
    Shape,
    join,
    list_of,
    mapping,
    one_of,
    shape_of,
    shape_of_schema,
)
from pyscrai_records.base.suggest import TYPO, closest, did_you_mean, list_some, quote, there_is_no
from pyscrai_records.errors import CallFailed
from pyscrai_records.records import EVERYONE

from ..agent import Agent
from .initial_shapes import Piece, initial_shapes, split_path
from .model import COMMON_KINDS, KERNEL_KINDS, Scenario

Note = Callable[[Misfit], None]
BRACES = re.compile(r"\{([^{}]*)\}")


class ScenarioNames:
    """The names that exist in a scenario, to check those in a component's options (`Component.check_names`).

    Its methods note a mistake at the option that the last arguments lead to: `"rulings", 0, "when"`. Where
    nothing is certain, they note nothing. Expressions and texts may use `state`, `self`, `groups`, `events`
    and `step` with their usual meaning. Pass what else they may use by name, as plain data that stands for
    the real value: `0` for any number, `""` for any string, `[names.event("offer")]` for a list of events,
    None for anything. `agent` is the agent whose component it is (None for a schedule), and `agents` has the
    names of all.
    """

    def __init__(
        self,
        scenario: Scenario,
        declared: Mapping[str, dict[str, Any]],
        tools: Shape,
        loose: bool,
        note: Note,
    ) -> None:
        self.scenario, self.loose, self.note = scenario, loose, note
        self.found: list[tuple[Note, Misfit]] = []
        self.settle = False
        self.agent: Agent | None = None
        self.emitted: dict[str, list[Shape]] = {}
        self.senders: dict[str, list[Agent]] = {}
        schemas: dict[str, dict[int, Any]] = {}
        for agent in scenario.agents.values():
            for name, action in agent.actions.items():
                self.senders.setdefault(name, []).append(agent)
                schemas.setdefault(name, {})[id(action.schema)] = action.schema
        actions = (action for agent in scenario.agents.values() for action in agent.actions.values())
        self.audiences = {name for action in actions for name in action.audience}
        self.declared = {**COMMON_KINDS, **declared, **scenario.events}
        for kind, schema in self.declared.items():
            schemas.setdefault(kind, {})[0] = schema
        payloads = {kind: join(map(shape_of_schema, each.values())) for kind, each in schemas.items()}
        payloads |= {kind: mapping(dict.fromkeys(keys, ANY)) for kind, keys in KERNEL_KINDS.items()}
        known = {
            "rejected": {"kind": one_of(payloads, loose)},
            "tool": {"name": tools},
            "change": {"op": one_of(("set", "add"))},
            "turn.failed": {"error": one_of(_names_below(CallFailed), loose=True)},
        }
        for kind, keys in known.items():
            payloads[kind] = mapping({**payloads[kind].keys, **keys})
        self.kinds = payloads.keys() - KERNEL_KINDS.keys()
        self.agents = tuple(scenario.agents)
        heard = self.heard = {EVERYONE, *scenario.agents, *scenario.groups}
        self.events = Events(
            payloads, one_of(payloads, loose), one_of(scenario.agents), list_of(one_of(heard))
        )
        self.initial: dict[str, dict[str, Any]] = {
            "world": {"": scenario.state},
            "agents": {name: agent.state for name, agent in scenario.agents.items()},
            "groups": {name: group.state for name, group in scenario.groups.items()},
        }
        #: The shapes of the states by part and name, of which the world has none.
        self.states = initial_shapes(scenario, self.initial, loose)

    # -- what components use --

    def mistake(self, what: str, *option: str | int, on_key: bool = False) -> None:
        """Note a mistake that the component found itself; `on_key`: in the key, not in the value."""
        self.found.append((self.note, Misfit(what, option, on_key)))

    def name(
        self, kind: Literal["agent", "group", "provider", "audience"], name: str, *option: str | int
    ) -> None:
        """Note `name` unless there is such an agent, group or provider (audience: one of the first two)."""
        known = self.heard if kind == "audience" else getattr(self.scenario, f"{kind}s")
        if name not in known:
            self.mistake(there_is_no(kind, name, known), *option)

    def kind(self, kind: str, *option: str | int, heard: bool = False) -> None:
        """Note a kind of events that does not exist, or (`heard`) of which the agent never sees one."""
        if kind not in self.kinds:
            what = f"there is no kind of events {kind!r}{did_you_mean(kind, self.kinds)}"
            self.mistake(f"{what}; known: {list_some(sorted(self.kinds))}", *option)
        elif heard and self.agent is not None and (why := self._unseen(kind, self.agent)):
            what = f"{self.agent.name} can never see {kind!r}: {why}"
            self.mistake(f"{what}; expected an action of another agent whose audience includes it", *option)

    def _unseen(self, kind: str, agent: Agent) -> str:
        """Why an agent never sees an event of this kind from another one; empty if it may."""
        if kind in self.declared or kind in KERNEL_KINDS or self.loose:
            return ""
        others = {id(one.actions[kind]): one.actions[kind] for one in self.senders[kind] if one is not agent}
        audience = {one for action in others.values() for one in action.audience}
        if audience & {EVERYONE, agent.name, *agent.groups}:
            return ""
        listed = list_some(sorted(audience)) or "empty"
        return f"its audience is {listed}" if others else "nobody else does it"

    def event(self, *kinds: str, heard: bool = False) -> Shape:
        """What stands for an event of one of these kinds; of any kind if there are none.

        `heard`: of any that the agent may see from another one.
        """
        if heard and self.agent is not None:
            kinds = tuple(kind for kind in self.events.payloads if not self._unseen(kind, self.agent))
        return Shape(frozenset((EVENT,)), events=frozenset(kinds) or None)

    def one_of(self, *strings: str) -> Shape:
        """What stands for one of these strings."""
        return one_of(strings)

    def fits(self, schema: dict[str, Any]) -> Shape:
        """What stands for a value that fits a JSON Schema."""
        return shape_of_schema(schema)

    def emits(self, kind: str, schema: dict[str, Any]) -> None:
        """Note the schema of an event's payload, where the options say more than the class's `emits`."""
        if kind not in self.scenario.events:
            self.emitted.setdefault(kind, []).append(shape_of_schema(schema))

    def expression(self, source: Any, /, *option: str | int, **given: Any) -> Shape:
        """Check an expression, and return what stands for its value. What is no text stands for itself."""
        if not isinstance(source, (str, Expression)):
            return shape_of(source)
        shapes = {**self.known(), **{name: shape_of(value) for name, value in given.items()}}
        if (expression := _compiled(source, frozenset(shapes))) is None:
            return ANY
        shape, found = infer(expression, shapes, self.events)
        for what in found:
            self.mistake(f"{quote(' '.join(expression.source.split()))}: {what}", *option)
        return shape

    def value(self, schema: dict[str, Any], source: Any, /, *option: str | int, **given: Any) -> None:
        """Check an expression whose value must fit a JSON Schema."""
        wanted = shape_of_schema(schema)

        def check(literal: Any) -> str | None:
            if isinstance(literal, str) and wanted.strings and wanted.kinds == TEXT.kinds:
                if literal in wanted.strings:
                    return None
                what = f"{quote(literal)} is none of the possible values"
                guess = did_you_mean(literal, wanted.strings)
                return f"{what}{guess}; expected one of {list_some(sorted(wanted.strings))}"
            return check_value(schema, literal)

        self.value_of_shape(wanted, check, source, option, given)

    def value_of_shape(
        self,
        wanted: Shape,
        check: Callable[[Any], str | None],
        source: Any,
        option: Path,
        given: Mapping[str, Any],
    ) -> None:
        """Check an expression whose value must have a shape, by which `check` says what is wrong with it."""
        shape = self.expression(source, *option, **given)
        wrong = [what for value in self._literals(source, given) if (what := check(value)) is not None]
        if not wrong and not shape.kinds & wanted.kinds:
            wrong = [f"it is {shape.words}; expected {wanted.words}"]
        can_be, may_be = (None if one.loose else one.strings for one in (shape, wanted))
        if not wrong and shape.kinds == TEXT.kinds and can_be and may_be is not None and not can_be & may_be:
            what = f"it can be {list_some(sorted(can_be))}"
            wrong = [f"{what}; expected one of {list_some(sorted(may_be))}"]
        for what in wrong:
            self.mistake(what, *option)

    def _literals(self, source: Any, given: Mapping[str, Any]) -> Iterable[Any]:
        """The values that an expression has written out, of which a condition chooses one."""
        if not isinstance(source, (str, Expression)):
            return [source]
        expression = _compiled(source, frozenset((*self.known(), *given)))
        return literals(expression.tree.body) if expression is not None else ()

    def text(self, source: str, /, *option: str | int, **given: Any) -> None:
        """Check a text with expressions in braces."""
        for part in BRACES.findall(source):
            self.expression(part, *option, **given)

    def change(
        self, op: Literal["set", "add"], path: str, value: Any, /, *option: str | int, **given: Any
    ) -> None:
        """Check a path of the state, and note that the component may set it to `value`, or add that.

        The path is as for `turn.change`, with expressions in braces. Call it for every change of the state
        that the component makes: only what is declared or may be set can be read. A path that is the
        component's own, and not that of an option, need not be declared.
        """
        pieces: list[Piece] = []
        for index, part in enumerate(BRACES.split(path)):
            piece = _compiled(part, frozenset((*self.known(), *given))) if index % 2 else part
            if piece is None:
                return
            pieces.append(piece)
        sources = [self.agent] if self.agent else []
        self.change_at(op, pieces, self.expression(value, *option, **given), sources, option, given)

    # -- who sends --

    def alike(self, kind: str, agents: Sequence[Agent]) -> list[Sequence[Agent]]:
        """Agents by their states, variables and actions `kind` (empty: whatever they do).

        All together, if some may never do that: what does not hold for these can still be right.
        """
        found: dict[Any, list[Agent]] = {}
        for agent in agents:
            action = agent.actions.get(kind)
            if kind in self.declared or (kind and (action is None or action.when is not None)):
                return [agents]
            key = (id(self.states["agents"][agent.name]), id(action and action.schema), *agent.variables)
            found.setdefault(key, []).append(agent)
        return list(found.values())

    @contextmanager
    def sent_by(self, kind: str, agents: Iterable[Agent]) -> Iterator[None]:
        """Within the block, events of this kind are actions of these agents, if they have such one."""
        before = self.events
        sent = {id(one.actions[kind]): one.actions[kind].schema for one in agents if kind in one.actions}
        if sent and kind not in self.declared:
            shape = join(map(shape_of_schema, sent.values()))
            self.events = evolve(before, payloads={**before.payloads, kind: shape})
        try:
            yield
        finally:
            self.events = before

    # -- states --

    def initial_of(self, expression: Expression) -> list[Any]:
        """The values with which a state begins, if the expression is one of its keys (not null ones)."""
        part, _, key = expression.source.strip().partition(".")
        states = self.initial["world" if part == "state" else "agents"] if part in ("state", "self") else {}
        values = [state.get(key) for state in states.values()]
        return [value for value in values if isinstance(value, str | int)]

    def set_by_rules(self, expression: Expression) -> list[Any]:
        """What rules write out and set, if the expression is a key of the world's state."""
        part, _, key = expression.source.strip().partition(".")
        rules = self.scenario.rules if part == "state" else ()
        assignments = [one for rule in rules for one in rule.assignments]
        given = [one.value for one in assignments if one.op == "set" and list(one.path) == [key]]
        values = [value for one in given for value in self._literals(one, {"event": ANY, "self": ANY})]
        return [value for value in values if isinstance(value, str | int)]

    def known(self) -> dict[str, Shape]:
        """The shapes of the names that are known everywhere; an agent knows only its own groups."""
        agent, (agents, groups) = self.agent, (self.states[part] for part in ("agents", "groups"))
        known = {"state": self.states["world"][""], "step": NUMERIC, "events": list_of(self.event())}
        if agent is None:
            return {**known, "agents": mapping(agents), "groups": mapping(groups)}
        own = mapping({name: groups[name] for name in agent.groups})
        return {**known, "self": agents[agent.name], "groups": own}

    def change_at(
        self,
        op: Literal["set", "add"],
        pieces: Iterable[Piece],
        value: Shape,
        sources: Iterable[Agent],
        option: Path,
        given: Mapping[str, Any],
    ) -> None:
        """Note that something of `sources` changes the state at a path, unless it has no such key."""
        keys = [self._key(parts, option, given) for parts in split_path(pieces)]
        part, owners = "world", [""]
        if keys[0] == Key("self"):
            part, owners, keys = "agents", [agent.name for agent in sources], keys[1:]
        elif keys[0] in (Key("agents"), Key("groups")) and len(keys) > 1:
            part, name = str(keys[0].literal), keys[1]
            named = name.shape.strings if name.literal is None else {name.literal}
            states = self.states[part]
            owners = [name for name in states if named is None or name in named]
            if name.literal is None and named is not None and not name.shape.loose:
                self._check_owners(part, named, states, option)
            if self.agent and not {self.agent.name, *self.agent.groups} & set(owners):
                what = "an agent changes its own state alone; expected self.KEY, groups.NAME.KEY with a"
                self.mistake(f"{what} group that it is in, or a rule of the scenario", *option, on_key=True)
            keys = keys[2:]
        states, made = self.states[part], dict[int, Shape | Misfit]()
        for owner in owners if keys else ():
            old = states[owner]
            if id(old) not in made:
                try:
                    # A state that begins empty gets its keys from what is set.
                    grows = not self.initial[part][owner] or not option
                    made[id(old)] = assigned(old, keys, op, ANY if self.settle else settable(value), grows)
                except Misfit as error:
                    made[id(old)] = error
        new = {name: one for name in owners if isinstance(one := made.get(id(states[name])), Shape)}
        misfits = [one for one in made.values() if isinstance(one, Misfit)]
        # That a state which began empty could get the key does not make it right for the others.
        if misfits and not any(self.initial[part][name] for name in new):
            misfit = misfits[0]
            self.mistake(str(misfit), *option, on_key=True)
        self.states = {**self.states, part: {**states, **new}}

    def _check_owners(self, part: str, named: Iterable[str], known: Mapping[str, Any], option: Path) -> None:
        """Note the computed names that are meant for an agent or a group and are none.

        A condition may rule out others, such as `nobody`, unless no name is known.
        """
        named = sorted(named)
        for name in named:
            population = any(one.startswith(f"{name}-") for one in known)
            if (
                name not in known
                and not population
                and (closest(name, known, TYPO) or not known.keys() & set(named))
            ):
                kind = part.removesuffix("s")
                self.mistake(f"it may be {name!r}: {there_is_no(kind, name, known)}", *option, on_key=True)

    def _key(self, parts: Sequence[Piece], option: Path, given: Mapping[str, Any]) -> Key:
        shapes = [self.expression(part, *option, **given) for part in parts if isinstance(part, Expression)]
        if len(parts) != 1:
            return Key(None)
        return Key(None, shapes[0]) if shapes else Key(str(parts[0]))


def _names_below(cls: type) -> set[str]:
    return {cls.__name__}.union(*map(_names_below, cls.__subclasses__()))


@functools.lru_cache(maxsize=1024)
def _compiled(source: str | Expression, names: frozenset[str]) -> Expression | None:
    """An expression; None if it is none: whoever reads the option says what is wrong."""
    try:
        return Expression(source, names) if isinstance(source, str) else source
    except ValueError:
        return None
