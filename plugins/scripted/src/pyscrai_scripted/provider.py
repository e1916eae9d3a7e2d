"""The provider `scripted`."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any, ClassVar, TypeVar

from attrs import evolve, frozen

from pyscrai_core import (
    AuthenticationFailed,
    CallFailed,
    Completion,
    Message,
    Overloaded,
    Position,
    Provider,
    RateLimited,
    Request,
    RequestRejected,
    Sink,
    Text,
    TimedOut,
    ToolCall,
    ToolResult,
    Usage,
    compile_pattern,
    estimate_tokens,
)
from pyscrai_core.vendors import Option, OptionScores

from .config import EVERYONE_ELSE, Fault, ScriptedConfig, read_latency, read_odds, read_place, read_replies
from .generate import generate
from .replies import Reply, is_truncated, json_text, plain, read_reply, truncated
from .rules import Rule

T = TypeVar("T")

#: The model of every completion, so that the record shows that no model wrote the text.
MODEL = "scripted"

#: How many messages' estimates are cached.
_KNOWN_MESSAGES = 50_000

_WORD = re.compile(r"\s*\S+\s*|\s+")
_NO_USAGE = Usage()

_FAILURES: dict[str, Callable[[str], CallFailed]] = {
    "overload": Overloaded,
    "timeout": TimedOut,
    "reject": RequestRejected,
    "auth": AuthenticationFailed,
}


@frozen
class _Pattern:
    search: Callable[[str], Any]
    reply: Reply
    agent: str | None
    everywhere: bool


@frozen
class _Fault:
    """A fault with its parsed `at`. `index` gives each fault random numbers of its own."""

    index: int
    fault: Fault
    places: tuple[tuple[str | None, int | None], ...]

    def affects(self, request: Request) -> bool:
        agent, turn = request.position.agent, request.turn
        if self.places and not any(
            (whose is None or whose == agent) and (when is None or when == turn)
            for whose, when in self.places
        ):
            return False
        rate = self.fault.rate
        return rate >= 1 or _draw(f"fault {self.index}", request) < rate


class ScriptedProvider(Provider):
    """Answers with predefined replies; see `ScriptedConfig`.

    An answer only depends on the options and the request. The only state is the number of attempts of each
    call, which determines when an injected failure ends. Raises `RequestRejected` for a request without an
    answer.
    """

    Config: ClassVar[type] = ScriptedConfig
    capabilities = frozenset({"tools", "schema", "seed", "stream"})

    config: ScriptedConfig

    def cost(self, usage: Usage, model: str = "") -> float | None:
        return 0.0

    def __init__(self, config: ScriptedConfig) -> None:
        super().__init__(config)
        self._after = config.after
        self._replies = {} if config.replies is None else read_replies(config.replies, "replies", then=True)
        self._replies_else = self._replies.get(EVERYONE_ELSE)
        self._choices = {} if config.choice is None else read_replies(config.choice, "choice")
        self._choices_else = self._choices.get(EVERYONE_ELSE)
        self._rule = None if config.rule is None else Rule(config.rule)
        self._odds = Rule(config.odds, "odds") if isinstance(config.odds, str) else None
        if config.odds is not None:
            self.capabilities = self.capabilities | {"options"}
        self._patterns = [
            _Pattern(
                compile_pattern(pattern.match).search,
                read_reply(pattern.reply, "reply"),
                pattern.agent,
                pattern.where == "all",
            )
            for pattern in config.patterns
        ]
        self._latency = read_latency(config.latency)
        faults = [
            _Fault(index, fault, tuple(read_place(place, "at") for place in fault.at))
            for index, fault in enumerate(config.faults)
        ]
        self._faults = [fault for fault in faults if fault.fault.kind != "malformed"]
        self._malformed = [fault for fault in faults if fault.fault.kind == "malformed"]
        self._attempts: dict[tuple[int, Position], int] = {}
        self._known: dict[str, int] = {}

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        if self._latency[1]:
            await asyncio.sleep(self._delay(request))
        if self._faults:
            self._fail(request)
        reply = self._reply(request)
        if self._malformed and request.schema is not None and not reply.calls:
            reply = self._malform(reply, request)
        usage = Usage(self._input_tokens(request.messages), reply.tokens) if self.config.usage else _NO_USAGE
        completion = Completion(reply.text, usage=usage, model=MODEL)
        if reply.calls:
            completion = self._with_tool_calls(completion, reply, request)
        if sink is not None:
            for word in _WORD.findall(reply.text):
                sink.write(word)
        return completion

    async def score(self, request: Request, prefix: str, options: Sequence[Option]) -> OptionScores:
        """The log-probabilities of options, from the option `odds`. Raises `RequestRejected`."""
        if self._latency[1]:
            await asyncio.sleep(self._delay(request))
        if self._faults:
            self._fail(request)
        try:
            found = self.config.odds
            if self._odds is not None:
                random = Random(request.seed)
                names = self._names(self._odds, request)
                found = self._odds.evaluate(names, lambda values: _pick(values, random))
            odds = read_odds(found)
            # An object goes by its first key.
            texts = [one.key.split('"')[1] if one.opening else one.key for one in options]
            chances = [odds.get(text, 0.0) for text in texts]
            if math.fsum(chances) > 1 + 1e-9:
                what = f"the sum for {', '.join(texts)} is {math.fsum(chances):g}"
                raise ValueError(f"odds: {what}, expected 1 at most")
        except ValueError as error:
            raise RequestRejected(f"{_who(request)}: {error}") from error
        usage = Usage(self._input_tokens(request.messages), len(options)) if self.config.usage else _NO_USAGE
        return OptionScores(
            tuple(math.log(chance) if chance else -math.inf for chance in chances),
            off=max(0.0, 1 - math.fsum(chances)),
            usage=usage,
            model=MODEL,
        )

    # -- the answer -----------------------------------------------------------------------------

    def _reply(self, request: Request) -> Reply:
        if self._patterns and (reply := self._from_patterns(request)):
            return reply
        if self._rule and (reply := self._from_rule(self._rule, request)):
            return reply
        if replies := self._replies.get(request.position.agent, self._replies_else):
            return self._from_list(replies, request)
        if choices := self._choices.get(request.position.agent, self._choices_else):
            return _pick(choices, Random(request.seed))
        if self.config.generate and request.schema is not None:
            try:
                return plain(json_text(generate(request.schema, request.seed), "schema"))
            except ValueError as error:
                raise RequestRejected(f"{_who(request)}: generate: {error}") from None
        name = request.position.agent or EVERYONE_ELSE
        raise RequestRejected(
            f"{_who(request)}: there is no answer for this request, expected a pattern that matches, a rule "
            f"with a value, or replies; add `replies: {{{name!r}: […]}}` to the provider"
            + (f" {request.provider!r}" if request.provider else "")
            + (", or `generate: true`" if request.schema is not None and not self.config.generate else "")
        )

    def _from_list(self, replies: tuple[Reply, ...], request: Request) -> Reply:
        turn, count = request.turn, len(replies)
        if turn >= count:
            if self._after == "error":
                raise RequestRejected(
                    f"{_who(request)}: its {count} replies are used up; add replies, "
                    "or set `after` to repeat or last"
                )
            turn = count - 1 if self._after == "last" else turn % count
        reply = replies[turn]
        if reply.calls and request.messages and request.messages[-1].role == "tool":
            for _ in range(_rounds(request.messages)):
                if not reply.calls:
                    break
                if reply.then is None:
                    raise RequestRejected(
                        f"{_who(request)}: the tools have answered, but the reply has no next reply; "
                        "add `then: …` to its `tool_calls`"
                    )
                reply = reply.then
        return reply

    def _from_patterns(self, request: Request) -> Reply | None:
        agent, last, everything = request.position.agent, None, None
        for pattern in self._patterns:
            if pattern.agent is not None and pattern.agent != agent:
                continue
            if pattern.everywhere:
                if everything is None:
                    everything = "\n".join(map(_text, request.messages))
                text = everything
            else:
                if last is None:
                    last = _last(request)
                text = last
            try:
                if pattern.search(text):
                    return pattern.reply
            except ValueError as error:
                raise RequestRejected(f"{_who(request)}: match: {error}; make it simpler") from None
        return None

    def _from_rule(self, rule: Rule, request: Request) -> Reply | None:
        random = Random(request.seed)
        try:
            value = rule.evaluate(self._names(rule, request), lambda values: _pick(values, random))
            return None if value is None else read_reply(value, "its value")
        except ValueError as error:
            raise RequestRejected(
                f"{_who(request)}: rule: {error}; change the rule {self.config.rule!r}"
            ) from error

    def _names(self, rule: Rule, request: Request) -> dict[str, Any]:
        """The variables of a rule."""
        names: dict[str, Any] = {
            "agent": request.position.agent,
            "step": request.position.step,
            "turn": request.turn,
            "seed": request.seed,
        }
        # Computing these takes time, so it is only done for a rule that uses them.
        if "last" in rule.uses:
            names["last"] = _last(request)
        if "schema" in rule.uses:
            names["schema"] = request.schema
        if "messages" in rule.uses:
            names["messages"] = [
                {"role": message.role, "text": _text(message)} for message in request.messages
            ]
        return names

    def _with_tool_calls(self, completion: Completion, reply: Reply, request: Request) -> Completion:
        if not request.tools:
            raise RequestRejected(
                f"{_who(request)}: the reply calls {reply.calls[0].name!r}, and the request offers no tools; "
                "add tools to the agent, or change the reply"
            )
        # Positions are unique in a run, so the ids are too. Vendors allow letters and digits in ids.
        mark = hashlib.sha256(str(request.position).encode()).hexdigest()[:12]
        calls = tuple(
            ToolCall(f"call-{mark}-{index}", use.name, deepcopy(use.arguments))
            for index, use in enumerate(reply.calls)
        )
        return evolve(completion, tool_calls=calls, finish_reason="tool_calls")

    # -- latency and faults ---------------------------------------------------------------------

    def _delay(self, request: Request) -> float:
        low, high = self._latency
        return low if low == high else low + (high - low) * _draw("latency", request)

    def _fail(self, request: Request) -> None:
        """Raise the failure for this attempt, if any. Faults that affect the same call follow each other."""
        affecting = [each.fault for each in self._faults if each.affects(request)]
        if not affecting:
            return
        call = (request.seed, request.position)
        attempt = self._attempts.get(call, 0)
        self._attempts[call] = attempt + 1
        for fault in affecting:
            if fault.times < 0 or attempt < fault.times:
                message = f"{_who(request)}: the injected fault {fault.kind}; see `faults` of the provider"
                if fault.kind == "rate-limit":
                    raise RateLimited(message, fault.retry_after)
                raise _FAILURES[fault.kind](message)
            attempt -= fault.times
        del self._attempts[call]

    def _malform(self, reply: Reply, request: Request) -> Reply:
        """The reply, or its first half if a fault `malformed` affects the call.

        A repair is a new call whose request contains the malformed answer. Malformed answers are counted in
        the request, so the answer only depends on the request, even after an interruption.
        """
        half = truncated(reply.text)
        given = sum(
            message.role == "assistant" and (message.text == half or is_truncated(message.text))
            for message in request.messages
        )
        for each in self._malformed:
            if each.affects(request) and (each.fault.times < 0 or given < each.fault.times):
                return plain(half)
        return reply

    # -- usage ----------------------------------------------------------------------------------

    def _input_tokens(self, messages: tuple[Message, ...]) -> int:
        known = self._known
        if len(known) > _KNOWN_MESSAGES:
            known.clear()
        # New messages are at the end of the history.
        for message in reversed(messages):
            if message.digest in known:
                break
            known[message.digest] = estimate_tokens(message)
        try:
            return sum([known[message.digest] for message in messages])
        except KeyError:
            known.update((message.digest, estimate_tokens(message)) for message in messages)
            return sum([known[message.digest] for message in messages])


def _who(request: Request) -> str:
    return f"scripted: {request.position.agent or 'no agent'}, turn {request.turn}"


def _draw(purpose: str, request: Request) -> float:
    """A random number from 0 to below 1. It only depends on the seed, the position and `purpose`."""
    position = request.position
    return Random(f"{purpose}|{request.seed}|{position.agent}|{position.step}|{position.path}").random()


def _pick(values: Sequence[T], random: Random) -> T:
    # Python only guarantees random() to give the same values in every version.
    if not values:
        raise ValueError("choice: nothing to choose from")
    return values[int(random.random() * len(values))]


def _text(message: Message) -> str:
    """The text of a message, including the results of tools."""
    return "".join(
        part.text if isinstance(part, Text) else part.content
        for part in message.parts
        if isinstance(part, Text | ToolResult)
    )


def _last(request: Request) -> str:
    return _text(request.messages[-1]) if request.messages else ""


def _rounds(messages: tuple[Message, ...]) -> int:
    """How many rounds of tool calls are at the end of the conversation."""
    rounds = 0
    for message in reversed(messages):
        if message.role == "assistant" and any(isinstance(part, ToolCall) for part in message.parts):
            rounds += 1
        elif message.role != "tool":
            break
    return rounds
