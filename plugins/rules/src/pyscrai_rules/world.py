"""The engine `world`: decides what comes of what agents attempt, by declared rulings or with a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

from attrs import field, frozen, validators

from pyscrai_core import ContractError, Engine, Event, JsonSchema, Message, Prompt, Turn

from .language import applies, filled, is_chance, is_expression, is_text, value_of

#: What a ruling may use.
NAMES = frozenset({"event", "attempts", "state", "self", "groups", "step"})
STANDING = ("name", "persona", "goals", "premise", "decisions", "words")
SYSTEM = Prompt.packaged("pyscrai_rules", "prompts/world-system.j2", STANDING)
PROMPT = Prompt.packaged("pyscrai_rules", "prompts/world.j2", (*STANDING, "attempt", "state", "changes"))
#: Characters allowed for each word of a rationale: generous, so that it only ends what rambles.
PER_WORD = 10
OPERATIONS: tuple[Literal["set"], Literal["add"]] = ("set", "add")
#: What is decided, why, and what it changes: each path of the state, the value, and how.
Decision: TypeAlias = tuple[str, str, list[tuple[str, Any, Literal["set", "add"]]]]


def _object(**parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": parts, "required": [*parts], "additionalProperties": False}


@frozen
class Ruling:
    """One ruling. Raises `ValueError` for a mistake.

    on
        the kind of attempts that it is for (None: all)
    when, chance
        an expression that must hold, and the probability with which the ruling is taken then
    decision
        what is decided, in a word
    set, add
        what it changes: paths of the state, and as expressions the values to set, or to add to what is there
    say
        why, in words; expressions stand in braces
    """

    on: str | None = None
    when: str | None = field(default=None, validator=is_expression(NAMES))
    chance: float = field(default=1.0, validator=is_chance)
    decision: str = "granted"
    set: dict[str, Any] = field(factory=dict, validator=[is_text(NAMES), is_expression(NAMES)])
    add: dict[str, Any] = field(factory=dict, validator=[is_text(NAMES), is_expression(NAMES)])
    say: str = field(default="", validator=is_text(NAMES))


@frozen
class WorldConfig:
    """The options of `world`. Raises `ValueError` for a mistake.

    decides
        the kinds of events that are attempts
    rulings
        of these, the first that applies decides an attempt
    ask
        whether a model decides what no ruling does; otherwise that is refused
    decisions
        what a model may decide
    changes
        the paths of the state that a model may change, with the JSON Schema of each value
    words
        how many words a model's rationale may have
    audience
        who hears the rulings: names of agents and groups
    system, prompt
        the templates of the first and of the last message to the model
    """

    decides: list[str] = field(validator=validators.min_len(1))
    rulings: list[Ruling] = field(factory=list)
    ask: bool = False
    decisions: list[str] = field(factory=lambda: ["granted", "refused"], validator=validators.min_len(1))
    changes: dict[str, JsonSchema] = field(factory=dict, validator=is_text(NAMES))
    words: int = field(default=40, validator=validators.ge(1))
    audience: list[str] = field(factory=lambda: ["*"])
    system: Prompt = SYSTEM
    prompt: Prompt = PROMPT

    def __attrs_post_init__(self) -> None:
        if not self.rulings and not self.ask:
            raise ValueError("rulings: there are none, so nothing could be decided; add some, or `ask: true`")
        for index, ruling in enumerate(self.rulings):
            if ruling.on not in (None, *self.decides):
                known = ", ".join(self.decides)
                raise ValueError(f"rulings[{index}].on: {ruling.on!r} is not among what it decides: {known}")


class World(Engine):
    """Decides each attempt since its last turn, in order, and logs each decision as an event `ruling`.

    A decision sees what those before it in the same turn have changed.
    """

    Config: ClassVar[type] = WorldConfig
    config: WorldConfig
    emits: ClassVar[dict[str, dict[str, Any]]] = {
        "ruling": _object(
            attempt={"type": "integer"},
            **{key: {"type": "string"} for key in ("by", "on", "decision", "rationale")},
        )
    }

    async def run(self, turn: Turn) -> None:
        config, name = self.config, turn.agent.name
        attempts = [e for e in turn.observed if e.kind in config.decides and e.source != name]
        now = {"state": plain(turn.state), "self": plain(turn.own), "groups": plain(turn.groups)}
        rest = {"attempts": attempts, "step": turn.step}
        for attempt in attempts:
            values = {**now, **rest, "event": attempt}
            decided = self._by_ruling(turn, attempt, values)
            if decided is None and config.ask:
                decided = await self._by_model(turn, attempt, values)
            decision, rationale, changes = decided or ("refused", "no ruling applies", [])
            for path, value, op in changes:
                turn.change(path, value, op)
                assign(now, path, value, op)
            ruling = {"attempt": attempt.seq, "by": attempt.source, "on": attempt.kind}
            turn.emit("ruling", {**ruling, "decision": decision, "rationale": rationale}, config.audience)

    def _by_ruling(self, turn: Turn, attempt: Event, values: dict[str, Any]) -> Decision | None:
        """What the first ruling that applies decides."""
        for index, ruling in enumerate(self.config.rulings):
            where = f"rulings[{index}]"
            if ruling.on in (None, attempt.kind) and applies(ruling, values, turn.random, where):
                said = filled(ruling.say, values, f"{where}.say") or where
                changes = [
                    (filled(path, values, where), value_of(value, values, f"{where}.{op}.{path}"), op)
                    for op in OPERATIONS
                    for path, value in getattr(ruling, op).items()
                ]
                return ruling.decision, said, changes
        return None

    async def _by_model(self, turn: Turn, attempt: Event, values: dict[str, Any]) -> Decision:
        """What the model decides; what it would leave as it is, it answers with null."""
        config, agent = self.config, turn.agent
        schemas = {filled(path, values, "changes"): schema for path, schema in config.changes.items()}
        given = {name: getattr(agent, name) for name in ("name", "persona", "goals")}
        given |= {"premise": turn.premise, "decisions": config.decisions, "words": config.words}
        now = {"attempt": attempt.describe(), "state": values["state"], "changes": schemas}
        system, words = config.system.render(**given), config.prompt.render(**given, **now)
        messages = [Message.system(system), *await turn.recall(), Message.user(words)]
        answer: Any = (await turn.think(messages, schema=answer_schema(config, schemas))).parsed
        found = answer.get("changes", {}).items()
        return answer["decision"], answer["rationale"], [(*one, "set") for one in found if one[1] is not None]


def answer_schema(config: WorldConfig, changes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of a model's answer: the rationale first, since the decision should follow from it."""
    inner = {path: {"anyOf": [schema, {"type": "null"}]} for path, schema in changes.items()}
    return _object(
        rationale={"type": "string", "minLength": 1, "maxLength": config.words * PER_WORD},
        decision={"type": "string", "enum": config.decisions},
        **({"changes": _object(**inner)} if inner else {}),
    )


def plain(value: Any) -> Any:
    """A copy of a read-only view, as plain data."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple) else value


def assign(now: dict[str, Any], path: str, value: Any, op: Literal["set", "add"]) -> None:
    """Make a change in the picture of the state that the next decision sees."""
    keys = path.split(".")
    *inner, last = keys if keys[0] in ("self", "groups") else ("state", *keys)
    node: Any = now
    try:
        for key in inner:
            node = node.setdefault(key, {})
        if op == "add":
            old = node.get(last)
            value = [*old, value] if isinstance(old, list) else (old or 0) + value
        node[last] = value
    except (AttributeError, TypeError):
        what = "it cannot be changed so; expected keys on the way, and numbers or a list to add to"
        raise ContractError(f"{path}: {what}") from None
