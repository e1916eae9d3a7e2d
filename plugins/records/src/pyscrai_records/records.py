"""Immutable records that the kernel and plugins exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import orjson
from attrs import evolve, field, frozen

from .base.frozen import Sealed, as_tuple, freeze, freeze_schema
from .canonical import canonical
from .messages import Message, Text, Thinking, ToolCall, part_to_dict


@frozen
class Extension:
    """A named extension that a plugin offers.

    `target` is `module:attribute`, imported when the extension is first used. `pyscrai plugins` shows
    `summary`.
    """

    name: str
    target: str
    summary: str = ""


# -- calls --------------------------------------------------------------------------------------


@frozen
class ToolSpec(Sealed):
    """The description of a tool for a model: name, what it does, and parameters (JSON Schema)."""

    name: str
    description: str
    parameters: dict[str, Any] = field(converter=freeze_schema)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "description": self.description, "parameters": self.parameters}


@frozen
class Sampling(Sealed):
    """How an answer is sampled. None: the vendor's default.

    `temperature` and `top_p` are as vendors define them, `max_tokens` limits the answer, in the model's
    tokens, and `stop` lists the strings that end it.
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
class Position(Sealed):
    """Where in a run a call is made: the agent, the step, and the path inside the turn.

    It is unique in a run and independent of concurrent calls. The journal uses it as a key, and random
    streams are seeded from it.
    """

    agent: str
    step: int
    path: str

    def __str__(self) -> str:
        return f"{self.agent} at step {self.step}, {self.path}"


@frozen
class Request(Sealed):
    """A request to a model.

    `provider` names a provider of the scenario (empty: the agent's own). If `schema` (JSON Schema) is set,
    the answer must be JSON that fits it. The model may call `tools`. Missing values of `sampling` are filled
    in from the provider's options. If `speaks` is set, the answer is what the agent says or does: the kernel
    keeps it from speaking for other agents. The kernel sets `seed`, `turn` (the agent's turns, counted from
    0) and `position` when it sends the request.
    """

    messages: tuple[Message, ...] = field(converter=as_tuple)
    schema: dict[str, Any] | None = field(default=None, converter=freeze_schema)
    tools: tuple[ToolSpec, ...] = field(default=(), converter=as_tuple)
    sampling: Sampling = Sampling()
    speaks: bool = False
    provider: str = ""
    seed: int = 0
    turn: int = 0
    position: Position = Position("", 0, "")

    def but(self, **changes: Any) -> Request:
        """Return a copy with some fields changed."""
        return evolve(self, **changes)


@frozen
class Usage(Sealed):
    """Tokens of a call.

    `input_tokens` counts all input. It includes `cached_tokens`, which the vendor read from its cache, and
    `cache_write_tokens`, which it charged for writing to the cache. `output_tokens` includes thinking. If the
    vendor did not report input or output, the kernel estimates it and sets `estimated`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = field(default=False, converter=bool)

    @property
    def total(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        if self is NO_USAGE:
            return other
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.estimated or other.estimated,
        )

    def to_dict(self) -> dict[str, int | bool]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "estimated": self.estimated,
        }


NO_USAGE = Usage()


@frozen
class Price:
    """A model's price in US dollars for a million tokens. None: the same as `input`."""

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None

    def of(self, usage: Usage) -> float:
        """The cost of a call with this usage, in US dollars."""
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
class Cost(Sealed):
    """The known cost in US dollars, and the number of completions whose price is unknown."""

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
    """The vendor's rate limits: the remaining requests and tokens, and the seconds until each is reset.

    None: not reported.
    """

    requests: int | None = None
    tokens: int | None = None
    requests_reset: float | None = None
    tokens_reset: float | None = None


#: Why an answer ended. `refusal` and `content_filter`: the model refused, or the vendor withheld the answer.
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "refusal", "content_filter", "other"]


