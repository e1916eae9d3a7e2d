"""Retries: which failed requests are sent again, after how long, and how often.

Only `TransientError` and its kinds are retried. The waits grow (exponential backoff with full jitter), and a
vendor's `Retry-After` is obeyed. How often and for how long is in a provider's `retry` options.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import TypeVar

import backoff

from pyscrai_records.errors import RateLimited, TransientError, Unreachable

from ..scenario.model import Retry
from .call import Attempt, Call
from .limiter import Account

Result = TypeVar("Result")

#: Told of each attempt that failed and is followed by another, as text why a call waits, and with None that
#: it was sent after either.
Tell = Callable[[Attempt | str | None], None]

#: The longest wait between two attempts where the vendor names none, in seconds.
LONGEST_WAIT = 60.0
#: How often an address that never answered is tried: it is rather wrong than down.
TRIES_OF_A_STRANGER = 2


async def with_retries(
    send: Callable[[], Awaitable[Result]],
    call: Call,
    policy: Retry,
    vendor: Account,
    tell: Tell,
    sleep: Callable[[float], Awaitable[None]],
) -> Result:
    """Send until there is an answer, a permanent failure, or no further try by the `policy`.

    Attempts that failed are added to those of `call`. Raises what the last one failed with.
    """
    waits: Iterator[float] | None = None
    failing: float | None = None
    for number in count(1):
        try:
            return await send()
        except TransientError as error:
            now = asyncio.get_running_loop().time()
            failing = now - call.seconds if failing is None else failing
            if waits is None:
                waits = backoff.expo(max_value=LONGEST_WAIT)
                next(waits)  # the generator's first value is not a wait
            wait = backoff.full_jitter(next(waits))
            if isinstance(error, RateLimited) and error.retry_after is not None:
                # Asked to wait: that long, and a little more, so that not all come back at once.
                wait = error.retry_after + wait / 10
            if call.seconds:  # it was really asked
                vendor.failed(error, wait)
            final = _final(error, policy, vendor, number, now + wait - failing)
            call.attempts.append(
                Attempt(
                    call.provider, type(error).__name__, str(error), call.started, call.seconds,
                    None if final else wait,
                )
            )  # fmt: skip
            if final:
                error.args = (f"{error} ({final})",)
                raise
            tell(call.attempts[-1])
            await sleep(wait)
    raise AssertionError("the loop has no end")


def _final(error: TransientError, policy: Retry, vendor: Account, number: int, seconds: float) -> str:
    """Why there is no further try; empty: there is one. `seconds` will have passed until then."""
    tried = "tried once" if number == 1 else f"tried {number} times"
    if isinstance(error, Unreachable) and not vendor.answered and number >= TRIES_OF_A_STRANGER:
        return f"{tried}; nothing has ever answered there: is the address right?"
    if number >= policy.tries:
        return f"{tried}, which is all that `retry.tries` allows"
    if seconds > policy.seconds:
        return (
            f"{tried}; the next would be {seconds:.0f} s after the first failure, and "
            f"`retry.seconds` is {policy.seconds:g}"
        )
    return ""
