"""The frozen records that cross the contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import orjson
from attrs import evolve, frozen

from .canonical import canonical
from .messages import Message, Text, Thinking, ToolCall, part_to_dict

# -- plugins ------------------------------------------------------------------------------------


@frozen
class Extension:
    """One named thing that a plugin offers.

    `target` is `module:attribute` and is imported when the extension is first used; `summary` is the
    line that `pyscrai plugins` shows.
    """

    name: str
    target: str
    summary: str = ""


# -- calls --------------------------------------------------------------------------------------


@frozen
class ToolSpec:
    """What a model is told about a tool: its name, what it does, and its parameters (JSON Schema)."""

    name: str
    description: str
    parameters: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "description": self.description, "parameters": self.parameters}


@frozen
class Sampling:
    """How tokens are drawn. None leaves the choice to the vendor.

    `temperature` and `top_p` as vendors define them; `max_tokens` bounds the answer, in the model's
    tokens; `stop` lists the strings that end it.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "stop": list(self.stop),
        }


@frozen
class Position:
    """Where in a run a call is made: by which agent, in which step, on which path inside the turn.

    It is unique in a run and does not depend on what happens at the same time, which is why a journal
    can be keyed by it and random streams be seeded from it.
    """

    agent: str
    step: int
    path: str

    def __str__(self) -> str:
        return f"{self.agent} at step {self.step}, {self.path}"


@frozen
class Request:
    """What is asked of a model.

    `provider` names the scenario's provider that it goes to (empty: the agent's own). `schema` (JSON
    Schema) demands an answer that is JSON of that form; `tools` may be called by the model. What
    `sampling` leaves open is filled in from the provider's options. `seed`, `turn` (the agent's own
    turns, counted from 0) and `position` are set by the kernel when the request is sent.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    tools: tuple[ToolSpec, ...] = ()
    sampling: Sampling = Sampling()
    provider: str = ""
    seed: int = 0
    turn: int = 0
    position: Position = Position("", 0, "")

    def but(self, **changes: Any) -> Request:
        """A copy with some fields changed: how a reasoning strategy varies the request it was given."""
        return evolve(self, **changes)


@frozen
class Usage:
    """Tokens of a call.

    `input_tokens` are all that were sent; `cached_tokens` those of them that the vendor read from its cache,
    `cache_write_tokens` those that it charged for writing into it. Thinking is part of `output_tokens`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
        )

    def to_dict(self) -> dict[str, int]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "cache_write_tokens": self.cache_write_tokens,
        }


@frozen
class Price:
    """A model's price in US dollars for a million tokens. None: as for other input."""

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None

    def of(self, usage: Usage) -> float:
        """What a call with this usage costs, in US dollars."""
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        return (
            max(0, plain) * self.input
            + usage.cached_tokens * cached
            + usage.cache_write_tokens * written
            + usage.output_tokens * self.output
        ) / 1_000_000


@frozen
class Cost:
    """Money: US dollars as far as prices are known, and the number of completions whose price is not."""

    dollars: float = 0.0
    unpriced: int = 0

    @classmethod
    def of(cls, dollars: float | None) -> Cost:
        """The cost of one completion; None: its price is unknown."""
        return cls(0.0, 1) if dollars is None else cls(dollars, 0)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.dollars + other.dollars, self.unpriced + other.unpriced)

    def to_dict(self) -> dict[str, float | int]:
        return {"dollars": round(self.dollars, 9), "unpriced": self.unpriced}


@frozen
class RateLimitStatus:
    """What a vendor says is left of its rate limits: so many requests and tokens, anew after so many seconds.

    None: it does not say.
    """

    requests: int | None = None
    tokens: int | None = None
    requests_reset: float | None = None
    tokens_reset: float | None = None


FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "refusal", "other"]


