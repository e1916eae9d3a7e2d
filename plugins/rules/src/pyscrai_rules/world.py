"""The engine `world`: decides the result of what agents attempt, by declared rulings or with a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

from attrs import field, frozen, validators

from pyscrai_core import (
    Engine,
    Event,
    JsonSchema,
    Message,
    Prompt,
    ScenarioNames,
    Turn,
    describe_schema,
    without_meanings,
)

from .expressions import (
    Failed,
    applies,
    author_mistakes,
    evaluate,
    fill_in,
    is_chance,
    is_expression,
    is_text,
)

#: The variables that a ruling can use.
NAMES = frozenset({"event", "attempts", "state", "self", "groups", "step"})
#: The variables of the templates, with what stands for their values.
SYSTEM_NAMES = {"name": "", "persona": "", "goals": [""], "premise": "", "decisions": [""], "words": 0}
PROMPT_NAMES = {
    **SYSTEM_NAMES,
    "attempt": "",
    "state": {},
    "changes": {},
    "described": [{"path": "", "form": "", "meanings": [""]}],
    "meanings": [""],
}
SYSTEM = Prompt.packaged("pyscrai_rules", "prompts/world-system.j2", SYSTEM_NAMES)
PROMPT = Prompt.packaged("pyscrai_rules", "prompts/world.j2", PROMPT_NAMES)
#: The maximum length of a rationale, as characters per word. This is generous: it only ends rationales that
#: are much too long.
CHARACTERS_PER_WORD = 10
OPERATIONS: tuple[Literal["set"], Literal["add"]] = ("set", "add")
#: What a path may lead to, beside the public state.
OWN = (
    "an agent changes its own state alone; expected self.KEY, groups.NAME.KEY with a group that it is in, "
    "or a rule of the scenario, such as {on: ruling, add: {agents.NAME.KEY: 1}}"
)
#: The keys that lead to an option.
Option: TypeAlias = tuple[str | int, ...]
#: A change of the state: path, value, operation, and the option that says so.
Change: TypeAlias = tuple[str, Any, Literal["set", "add"], Option]
#: The decision, the rationale, and the changes.
Decision: TypeAlias = tuple[str, str, list[Change]]


def _object(**parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": parts, "required": [*parts], "additionalProperties": False}


@frozen
class Ruling:
    """One ruling. Raises `ValueError` for a mistake.

    on
        The kind of attempts that it applies to. None: all.
    when, chance
        An expression that must be true, and the probability that the ruling then applies.
    decision
        The decision, as a single word.
    set, add
        The changes: paths of the state, and expressions for the values to set or to add.
    say
        The rationale. Expressions in braces are replaced.
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
        The kinds of events that are attempts.
    rulings
        The first ruling that applies decides an attempt.
    ask
        Whether a model decides attempts to which no ruling applies. Otherwise they are refused.
    decisions
        The decisions that a model can make.
    changes
        The paths of the state that a model can change, with the JSON Schema of each value.
    words
        The maximum length of a model's rationale, as told to the model.
    audience
        The agents and groups that see the rulings.
    system, prompt
        The templates of the first and of the last message to the model.
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
            raise ValueError(
                "rulings: there are none, so nothing could be decided; add some, or set `ask: true`"
            )
        for index, ruling in enumerate(self.rulings):
            if ruling.on not in (None, *self.decides):
                known = ", ".join(self.decides)
                raise ValueError(f"rulings[{index}].on: {ruling.on!r} is not one of `decides`: {known}")


