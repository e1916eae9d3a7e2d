"""From drafts to events: what a draft must be, whether it is possible, and what it does to the state."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from attrs import evolve, field, frozen

from pyscrai_language.expressions import Expression, Unevaluable
from pyscrai_language.schemas import check_value
from pyscrai_language.values import UNKNOWN, short
from pyscrai_records.base.frozen import freeze
from pyscrai_records.base.suggest import did_you_mean, format_json
from pyscrai_records.canonical import Json, canonical, check_json
from pyscrai_records.errors import ContractError
from pyscrai_records.records import EVERYONE, Event
from pyscrai_records.secret import redact_bytes

from ..agent import Action, Agent
from ..scenario.model import COMMON_KINDS, KERNEL_KINDS, KIND, RULE_NAMES, Rule, Scenario
from .state import Root, changed, resolve


@frozen
class Draft:
    """An event that a turn wants to add to the log."""

    kind: str
    payload: dict[str, Any] = field(converter=freeze)
    audience: tuple[str, ...] = ()
    cause: int | None = None

    def rejected(self, reason: Exception) -> Draft:
        """What stands in the log instead of an event that is not possible; only its source sees it."""
        payload = {"kind": self.kind, "payload": self.payload, "reason": str(reason)}
        return Draft("rejected", payload, (), self.cause)

    def redacted(self) -> Draft:
        """The same, without secrets."""
        written = canonical(self.payload)
        clean = redact_bytes(written)
        return self if clean is written else evolve(self, payload=orjson.loads(clean))

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
        # The log's own copy, which nobody can change afterwards.
        try:
            return freeze(check_json(value, "payload"))
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
        if not self._holds(action, source, root, step, draft.event(0, step, source)):
            raise Rejected(f"its condition does not hold: {action.when}")

    def open(self, source: str, name: str, root: Root, step: int) -> bool:
        """Whether an action is possible now: its guard holds, or may hold with the right arguments."""
        action = self._scenario.agents[source].actions[name]
        return action.when is None or self._holds(action, source, root, step, UNKNOWN) is not False

    def _holds(self, action: Action, source: str, root: Root, step: int, event: Event) -> bool | None:
        """Whether the guard of an action holds; None: that depends on the event, which is `UNKNOWN`.

        A guard that fails is its author's mistake, and raises `ContractError`. It is `Rejected` if the
        failure is due to the event: the agent's arguments made it fail, and others would not.
        """
        assert action.when is not None
        guard = self._guards[action.when]
        try:
            return guard.holds(**self._values(guard, root, source, step, event))
        except Unevaluable as error:
            if "event" in error.due_to:
                raise Rejected(f"its condition cannot be evaluated: {error}") from None
            path = f"agents.{source}.actions.{action.name}.when"
            raise ContractError(
                f"{action.place}: {path}: {error}; correct it, and continue: "
                f"pyscrai resume RUN --set {path}=…"
            ) from None

    def apply(self, event: Event, root: Root) -> Root:
        """The state after `event`. Raises `Rejected`, and then nothing of it applies.

        Raises `ContractError` for a rule that fails, which is its author's mistake.
        """
        if event.kind == "change":
            payload = event.payload
            try:
                return changed(root, resolve(payload["path"]), payload["op"], payload["value"])
            except ValueError as error:
                raise Rejected(str(error)) from None
        for rule in self._by_kind.get(event.kind, ()):
            root = self._apply_rule(rule, event, root)
        return root

    def _apply_rule(self, rule: Rule, event: Event, root: Root) -> Root:
        def value(expression: Expression) -> Any:
            return expression.evaluate(**self._values(expression, root, event.source, event.step, event))

        def key(part: str | Expression) -> str:
            if isinstance(part, str):
                return part
            found = value(part)
            if type(found) not in (str, int):
                what = format_json(found)
                raise ValueError(
                    f"'{part.source}' is {what}; expected text or a whole number, as a key of the state"
                )
            return str(found)

        part, text = "when", rule.when.source if rule.when else ""
        try:
            if rule.when is not None and not value(rule.when):
                return root
            # All values are computed on the state as the rule found it, then assigned.
            ready = []
            for one in rule.assignments:
                part, text = one.text, one.value.source
                path = "".join(map(key, one.path))
                ready.append((one, path, check_json(plain(value(one.value)), part)))
            for one, path, new in ready:
                part, text = one.text, one.value.source
                if path.startswith("self."):
                    path = f"agents.{event.source}.{path[5:]}"
                root = changed(root, resolve(path), one.op, new)
        except ValueError as error:
            if rule.on_error == "reject":
                raise Rejected(f"{rule.where}: {error}") from None
            what = error.what if isinstance(error, Unevaluable) else error
            option = re.sub(r"\[(\d+)\]", r".\1", rule.where)
            if "{" not in part:  # else what it sets is hard to write on a command line
                option = f"{option}.{part.replace(' ', '.', 1)}"
            raise ContractError(
                f"{rule.place}: {rule.where} (on {rule.on}): {part}: '{text}': {what}; step {event.step}, "
                f"{short(event.describe(), 200)}; correct the rule, and continue: pyscrai resume RUN --set "
                f"{option}=…, or reject such attempts: on_error: reject"
            ) from None
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
