"""Call vendors: one completion, with limits, timeouts, retries and fallbacks.

What comes out is an answer or the final failure, and a record of each attempt. No journal is known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Generic, TypeVar

import backoff
from attrs import frozen
from loguru import logger

from ..contracts import Provider, Sink
from ..errors import (
    AnswerRejected,
    CallFailed,
    RateLimited,
    RequestRejected,
    RunStopping,
    TimedOut,
    TransientError,
    Unreachable,
)
from ..records import Completion, RateLimitStatus, Request, Usage
from ..scenario.model import CallPolicy
from ..secret import redact
from ..tokens import estimate_tokens
from . import emulation
from .call import Attempt, Call
from .limiter import Account, Bounds, Ticket, account

Result = TypeVar("Result")

#: The longest wait between two attempts where the vendor names none, in seconds.
LONGEST_WAIT = 60.0
#: Who waits longer than this for its turn, says so; in seconds.
SHORT_WAIT = 2.0
#: How often an address that never answered is tried: it is rather wrong than down.
TRIES_OF_A_STRANGER = 2
#: The tokens that an answer is estimated at where `max_tokens` leaves it open.
ANSWER_TOKENS = 512


@frozen
class _Send(Generic[Result]):
    """What is asked of a provider: its estimated `tokens`, how to `send` it, what its answer `used`."""

    tokens: Callable[[], int]
    send: Callable[[], Awaitable[Result]]
    used: Callable[[Result], tuple[Usage, RateLimitStatus | None]]


#: Told of each attempt that failed and is followed by another, and as text why a call waits.
Tell = Callable[[Attempt | str], None]


class Providers:
    """The opened providers of one run, with how they may be called."""

    def __init__(
        self, providers: Mapping[str, Provider], policies: Mapping[str, CallPolicy], concurrency: int
    ) -> None:
        self._providers = providers
        self._policies = policies
        self._accounts = {name: account(provider.account) for name, provider in providers.items()}
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting: set[asyncio.Future[Any]] = set()
        self.stopping = False

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __contains__(self, name: str) -> bool:
        return name in self._providers

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
        names = [request.provider, *self._policies[request.provider].fallback]
        for name in names:
            call.provider = name
            last = name == names[-1]
            try:
                return await self._completion(name, request, call, sink, tell, last)
            except TransientError as error:
                if last:
                    raise
                following = names[names.index(name) + 1]
                tell(f"provider {following!r} is asked instead of {name!r}, which failed: {error}")
        raise AssertionError("there is always a last one")

    async def _completion(
        self, name: str, request: Request, call: Call, sink: Sink | None, tell: Tell, last: bool
    ) -> Completion:
        provider = self._providers[name]
        for option, why in provider.refuses(request.sampling).items():
            raise RequestRejected(f"provider {name!r}: {option}: {why}")
        fitted, read = emulation.adapt(request, provider.capabilities)
        streamed = sink if "stream" in provider.capabilities else None
        sending = _Send(
            tokens=lambda: _sum(estimated(fitted)),
            send=lambda: provider.complete(fitted, streamed),
            used=lambda answer: (answer.usage, answer.allowance),
        )
        answer = await self._with_retries(name, sending, call, tell, last)
        try:
            return read(answer)
        except AnswerRejected as error:
            error.usage = answer.usage
            raise

    async def embed(self, texts: Sequence[str], call: Call, tell: Tell) -> list[list[float]]:
        """The vectors of `texts`, from the provider that `call` names; it has no fallbacks.

        Vectors of different models have nothing to do with each other.
        """
        provider = self._providers[call.provider]
        sending = _Send(
            tokens=lambda: sum(map(estimate_tokens, texts)),
            send=lambda: provider.embed(texts),
            used=lambda vectors: (Usage(sum(map(estimate_tokens, texts))), None),
        )
        return await self._with_retries(call.provider, sending, call, tell, last=True)

    async def _with_retries(
        self, name: str, sending: _Send[Result], call: Call, tell: Tell, last: bool
    ) -> Result:
        """Ask one provider until it answers, fails permanently, or has been retried long enough."""
        policy, vendor = self._policies[name], self._accounts[name]
        # A vendor that is down is not waited for where another one is named.
        patience = policy.retry.seconds if last else 0.0
        waits = backoff.expo(max_value=LONGEST_WAIT)
        next(waits)  # the generator's first value is not a wait
        failing: float | None = None
        for number in count(1):
            try:
                return await self._once(name, sending, call, patience, tell)
            except TransientError as error:
                now = asyncio.get_running_loop().time()
                failing = now - call.seconds if failing is None else failing
                wait = backoff.full_jitter(next(waits))
                if isinstance(error, RateLimited) and error.retry_after is not None:
                    # Asked to wait: that long, and a little more, so that not all come back at once.
                    wait = error.retry_after + wait / 10
                if call.seconds:  # it was really asked
                    vendor.failed(error, wait)
                final = _final(error, policy, vendor, number, now + wait - failing)
                call.attempts.append(
                    Attempt(
                        name, type(error).__name__, str(error), call.started, call.seconds,
                        None if final else wait,
                    )
                )  # fmt: skip
                if final:
                    error.args = (f"{error} ({final})",)
                    raise
                tell(call.attempts[-1])
                await self._unless_stopped(asyncio.ensure_future(asyncio.sleep(wait)))
        raise AssertionError("the loop has no end")

    async def _once(
        self, name: str, sending: _Send[Result], call: Call, patience: float, tell: Tell
    ) -> Result:
        provider, policy, vendor = self._providers[name], self._policies[name], self._accounts[name]
        bounds = Bounds(
            policy.requests_per_minute,
            policy.tokens_per_minute,
            _least(policy.concurrency, provider.concurrency),
        )
        clock = time.perf_counter()
        call.started, call.seconds = time.time(), 0.0
        try:
            # Estimating a long history takes time, so only for who counts tokens.
            tokens = sending.tokens() if vendor.counts_tokens(bounds) else 0
            ticket = vendor.enter_now(bounds, tokens)
            if ticket is None:
                entering = asyncio.ensure_future(vendor.enter(bounds, tokens, patience))
                ticket = await self._enter(
                    entering, lambda: tell(f"waiting for the limits of provider {name!r}")
                )
            with ticket:
                if self._slots.locked():
                    await self._unless_stopped(asyncio.ensure_future(self._slots.acquire()))
                else:
                    await self._slots.acquire()
                try:
                    if self.stopping:
                        raise RunStopping
                    call.queued += time.perf_counter() - clock
                    call.started, clock = time.time(), time.perf_counter()
                    ticket.sent()
                    try:
                        answer = await _send(sending, policy.timeout)
                    finally:
                        call.seconds = time.perf_counter() - clock
                    vendor.succeeded(ticket, *sending.used(answer))
                    return answer
                finally:
                    self._slots.release()
        except CallFailed as error:
            error.args = (redact(f"provider {name!r}: {error}"),)
            raise

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

    async def _unless_stopped(self, work: asyncio.Future[Result]) -> Result:
        """The result of `work`, or `RunStopping` as soon as the run is being stopped."""
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


async def _send(sending: _Send[Result], seconds: float) -> Result:
    """What the provider answers. Raises `CallFailed` and its kinds, whatever it raises."""
    try:
        async with asyncio.timeout(seconds):
            return await sending.send()
    except (CallFailed, NotImplementedError, asyncio.CancelledError):
        raise
    except TimeoutError:
        raise TimedOut(
            f"no answer within {seconds:g} s; if the model needs longer, raise `timeout`"
        ) from None
    except Exception as error:
        # A vendor's plugin may raise anything that it forgot to map. It fails the call, visibly.
        logger.opt(exception=error).info("a provider raised")
        raise CallFailed(
            f"{type(error).__name__}: {error}; an error that its plugin does not explain"
        ) from error


def estimated(request: Request) -> Usage:
    """What a request and its answer are estimated at, before it is sent."""
    tokens = sum(map(estimate_tokens, request.messages))
    if request.schema is not None:
        tokens += estimate_tokens(emulation.as_json(request.schema))
    for tool in request.tools:
        tokens += estimate_tokens(emulation.as_json(tool.to_dict()))
    return Usage(tokens, request.sampling.max_tokens or ANSWER_TOKENS)


def _sum(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens


def _least(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _final(
    error: TransientError, policy: CallPolicy, vendor: Account, number: int, seconds: float
) -> str | None:
    """Why there is no further try; None: there is one. `seconds` will have passed until then."""
    if isinstance(error, Unreachable) and not vendor.answered and number >= TRIES_OF_A_STRANGER:
        return f"tried {_times(number)}; nothing has ever answered there: is the address right?"
    if number >= policy.retry.tries:
        return f"tried {_times(number)}, which is all that `retry.tries` allows"
    if seconds > policy.retry.seconds:
        return (
            f"tried {_times(number)}; the next would be {seconds:.0f} s after the first failure, and "
            f"`retry.seconds` is {policy.retry.seconds:g}"
        )
    return None


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