@frozen
class Completion(Sealed):
    """A model's answer.

    A provider returns what the vendor sent, also if it is odd: the kernel checks it. The text may be a list
    of content parts, and a tool call's arguments may be JSON text. If the request had a schema, the kernel
    sets `parsed`. `model` is what the vendor reports. If the kernel took something out of the text, such as
    thoughts or lines of other agents, `raw` is the text as it came. `draws` are the kernel's (see
    `answers.draws`). The limiter uses `allowance`; it is not stored.
    """

    text: str
    parsed: Any = None
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: tuple[Thinking, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = NO_USAGE
    model: str = ""
    raw: str = ""
    draws: tuple[dict[str, Any], ...] = ()
    allowance: RateLimitStatus | None = None

    @property
    def truncated(self) -> bool:
        """Whether the answer was cut off at `max_tokens` or at the end of the model's context."""
        return self.finish_reason == "length"

    @property
    def why_empty(self) -> str:
        """What is known of why an answer without text is empty, with a remedy; "" if nothing is."""
        if self.truncated:
            return "all its tokens went elsewhere, such as into its thinking; raise `max_tokens`"
        told = "all that it wrote are thoughts; let it think less, or raise `max_tokens`"
        return told if self.thinking else ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that is journaled, without `parsed`, which follows from `text`."""
        return {
            "text": self.text,
            "tool_calls": [part_to_dict(call) for call in self.tool_calls],
            "thinking": [part_to_dict(part) for part in self.thinking],
            "finish_reason": self.finish_reason,
            "usage": self.usage.to_dict(),
            "model": self.model,
            "raw": self.raw,
            **({"draws": list(self.draws)} if self.draws else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], parsed: Any = None) -> Completion:
        """The inverse of `to_dict`."""
        return cls(
            data["text"],
            parsed,
            tuple([ToolCall(**call) for call in data["tool_calls"]]),
            tuple([Thinking(**part) for part in data["thinking"]]),
            data["finish_reason"],
            Usage(**data["usage"]),
            data["model"],
            data.get("raw", ""),  # stores of older versions have none
            tuple(data.get("draws", ())),
        )

    def message(self) -> Message:
        """The answer as the assistant's message, for a request that continues the conversation."""
        return Message(
            "assistant", (*self.thinking, *([Text(self.text)] if self.text else ()), *self.tool_calls)
        )


# -- events -------------------------------------------------------------------------------------

#: The audience of an event that every agent sees.
EVERYONE = "*"


class Sink(Protocol):
    """Receives the text of an answer while it is streamed."""

    def write(self, text: str) -> None: ...


@frozen
class Event(Sealed):
    """An event in a run's log.

    seq
        the number, from 1, without gaps
    step
        the step in which it happened (0: before the first)
    kind
        the kind: `say`, an action's name, `change`, `rejected`, …
    source
        the agent that drafted it; else `@kernel` or `@outside`
    audience
        names of agents and groups; `("*",)` is everyone, `()` the researcher alone. The source always
        sees its own events.
    payload
        plain JSON
    cause
        the number of the event that caused it, if any
    """

    seq: int
    step: int
    kind: str
    source: str
    audience: tuple[str, ...]
    payload: dict[str, Any] = field(converter=freeze)
    cause: int | None = None
    _described: str = field(default="", init=False, eq=False, repr=False)

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

    def describe(self, *, named: bool = True) -> str:
        """The event as text, as an agent's prompt or a transcript shows it.

        One event is one paragraph: further lines are indented, so that nobody's words can pass for the
        beginning of somebody else's. Without `named`, what is said to everyone has no name in front.
        """
        if not named and self.kind == "say" and EVERYONE in self.audience and self.payload["text"].strip():
            return _plain(self.payload["text"])
        if not self._described:  # each agent who hears it asks for the same
            object.__setattr__(self, "_described", self._describe())
        return self._described

    def _describe(self) -> str:
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
class RunResult:
    """The result of an execution.

    `status` is how it ended, `error` the reason if it did not complete, `events` the whole log, `outcomes`
    the values of the scenario's outcomes, and `fingerprint` the SHA-256 of the canonical log. `calls` is the
    number of all calls of the run, `asked` the number of those that this execution made itself, and
    `truncated` the number of answers that were cut off. `measures` are series of `[step, value]` by name,
    and `tables` lists of rows by name, each row a mapping of its columns.
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
    outcomes: dict[str, Any] = field(converter=freeze)
    error: str = ""
    cost: Cost = Cost()
    truncated: int = 0
    measures: dict[str, Any] = field(factory=dict, converter=freeze)
    tables: dict[str, Any] = field(factory=dict, converter=freeze)

    def to_dict(self) -> dict[str, Any]:
        """The summary that `--json` prints, with the number of events instead of the events."""
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
            "truncated": self.truncated,
            "outcomes": self.outcomes,
            "measures": self.measures,
            "tables": self.tables,
            "error": self.error,
        }


def as_audience(audience: str | Sequence[str]) -> tuple[str, ...]:
    """Return an audience in the form that events have. A single name is an audience of one."""
    return (audience,) if isinstance(audience, str) else tuple(audience)