@frozen
class Completion:
    """A model's answer.

    `parsed` is the decoded value where the request had a schema (the kernel sets it, after the check);
    `model` is the model as served, in the vendor's words. `allowance` is for the limiter and is not kept.
    """

    text: str
    parsed: Any = None
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: tuple[Thinking, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    model: str = ""
    allowance: RateLimitStatus | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that is journaled; `parsed` follows from `text` and is left out."""
        return {
            "text": self.text,
            "tool_calls": [part_to_dict(call) for call in self.tool_calls],
            "thinking": [part_to_dict(part) for part in self.thinking],
            "finish_reason": self.finish_reason,
            "usage": self.usage.to_dict(),
            "model": self.model,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], parsed: Any = None) -> Completion:
        """The inverse of `to_dict`."""
        return cls(
            text=data["text"],
            parsed=parsed,
            tool_calls=tuple(ToolCall(**call) for call in data["tool_calls"]),
            thinking=tuple(Thinking(**part) for part in data["thinking"]),
            finish_reason=data["finish_reason"],
            usage=Usage(**data["usage"]),
            model=data["model"],
        )

    def message(self) -> Message:
        """The answer as the assistant's message, for a request that goes on from it."""
        return Message(
            "assistant", (*self.thinking, *([Text(self.text)] if self.text else ()), *self.tool_calls)
        )


# -- events -------------------------------------------------------------------------------------

#: The audience of an event that everybody hears.
EVERYONE = "*"


@frozen
class Event:
    """A fact in a run's log.

    seq
        its number, from 1, without gaps
    step
        the step in which it happened (0: before the first)
    kind
        what it is: `say`, an action's name, `change`, `rejected`, …
    source
        the agent that it comes from (`@kernel`, `@outside` for others)
    audience
        names of agents and groups; `("*",)` is everyone, `()` the researcher alone. The source always
        sees its own events.
    payload
        plain JSON
    cause
        the number of the event that it answers, if there is one
    """

    seq: int
    step: int
    kind: str
    source: str
    audience: tuple[str, ...]
    payload: dict[str, Any]
    cause: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "step": self.step,
            "kind": self.kind,
            "source": self.source,
            "audience": list(self.audience),
            "payload": self.payload,
            "cause": self.cause,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        return cls(**{**data, "audience": tuple(data["audience"])})

    def line(self) -> bytes:
        """The event's line in the canonical log, without the newline."""
        return canonical(self.to_dict())

    def describe(self) -> str:
        """The event as text, as an agent's prompt or a transcript shows it.

        One event is one paragraph: further lines are indented, so that nobody's words can pass for the
        beginning of somebody else's.
        """
        payload = self.payload
        if self.kind == "say":
            to = "" if EVERYONE in self.audience else f" (to {', '.join(self.audience) or 'nobody'})"
            return f"{self.source}{to}: {_plain(payload['text'])}"
        if self.kind == "tool":
            said = "" if "result" not in payload else f": {_plain(payload['result'])}"
            failed = "" if "error" not in payload else f", which failed: {_plain(payload['error'])}"
            return f"({self.source} used {payload['name']}({_named(payload['arguments'])}){said}{failed})"
        if self.kind == "thought":
            return f"({self.source} thinks: {_plain(payload['text'])})"
        if self.kind == "rejected":
            return f"({self.source} tried {payload['kind']}: not possible, {_plain(payload['reason'])})"
        text = payload.get("text")
        if type(text) is str and len(payload) == 1:
            return f"[{self.source}: {self.kind}] {_plain(text)}"
        given = _named(payload)
        return f"[{self.source}: {self.kind}{' ' if given else ''}{given}]"


def _named(values: dict[str, Any]) -> str:
    return ", ".join([f"{key}: {_plain(value)}" for key, value in values.items()])


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("\n", "\n  ") if "\n" in value else value
    return str(value) if type(value) is int else orjson.dumps(value).decode()


RunStatus: TypeAlias = Literal["running", "paused", "completed", "failed", "stopped", "interrupted"]


@frozen
class CallRecord:
    """What observers are told of a call: first `started`, then `answered` or `failed`.

    In between it may be `waiting` for its turn or a fallback (`error` says why), or `retrying`: an attempt
    failed (`error`), and the next follows after `wait` seconds.
    `kind` is `complete`, `embed`, `tool`, `tools`, `ask` or `now`. `answer` is the decoded answer; `usage`,
    `model` and `cost` (US dollars, None: unknown) are set for completions; `journaled` tells that the answer
    came from the journal, so that nobody was asked. `seconds` is the wall time of a live call.
    """

    position: Position
    kind: str
    status: Literal["started", "waiting", "retrying", "answered", "failed"]
    target: str = ""
    answer: Any = None
    error: str = ""
    usage: Usage = Usage()
    model: str = ""
    journaled: bool = False
    seconds: float = 0.0
    cost: float | None = None
    wait: float = 0.0


@frozen
class RunResult:
    """What an execution came to.

    `status` is how it ended, `error` why if it did not complete; `events` the whole log; `outcomes` the
    scenario's named values; `fingerprint` the SHA-256 of the canonical log; `calls` counts all calls
    of the run, `asked` those that this execution really made.
    """

    run: str
    scenario: str
    seed: int
    status: RunStatus
    fingerprint: str
    steps: int
    events: tuple[Event, ...]
    calls: int
    asked: int
    usage: Usage
    outcomes: dict[str, Any]
    error: str = ""
    cost: Cost = Cost()

    def to_dict(self) -> dict[str, Any]:
        """The summary that `--json` prints (the events as a count)."""
        return {
            "run": self.run,
            "scenario": self.scenario,
            "seed": self.seed,
            "status": self.status,
            "fingerprint": self.fingerprint,
            "steps": self.steps,
            "events": len(self.events),
            "calls": self.calls,
            "asked": self.asked,
            "usage": self.usage.to_dict(),
            "cost": self.cost.to_dict(),
            "outcomes": self.outcomes,
            "error": self.error,
        }


def as_audience(audience: str | Sequence[str]) -> tuple[str, ...]:
    """An audience as events carry it: a bare name is an audience of one."""
    return (audience,) if isinstance(audience, str) else tuple(audience)
