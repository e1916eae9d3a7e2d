"""From drafts to events: what a draft must be, whether it is possible, and what it does to the state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from attrs import frozen

from ..agent import Agent
from ..canonical import Json, check_json
from ..errors import ContractError
from ..language.expressions import Expression
from ..language.schemas import check_value
from ..records import EVERYONE, Event
from ..scenario.model import COMMON_KINDS, KERNEL_KINDS, KIND, RULE_NAMES, Rule, Scenario
from ..suggest import did_you_mean
from .state import Root, changed, resolve


@frozen
class Draft:
    """An event that a turn wants to add to the log."""

    kind: str
    payload: dict[str, Any]
    audience: tuple[str, ...] = ()
    cause: int | None = None

    def rejected(self, reason: Exception) -> Draft:
        """What stands in the log instead of an event that is not possible; only its source sees it."""
        payload = {"kind": self.kind, "payload": self.payload, "reason": str(reason)}
        return Draft("rejected", payload, (), self.cause)

    def event(self, seq: int, step: int, source: str) -> Event:
        return Event(seq, step, self.kind, source, self.audience, self.payload, self.cause)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Draft:
        return cls(data["kind"], data["payload"], tuple(data["audience"]), data["cause"])


class Rejected(Exception):
    """A draft that is not possible on the current state; the message is the reason."""


#: What a person gives to change the state.
CHANGE = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "op": {"enum": ["set", "add"]}, "value": {}},
    "required": ["path", "op", "value"],
    "additionalProperties": False,
}


class Rules:
    """The scenario's actions, event schemas and rules, ready to be applied."""

    def __init__(self, scenario: Scenario, declared: Mapping[str, dict[str, Any]]) -> None:
        self._scenario = scenario
        self._schemas = {**COMMON_KINDS, **declared, **scenario.events}
        self._names = {EVERYONE, *scenario.agents, *scenario.groups}
        guards = {one.when for agent in scenario.agents.values() for one in agent.actions.values()} - {None}
        #: The guards of actions, by their text.
        self._guards = {text: Expression(text, RULE_NAMES) for text in guards if text is not None}
        self._by_kind: dict[str, list[Rule]] = {}
        self._rules = scenario.rules
        for rule in scenario.rules:
            self._by_kind.setdefault(rule.on, []).append(rule)

    # -- drafting --

    def draft(
        self, agent: Agent, kind: str, payload: dict[str, Any], audience: tuple[str, ...], cause: int | None
    ) -> Draft:
        """A checked draft; `ContractError` if it could never be an event."""
        where = f"agents.{agent.name}: {kind}"
        if not isinstance(kind, str) or not KIND.fullmatch(kind) or kind in KERNEL_KINDS:
            raise ContractError(
                f"agents.{agent.name}: the kind {kind!r} is the kernel's or no name; "
                "expected letters, digits, dots and dashes"
            )
        action = agent.actions.get(kind)
        payload = self._payload(payload, action.schema if action else self._schemas.get(kind), where)
        self._check_audience(audience, where)
        return Draft(kind, payload, audience, cause)

    def change(
        self, agent: Agent, path: str, value: Json, op: Literal["set", "add"], cause: int | None
    ) -> Draft:
        """The draft of a change that `agent` makes by itself."""
        where = f"agents.{agent.name}: change of {path!r}"
        if op not in ("set", "add"):
            raise ContractError(f"{where}: op {op!r}; expected 'set' or 'add'")
        if path.startswith("self."):
            path = f"agents.{agent.name}.{path[5:]}"
        try:
            keys = resolve(path)
        except ValueError as error:
            raise ContractError(f"{where}: {error}") from None
        audience: tuple[str, ...] = (EVERYONE,)
        if keys[0] == "agents":
            if keys[1:2] != (agent.name,) or len(keys) < 3:
                raise ContractError(f"{where}: an agent changes its own state alone; expected self.KEY")
            audience = ()
        elif keys[0] == "groups":
            if len(keys) < 3 or keys[1] not in agent.groups:
                raise ContractError(f"{where}: expected groups.NAME.KEY with a group that the agent is in")
            audience = (keys[1],)
        return Draft("change", {"path": path, "op": op, "value": self._plain(value, where)}, audience, cause)

    def outside(self, kind: str, payload: Any, audience: tuple[str, ...] | None) -> Draft:
        """The draft of an event that a person adds; `ContractError` if it could never be one.

        `change` changes the state at a path: a key of the world's, `agents.NAME.KEY` or `groups.NAME.KEY`.
        An `audience` of None is everyone, and for a change those who see that state.
        """
        if kind == "change":
            schema: dict[str, Any] | None = CHANGE
        elif not KIND.fullmatch(kind) or kind in KERNEL_KINDS:
            raise ContractError(
                f"{kind!r} is no kind of event that a person can add; expected letters, digits, dots and "
                "dashes, or `change` for a change of the state"
            )
        else:
            actions = (
                one.actions[kind].schema for one in self._scenario.agents.values() if kind in one.actions
            )
            schema = self._schemas.get(kind) or next(actions, None)
        payload = self._payload(payload, schema, kind)
        if kind == "change":
            heard = self.heard_by(payload["path"])
            self._check_known(payload["path"])
            audience = heard if audience is None else audience
        elif audience is None:
            audience = (EVERYONE,)
        self._check_audience(audience, kind)
        return Draft(kind, payload, audience)

    def _check_known(self, path: str) -> None:
        """Raise `ContractError` for a key that neither the scenario's state nor a rule of it has."""
        part, key, *_ = resolve(path)
        assigned = (one.path[0] for rule in self._rules for one in rule.assignments)
        ruled = {str(first).partition(".")[0] for first in assigned}
        if part == "world" and key not in self._scenario.state and key not in ruled:
            near = did_you_mean(key, self._scenario.state)
            raise ContractError(f"change: the state has no {key!r}{near}; expected a key of world.state")

    def heard_by(self, path: str) -> tuple[str, ...]:
        """Who is told of a change from outside at `path`. Raises `ContractError` for a path that is none."""
        try:
            part, *keys = resolve(path)
        except ValueError as error:
            raise ContractError(f"change: {error}") from None
        if part == "world":
            return (EVERYONE,)
        if len(keys) < 2 or keys[0] not in self._names - {EVERYONE}:
            raise ContractError(f"change: there is no state {path!r}; expected KEY or {part}.NAME.KEY")
        return (keys[0],)

    def _payload(self, value: Any, schema: dict[str, Any] | None, where: str) -> dict[str, Any]:
        payload = self._plain(value, where)
        if not isinstance(payload, dict):
            raise ContractError(f"{where}: the payload is not an object; expected such as " + '{"text": "…"}')
        if schema is not None and (wrong := check_value(schema, payload)):
            raise ContractError(f"{where}: the payload does not fit its schema: {wrong}")
        return payload

    def _plain(self, value: Any, where: str) -> Any:
        # Encoded and decoded: the log's own copy, which nobody else can change afterwards.
        try:
            return orjson.loads(orjson.dumps(check_json(value, "payload")))
        except ValueError as error:
            raise ContractError(f"{where}: {error}; expected plain JSON") from None

    def _check_audience(self, audience: Sequence[str], where: str) -> None:
        for name in audience:
            if name not in self._names:
                known = ", ".join(sorted(self._names - {EVERYONE}))
                raise ContractError(
                    f"{where}: the audience {name!r} does not exist; agents and groups: {known}"
                )

    # -- applying --

    def permitted(self, draft: Draft, source: str, root: Root, step: int) -> None:
        """Raise `Rejected` if the draft is an action whose guard does not hold on the state `root`."""
        agent = self._scenario.agents.get(source)
        action = agent.actions.get(draft.kind) if agent else None
        if action is None or action.when is None:
            return
        guard = self._guards[action.when]
        event = draft.event(0, step, source)
        try:
            holds = guard.evaluate(**self._values(guard, root, source, step, event))
        except ValueError as error:
            raise Rejected(f"its condition cannot be evaluated: {error}") from None
        if not holds:
            raise Rejected(f"its condition does not hold: {action.when}")

    def open(self, source: str, name: str, root: Root, step: int) -> bool:
        """Whether the guard of an action holds now; one that looks at the arguments counts as holding."""
        when = self._scenario.agents[source].actions[name].when
        if when is None or "event" in (guard := self._guards[when]).uses:
            return True
        try:
            return bool(guard.evaluate(**self._values(guard, root, source, step, None)))
        except ValueError:
            return False  # `permitted` states the reason in the log if the action is tried all the same

    def apply(self, event: Event, root: Root) -> Root:
        """The state after `event`. Raises `Rejected`, and then nothing of it applies."""
        try:
            if event.kind == "change":
                payload = event.payload
                return changed(root, resolve(payload["path"]), payload["op"], payload["value"])
            rules = self._by_kind.get(event.kind)
            if rules:
                for rule in rules:
                    root = self._apply_rule(rule, event, root)
        except ValueError as error:
            raise Rejected(str(error)) from None
        return root

    def _apply_rule(self, rule: Rule, event: Event, root: Root) -> Root:
        def value(expression: Expression) -> Any:
            return expression.evaluate(**self._values(expression, root, event.source, event.step, event))

        try:
            if rule.when is not None and not value(rule.when):
                return root
            # All values are computed on the state as the rule found it, then assigned.
            ready = [
                (
                    "".join(part if isinstance(part, str) else str(value(part)) for part in assignment.path),
                    assignment.op,
                    check_json(plain(value(assignment.value)), assignment.text),
                )
                for assignment in rule.assignments
            ]
            for path, op, new in ready:
                if path.startswith("self."):
                    path = f"agents.{event.source}.{path[5:]}"
                root = changed(root, resolve(path), op, new)
        except ValueError as error:
            raise ValueError(f"{rule.where}: {error}") from None
        return root

    @staticmethod
    def _values(
        expression: Expression, root: Root, source: str, step: int, event: Event | None
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in expression.uses:
            if name == "state":
                values[name] = root["world"]
            elif name == "self":
                values[name] = root["agents"].get(source, {})
            elif name == "event":
                values[name] = event
            elif name == "step":
                values[name] = step
            else:
                values[name] = root[name]
        return values


def state_changes(old: Scenario, new: Scenario) -> Iterator[tuple[str, Any]]:
    """Where the initial state of one scenario differs from that of another, as paths and new values.

    Of agents and groups, those that both have. Raises `ValueError` for a key that is there no more, and for a
    new one that looks like a typo.
    """
    yield from _differences((), old.state, new.state)
    for name, agent in new.agents.items():
        if name in old.agents:
            yield from _differences(("agents", name), old.agents[name].state, agent.state)
    for name, group in new.groups.items():
        if name in old.groups:
            yield from _differences(("groups", name), old.groups[name].state, group.state)


def _differences(path: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(old, dict) and isinstance(new, dict) and old:
        if gone := old.keys() - new.keys():
            where = ".".join((*(path or ("world",)), min(gone)))
            raise ValueError(f"{where}: a key of the state cannot be taken away; set it to null")
        for key, value in new.items():
            if key not in old:
                where = ".".join((*(path or ("world",)), key))
                if near := did_you_mean(key, old):
                    raise ValueError(f"{where}: the state has no {key!r}{near}; expected a key that it has")
                yield ".".join((*path, key)), value
            else:
                yield from _differences((*path, key), old[key], value)
    elif old != new or type(old) is not type(new):
        yield ".".join(path), new


def plain(value: Any) -> Any:
    """Plain lists and dictionaries of the result's own, so that the state shares nothing."""
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(part) for part in value)
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return value
