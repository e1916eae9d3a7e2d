"""Call vendors: one completion, with limits, timeouts, retries (see `retry`) and fallbacks.

What comes out is an answer or the final failure, and a record of each attempt. No journal is known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import cache, partial
from itertools import islice, pairwise
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from attrs import define, evolve

from pyscrai_answers import emulation, reading
from pyscrai_answers.closed import MOST_OPTIONS, has_choices, too_many
from pyscrai_answers.draws import Bounds as DrawBounds
from pyscrai_answers.draws import Oracle, check_scores, draw_answer
from pyscrai_answers.options import Option, OptionScores
from pyscrai_answers.own_words import speakers
from pyscrai_answers.streaming import CallsSink, FieldsSink, OwnWordsSink, ThoughtlessSink, WordsSink
from pyscrai_records.base.log import report
from pyscrai_records.errors import (
    TELL,
    AnswerRejected,
    CallFailed,
    ContractError,
    RequestRejected,
    RunStopping,
    TimedOut,
    TransientError,
)
from pyscrai_records.messages import estimate_tokens, tokens_of
from pyscrai_records.records import Completion, RateLimitStatus, Request, Sink, Usage
from pyscrai_records.secret import redact

from ..contracts import Provider
from ..discovery.blame import awaitable, check_list, describe, origin, raiser, wrong
from ..scenario.model import CallPolicy
from .call import Call
from .limiter import Bounds, Ticket, account
from .retry import Tell, with_retries

Result = TypeVar("Result")

#: Who waits longer than this for its turn, says so; in seconds.
SHORT_WAIT = 2.0
#: The tokens that an answer is estimated at where `max_tokens` leaves it open.
ANSWER_TOKENS = 512
#: Stands for the text of an answer that could not be read.
LOST = "…"
#: How many stop sequences are added to a request: OpenAI accepts four.
STOPS = 4


@define
class _Send(Generic[Result]):
    """What is asked of a provider: its estimated `tokens`, and how to `send` it.

    `used` is what an answer used, and `read` reads it, after it was paid for. `lost` is what an answer used
    that the provider could not read, from what it reported.
    """

    tokens: Callable[[], int]
    send: Callable[[], Awaitable[Any]]
    used: Callable[[Any], tuple[Usage, RateLimitStatus | None]]
    read: Callable[[Any], Result]
    lost: Callable[[Usage], Usage] = reading.plausible


class Providers:
    """The opened providers of one run, with how they may be called."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        policies: Mapping[str, CallPolicy],
        limits: Mapping[str, Mapping[str, int]],
        concurrency: int,
        agents: Sequence[str],
        draws: Mapping[str, str] = MappingProxyType({}),
        oracle: Oracle | None = None,
    ) -> None:
        self._providers = providers
        self._policies, self._limits = policies, limits
        self._agents, self._speakers = agents, speakers(tuple(agents))
        self._draws, self._bounds, self._oracle = draws, DrawBounds(), oracle
        self._accounts = {name: account(provider.account) for name, provider in providers.items()}
        self._slots = asyncio.Semaphore(concurrency)
        # The parts of an answer with closed choices follow each other, so that a cache has what came before.
        self._drawn = {
            name: asyncio.Semaphore(provider.concurrency or concurrency)
            for name, provider in providers.items()
        }
        self._waiting: set[asyncio.Future[Any]] = set()
        #: Whether answers of a provider close thoughts that no tag opened, as far as one was seen.
        self._closes: dict[str, bool] = {}
        self._warn = reading.Once()
        self.stopping = False

    def stop(self) -> None:
        """No further attempt starts: what waits for its turn or for another try, ends."""
        self.stopping = True
        for waiting in list(self._waiting):
            waiting.cancel()

    async def ask(self, request: Request, call: Call, sink: Sink | None, tell: Tell) -> Completion:
        """The answer of the request's provider, or of one of its fallbacks.

        Raises what the last of them failed with: `TransientError` when all tries are used up, or what
        a permanent failure. `call` is filled in on the way.
        """
        names = [self._known(call), *self._policies[call.target].fallback]
        for name, following in pairwise(names):
            call.provider = name
            try:
                return await self._completion(request, call, sink, tell, last=False)
            except TransientError as error:
                tell(f"provider {following!r} is asked instead of {name!r}, which failed: {error}")
        call.provider = names[-1]
        return await self._completion(request, call, sink, tell, last=True)

    def timeout(self, call: Call) -> float:
        """For how many seconds a call may be answered."""
        policy = self._policies.get(call.target)
        return max([policy.timeout, *[self._policies[n].timeout for n in policy.fallback]]) if policy else 0.0

    def _known(self, call: Call) -> str:
        """The name of the provider that a call is for. Raises `ContractError` if there is none."""
        if call.target not in self._providers:
            known = ", ".join(self._providers) or "none"
            raise ContractError(f"there is no provider {call.target!r}; the scenario's: {known}")
        return call.target

    async def _completion(
        self, request: Request, call: Call, sink: Sink | None, tell: Tell, last: bool
    ) -> Completion:
        """The answer of the provider of `call`; with closed choices, if the kernel draws them."""
        schema, oracle = request.schema, self._oracle
        if schema is None or request.tools or self._draws.get(call.provider) != "kernel":
            return await self._written(request, call, sink, tell, last)
        if count := too_many(schema):
            self._bounds.too_many(call.provider, request.position, count, MOST_OPTIONS)
        if not has_choices(schema):
            return await self._written(request, call, sink, tell, last)
        sinks = iter((sink,))  # what is written anew is not shown twice
        parts: list[tuple[float, float]] = []  # when each part of the answer was asked for, and how long

        async def write(part: Request) -> Completion:
            answer = await self._written(part, call, next(sinks, None), tell, last)
            parts.append((call.started, call.seconds))
            return answer

        async def score(part: Request, prefix: str, options: Sequence[Option]) -> OptionScores:
            scores = await self._scores(part, prefix, options, call, tell, last)
            parts.append((call.started, call.seconds))
            self._bounds.check(scores, call.provider, part.position)
            call.model = scores.model or call.model
            return scores

        if oracle is None:
            call.held, place, clock = True, self._drawn[call.provider], time.perf_counter()
            await self._unless_stopped(place.acquire())
            call.queued += time.perf_counter() - clock
            try:
                answer = await draw_answer(request, score, write)
            finally:
                place.release()
            call.started, call.seconds = parts[0][0], sum(seconds for _, seconds in parts)
            return answer

        async with oracle.answer():
            return await draw_answer(request, partial(oracle.scores, ask=score), write, oracle.choose)

    async def _scores(
        self, request: Request, prefix: str, options: Sequence[Option], call: Call, tell: Tell, last: bool
    ) -> OptionScores:
        """The options' log-probabilities behind `prefix`."""
        provider = self._providers[call.provider]
        fitted, _ = emulation.adapt(request, provider.capabilities)
        usage = evolve(estimated(fitted), output_tokens=len(options))
        sending = _Send(
            tokens=lambda: usage.total,
            send=lambda: awaitable(provider, "score", provider.score(fitted, prefix, options)),
            used=lambda scores: (reading.usage_of(scores, usage, self._warn), None),
            read=lambda scores: check_scores(scores, options),
        )
        return await self._with_retries(sending, call, tell, last)

    async def _written(
        self, request: Request, call: Call, sink: Sink | None, tell: Tell, last: bool
    ) -> Completion:
        """What the provider of `call` answers."""
        if self._oracle is not None:
            raise ContractError(
                f"provider {call.provider!r} would write text of its own or choose by "
                "itself, expected closed choices alone (enum, boolean, a range of at most "
                f"{MOST_OPTIONS}, an action) that the kernel draws; for an actor, set `speak: false`; take "
                "reasoning, tools and free text out of the scenario, and ask a provider that tells the "
                "probabilities of options, such as llamacpp, without `draw: provider`"
            )
        provider, policy = self._providers[call.provider], self._policies[call.provider]
        for option, why in provider.refuses(request.sampling).items():
            raise RequestRejected(f"provider {call.provider!r}: {option}: {why}")
        fitted, from_text = emulation.adapt(request, provider.capabilities)
        if "stop" in provider.capabilities:
            fitted = self._with_stops(fitted, provider)
        structured = fitted.schema is not None or request.schema is not None or fitted.tools != request.tools

        def read(sent: tuple[Completion, Usage, RateLimitStatus | None]) -> Completion:
            raw = reading.read_raw(sent[0], policy, structured, self._warn, sent[1])
            call.model = raw.model
            return reading.check(from_text(raw), request, policy, self._speakers, self._warn)

        async def send() -> tuple[Completion, Usage, RateLimitStatus | None]:
            words = None if streamed is None else self._words_of(request, streamed, call.provider)
            answer = await awaitable(provider, "complete", provider.complete(fitted, words))
            if not isinstance(answer, Completion):
                raise wrong(provider, "complete", answer, "a Completion")
            if words is not None and answer.finish_reason not in reading.WITHHELD:
                words.end()
            if words is not None and request.schema is None:
                self._closes[call.provider] = words.closed or self._closes.get(call.provider, False)
            usage = reading.known_usage(answer, lambda: estimated(fitted), fitted, self._warn)
            return answer, usage, reading.known_allowance(answer)

        streamed = sink if "stream" in provider.capabilities else None
        sending = _Send(
            tokens=lambda: estimated(fitted).total,
            send=send,
            used=lambda sent: sent[1:],
            read=read,
            lost=lambda usage: reading.known_usage(
                Completion(LOST, usage=usage), lambda: estimated(fitted), fitted, self._warn
            ),
        )
        return await self._with_retries(sending, call, tell, last)

    def _words_of(self, request: Request, sink: Sink, name: str) -> WordsSink:
        """A sink that passes the agent's words in the answer of the provider `name` on to `sink`."""
        policy = self._policies[name]
        if request.schema is not None:
            return WordsSink(FieldsSink(sink, reading.reads_own_words(request, policy, self._speakers)))
        if request.speaks:
            sink = OwnWordsSink(sink, request.position.agent, self._speakers)
        sink = CallsSink(sink, request)
        if policy.split_thoughts:  # its first answer tells whether a model closes some that no tag opened
            sink = ThoughtlessSink(sink, waits=self._closes.get(name, True))
        return WordsSink(sink)

    def _with_stops(self, request: Request, provider: Provider) -> Request:
        """The request with stop sequences where another agent would begin to speak."""
        if not request.speaks or request.schema is not None or request.tools:
            return request
        given = request.sampling.stop
        others = (f"\n{name}:" for name in self._agents if name != request.position.agent)
        stops = (*given, *islice(others, max(0, STOPS - len(given))))
        sampling = evolve(request.sampling, stop=stops)
        return request if "stop" in provider.refuses(sampling) else request.but(sampling=sampling)

    async def embed(self, texts: Sequence[str], call: Call, tell: Tell) -> list[list[float]]:
        """The vectors of `texts`. Fallbacks are not asked: vectors of different models cannot be compared."""
        call.provider = self._known(call)
        provider = self._providers[call.provider]
        sending = _Send(
            tokens=lambda: sum(map(estimate_tokens, texts)),
            send=lambda: awaitable(provider, "embed", provider.embed(texts)),
            used=lambda vectors: (Usage(sum(map(estimate_tokens, texts)), estimated=True), None),
            read=lambda vectors: _one_each(provider, vectors, texts),
        )
        return await self._with_retries(sending, call, tell, last=True)

    def _with_retries(self, sending: _Send[Result], call: Call, tell: Tell, last: bool) -> Awaitable[Result]:
        """Ask the provider of `call` until it answers, fails permanently, or was retried long enough."""
        policy, vendor = self._policies[call.provider], self._accounts[call.provider]
        # A vendor that is down is not waited for where another one is named.
        patience = policy.retry.seconds if last else 0.0
        return with_retries(
            lambda: self._once(sending, call, patience, tell),
            call,
            policy.retry,
            vendor,
            tell,
            lambda seconds: self._unless_stopped(asyncio.sleep(seconds)),
        )

    async def _once(self, sending: _Send[Result], call: Call, patience: float, tell: Tell) -> Result:
        name = call.provider
        policy, vendor = self._policies[name], self._accounts[name]
        clock = time.perf_counter()
        call.started, call.seconds, call.held = time.time(), 0.0, True
        try:
            # Estimating a long history takes time, so only for who counts tokens.
            now = self._bounds_of(name)
            tokens = sending.tokens() if vendor.counts_tokens(now) else 0
            ticket = vendor.enter_now(now, tokens)
            delayed = ticket is None or bool(call.attempts)
            if ticket is None:
                bounds = partial(self._bounds_of, name)
                entering = asyncio.ensure_future(vendor.enter(bounds, tokens, patience))
                ticket = await self._enter(
                    entering, lambda: tell(f"waiting for the limits of provider {name!r}")
                )
            with ticket:
                free = not self._slots.locked()
                await (self._slots.acquire() if free else self._unless_stopped(self._slots.acquire()))
                try:
                    if self.stopping:
                        raise RunStopping
                    call.queued += time.perf_counter() - clock
                    call.started, clock = time.time(), time.perf_counter()
                    call.held = False
                    ticket.sent()
                    if delayed:
                        tell(None)
                    try:
                        answer = await _send(sending, policy.timeout)
                    finally:
                        call.seconds, call.held = time.perf_counter() - clock, True
                    usage, allowance = sending.used(answer)
                    vendor.succeeded(ticket, usage, allowance)
                    call.usage += usage
                    return sending.read(answer)
                finally:
                    self._slots.release()
        except CallFailed as error:
            if error.usage is not None:
                call.usage += sending.lost(error.usage)
            who = "" if isinstance(error, AnswerRejected) else f"provider {name!r}: "  # a model is told that
            error.args = (redact(f"{who}{error}"),)
            raise

    def _bounds_of(self, name: str) -> Bounds:
        """The limits of a provider's account as they are now."""
        policy, limits = self._policies[name], self._limits.get(name, {})
        return _bounds(
            limits.get("requests_per_minute", policy.requests_per_minute),
            limits.get("tokens_per_minute", policy.tokens_per_minute),
            limits.get("concurrency", policy.concurrency),
            self._providers[name].concurrency,
        )

    async def _enter(self, entering: asyncio.Task[Ticket], say_why: Callable[[], None]) -> Ticket:
        # Only who waits for long is worth a word.
        timer = asyncio.get_running_loop().call_later(SHORT_WAIT, say_why)
        try:
            return await self._unless_stopped(entering)
        except (asyncio.CancelledError, RunStopping):
            # Ended in the very moment in which it was let in: nobody else would give the place back.
            if entering.done() and not entering.cancelled() and entering.exception() is None:
                entering.result().leave()
            raise
        finally:
            timer.cancel()

    async def _unless_stopped(self, awaited: Coroutine[Any, Any, Result] | asyncio.Future[Result]) -> Result:
        """What is awaited, or `RunStopping` as soon as the run is being stopped."""
        work = asyncio.ensure_future(awaited)
        if self.stopping:
            work.cancel()
            raise RunStopping
        self._waiting.add(work)
        try:
            return await work
        except asyncio.CancelledError:
            if self.stopping:
                raise RunStopping from None
            raise
        finally:
            self._waiting.discard(work)