class World(Engine):
    """Decides each attempt since its last turn, in order. Each decision is an event `ruling`.

    A decision takes into account the changes of earlier decisions in the same turn.
    """

    Config: ClassVar[type] = WorldConfig
    config: WorldConfig
    narrates: ClassVar[bool] = True
    emits: ClassVar[dict[str, dict[str, Any]]] = {
        "ruling": _object(
            attempt={"type": "integer"},
            **{key: {"type": "string"} for key in ("by", "on", "decision", "rationale")},
        )
    }

    @classmethod
    def check_names(cls, config: WorldConfig, names: ScenarioNames) -> None:
        for index, kind in enumerate(config.decides):
            names.kind(kind, "decides", index, heard=True)
        for index, name in enumerate(config.audience):
            names.name("audience", name, "audience", index)
        decisions = ["refused", *config.decisions, *(ruling.decision for ruling in config.rulings)]
        known = {"by": names.agents, "on": config.decides, "decision": list(dict.fromkeys(decisions))}
        ruling = cls.emits["ruling"]["properties"]
        names.emits("ruling", _object(**{**ruling, **{key: {"enum": [*one]} for key, one in known.items()}}))
        attempt = names.event(*config.decides)
        for index, ruling in enumerate(config.rulings):
            given = {"event": names.event(ruling.on) if ruling.on else attempt, "attempts": [attempt]}
            if ruling.when is not None:
                names.expression(ruling.when, "rulings", index, "when", **given)
            names.text(ruling.say, "rulings", index, "say", **given)
            for op in OPERATIONS:
                for path, value in getattr(ruling, op).items():
                    names.change(op, path, value, "rulings", index, op, path, **given)
        for path, schema in config.changes.items():
            given = {"event": attempt, "attempts": [attempt]}
            names.change("set", path, names.fits(schema), "changes", path, **given)
        options = [(op, one, "rulings", i) for i, one in enumerate(config.rulings) for op in OPERATIONS]
        changed = [(path, (*where, op, path)) for op, one, *where in options for path in getattr(one, op)]
        for path, option in [*changed, *((path, ("changes", path)) for path in config.changes)]:
            if path.startswith("agents.{"):  # those whose attempts it decides are others
                names.mistake(OWN, *option, on_key=True)

    async def run(self, turn: Turn) -> None:
        config, name = self.config, turn.agent.name
        attempts = [e for e in turn.observed if e.kind in config.decides and e.source != name]
        now = {"state": plain(turn.state), "self": plain(turn.own), "groups": plain(turn.groups)}
        rest = {"attempts": attempts, "step": turn.step}
        for attempt in attempts:
            values = {**now, **rest, "event": attempt}
            with author_mistakes(self, turn, attempt):
                decided = self._by_ruling(turn, attempt, values)
                if decided is None and config.ask:
                    decided = await self._by_model(turn, attempt, values)
                decision, rationale, changes = decided or ("refused", "no ruling applies", [])
                for path, value, op, option in changes:
                    assign(now, path.replace(f"agents.{name}.", "self.", 1), value, op, option)
                    turn.change(path, value, op)
            ruling = {"attempt": attempt.seq, "by": attempt.source, "on": attempt.kind}
            turn.emit("ruling", {**ruling, "decision": decision, "rationale": rationale}, config.audience)

    def _by_ruling(self, turn: Turn, attempt: Event, values: dict[str, Any]) -> Decision | None:
        """The decision of the first ruling that applies."""
        for index, ruling in enumerate(self.config.rulings):
            where: Option = ("rulings", index)
            if ruling.on in (None, attempt.kind) and applies(ruling, values, turn.random, *where):
                rationale = fill_in(ruling.say, values, *where, "say") or f"rulings[{index}]"
                changes: list[Change] = []
                for op in OPERATIONS:
                    for path, value in getattr(ruling, op).items():
                        option = (*where, op, path)
                        new = evaluate(value, values, *option)
                        changes.append((fill_in(path, values, *option), new, op, option))
                return ruling.decision, rationale, changes
        return None

    async def _by_model(self, turn: Turn, attempt: Event, values: dict[str, Any]) -> Decision:
        """The decision of the model. In its answer, null means no change."""
        config, agent = self.config, turn.agent
        paths = {fill_in(path, values, "changes", path): path for path in config.changes}
        schemas = {path: config.changes[written] for path, written in paths.items()}
        given = {name: getattr(agent, name) for name in ("name", "persona", "goals")}
        given |= {"premise": turn.premise, "decisions": config.decisions, "words": config.words}
        now = {"attempt": attempt.describe(), "state": values["state"], "changes": schemas}
        now["meanings"] = describe_attempt(turn, attempt)
        now["described"] = [describe_change(path, schema) for path, schema in schemas.items()]
        system, prompt = config.system.render(**given), config.prompt.render(**given, **now)
        messages = [Message.system(system), *await turn.recall(), Message.user(prompt)]
        if config.prompt == PROMPT:  # which says what the values mean
            schemas = {path: without_meanings(schema) for path, schema in schemas.items()}
        answer: Any = (await turn.think(messages, schema=answer_schema(config, schemas))).parsed
        found = [(path, new) for path, new in answer.get("changes", {}).items() if new is not None]
        changes: list[Change] = [(path, new, "set", ("changes", paths[path])) for path, new in found]
        return answer["decision"], answer["rationale"], changes


def describe_attempt(turn: Turn, attempt: Event) -> list[str]:
    """What the attempted action and its arguments mean, as lines."""
    action = turn.action_of(attempt)
    if action is None:
        return []
    given = [(key, part) for key, part in action.schema["properties"].items() if key in attempt.payload]
    found = [one for key, part in given for one in describe_schema(part, key, action.schema)[1]]
    described = [(action.name, action.description)] if action.description else []
    return [f"{place}: {text}" for place, text in described + found]


def describe_change(path: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A value that a model can change, for the template. `meanings` are lines."""
    form, meanings = describe_schema(schema, path)
    return {"path": path, "form": form, "meanings": [f"{place}: {text}" for place, text in meanings]}


def answer_schema(config: WorldConfig, changes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of an answer. The rationale comes first, so that the decision follows from it."""
    inner = {path: {"anyOf": [schema, {"type": "null"}]} for path, schema in changes.items()}
    return _object(
        rationale={"type": "string", "minLength": 1, "maxLength": config.words * CHARACTERS_PER_WORD},
        decision={"type": "string", "enum": config.decisions},
        **({"changes": _object(**inner)} if inner else {}),
    )


def plain(value: Any) -> Any:
    """A copy of a read-only view as plain data."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple) else value


def assign(now: dict[str, Any], path: str, value: Any, op: Literal["set", "add"], option: Option) -> None:
    """Apply a change to the copy of the state that the next decision uses. Raises `Failed`."""
    keys = path.split(".")
    if keys[0] == "agents" or (keys[0] == "groups" and "".join(keys[1:2]) not in now["groups"]):
        raise Failed(f"{path}: {OWN}", *option)
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
        what = "it cannot be changed in this way; expected a path of keys, and a number or a list to add to"
        raise Failed(f"{path}: {what}", *option) from None