async def _send(sending: _Send[Any], seconds: float) -> Any:
    """What the provider answers. Raises `CallFailed` and its kinds, whatever it raises."""
    try:
        async with asyncio.timeout(seconds):
            return await sending.send()
    except (CallFailed, ContractError, NotImplementedError, asyncio.CancelledError):
        raise
    except TimeoutError:
        raise TimedOut(
            f"no answer within {seconds:g} s; if the model needs longer, raise `timeout`"
        ) from None
    except (Exception, SystemExit) as error:  # what a vendor's plugin forgot to map fails the call, visibly
        report("INFO", error, "a provider raised {}", describe(error))
        culprit = raiser(error)
        who = f" ({origin(culprit)})" if culprit is not None else ""
        raise CallFailed(
            f"{type(error).__name__}: {error}; an error that its plugin does not explain{who}; {TELL}"
        ) from error


def _one_each(provider: Provider, vectors: list[list[float]], texts: Sequence[str]) -> list[list[float]]:
    """The vectors, if there is one for each text. Raises `ContractError`."""
    check_list(provider, "embed", vectors, list, "a list of vectors")
    if len(vectors) != len(texts):
        counts = f"{len(vectors)} vectors for {len(texts)} texts, expected one for each"
        raise ContractError(f"{origin(provider)}: embed returned {counts}; tell its author")
    return vectors


def estimated(request: Request) -> Usage:
    """What a request and its answer are estimated at, before it is sent."""
    tokens = tokens_of(request.messages)
    if request.schema is not None:
        tokens += estimate_tokens(emulation.as_json(request.schema))
    for tool in request.tools:
        tokens += estimate_tokens(emulation.as_json(tool.to_dict()))
    return Usage(tokens, request.sampling.max_tokens or ANSWER_TOKENS, estimated=True)


@cache
def _bounds(requests: int | None, tokens: int | None, *concurrency: int | None) -> Bounds:
    least = min((bound for bound in concurrency if bound is not None), default=None)
    return Bounds(requests, tokens, least)
