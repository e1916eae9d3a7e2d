"""Accounts at vendors: what may be sent when. One account serves all runs of the process.

Requests are let through in the order in which they came (so that a large one is not starved), when all of
this holds: the account's window of the last minute has room for the request and for its estimated tokens,
not too many are under way, nobody asked to wait, and the vendor is not known to be down.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from attrs import define, frozen

from pyscrai_records.errors import Overloaded, RateLimited, RequestRejected, TransientError
from pyscrai_records.records import RateLimitStatus, Usage

#: Vendors count by the minute.
WINDOW = 60.0
#: So many failures in a row, none of them a rate limit or a timeout, and the vendor counts as down.
TRIP = 5
#: A vendor that is down is asked again after so many seconds, by one request alone; then after twice as many.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
#: Seconds after which the first that waits looks whether its bounds were changed.
LOOK = 1.0


@frozen
class Bounds:
    """What an account may do: requests and tokens a minute, requests at the same time. None: no bound."""

    requests: int | None = None
    tokens: int | None = None
    concurrency: int | None = None


@define(eq=False)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Future[None]


@define
class _Quota:
    """What the vendor says is left, until when."""

    left: int = 0
    until: float = 0.0

    def update(self, left: int | None, reset: float | None, now: float) -> None:
        if left is not None and reset is not None:
            self.left, self.until = left, now + reset

    def wait(self, needed: int, now: float) -> float:
        """The seconds until `needed` may be there. What is reset is not asked about any more."""
        return self.until - now if needed > self.left and now < self.until else 0.0


class Ticket:
    """A request that was let through: a context manager that is left when the answer is there.

    Until `sent` it counts in every window; from then on by the time at which it was sent.
    """

    def __init__(self, account: Account, tokens: int) -> None:
        self.tokens = tokens
        self.time: float | None = None
        self.counted = True
        self._account = account

    def sent(self) -> None:
        """The request leaves now."""
        self._account._sent(self)

    def leave(self) -> None:
        """The answer is there, or will never be."""
        self._account._left(self)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *exc: object) -> None:
        self.leave()


class Account:
    """One account at a vendor. Safe to share between threads, each with an event loop of its own."""

    def __init__(self) -> None:
        #: Whether the vendor ever answered: an address that never did is rather wrong than down.
        self.answered = False
        self._lock = threading.Lock()
        self._queue: deque[_Waiter] = deque()
        self._recent: deque[Ticket] = deque()
        self._tokens = 0  # of the tickets in `_recent` and of those that are let through but not sent
        self._unsent = 0
        self._active = 0
        self._opens = 0.0  # nothing is let through before
        self._requests_left = _Quota()
        self._tokens_left = _Quota()
        self._failures = 0  # in a row
        self._pause = FIRST_PAUSE
        self._down_since: float | None = None
        self._probe: Ticket | None = None  # the one request that tries whether the vendor is up again

    def counts_tokens(self, bounds: Bounds) -> bool:
        """Whether it matters how many tokens a request has."""
        return bounds.tokens is not None or self._tokens_left.until > 0

    def enter_now(self, bounds: Bounds, tokens: int) -> Ticket | None:
        """Let the request through if it need not wait."""
        with self._lock:
            now = asyncio.get_running_loop().time()
            if self._queue or self._delay(bounds, tokens, now) != 0:
                return None
            return self._admit(tokens)

    async def enter(self, bounds: Callable[[], Bounds], tokens: int, patience: float) -> Ticket:
        """Wait for this request's turn.

        `bounds` gives those that hold now, which a person may change meanwhile. `tokens` are the estimate for
        the request and its answer. Raises `RequestRejected` if they can never fit, `Overloaded` if the vendor
        has been down for longer than `patience` seconds.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop, loop.create_future())
        with self._lock:
            self._queue.append(waiter)
        try:
            while True:
                holding = bounds()
                if holding.tokens is not None and tokens > holding.tokens:
                    raise RequestRejected(
                        f"the request and its answer are estimated at {tokens:,} tokens, and "
                        f"tokens_per_minute is {holding.tokens:,}; raise it, lower max_tokens, or give the "
                        "agent a `window` memory"
                    )
                with self._lock:
                    now = loop.time()
                    first = self._queue[0] is waiter
                    delay = self._delay(holding, tokens, now) if first else None
                    if delay == 0:
                        return self._admit(tokens)
                    if self._down_since is not None:
                        left = self._down_since + patience - now
                        if left <= 0:
                            raise Overloaded(
                                f"the vendor has been failing for {now - self._down_since:.0f} s and is not "
                                "asked again for now"
                            )
                        delay = left if delay is None else min(delay, left)
                    waiter.woken = loop.create_future()
                if first:
                    delay = LOOK if delay is None else min(delay, LOOK)
                await asyncio.wait((waiter.woken,), timeout=delay)
        finally:
            with self._lock:
                self._queue.remove(waiter)
                self._wake()

    def succeeded(self, ticket: Ticket, usage: Usage, allowance: RateLimitStatus | None) -> None:
        """The vendor answered: the estimate is replaced by what was used."""
        with self._lock:
            if ticket.counted:
                self._tokens += usage.total - ticket.tokens
                ticket.tokens = usage.total
            self.answered, self._failures, self._down_since = True, 0, None
            self._pause = FIRST_PAUSE
            if allowance is not None:
                now = asyncio.get_running_loop().time()
                self._requests_left.update(allowance.requests, allowance.requests_reset, now)
                self._tokens_left.update(allowance.tokens, allowance.tokens_reset, now)
            self._wake(everybody=True)

    def failed(self, error: TransientError, wait: float) -> None:
        """The vendor failed, and the call will be tried again after `wait` seconds."""
        with self._lock:
            now = asyncio.get_running_loop().time()
            if isinstance(error, RateLimited):
                # Everybody waits: another request would only be refused as well.
                self._opens = max(self._opens, now + wait)
            elif isinstance(error, Overloaded):  # a timeout may be a busy server, which works
                self._failures += 1
                if self._failures >= TRIP:
                    if self._down_since is None:
                        self._down_since = now
                        self._wake(everybody=True)  # who has no patience leaves
                    elif now < self._opens:
                        return  # it was under way when the vendor went down: nothing new
                    else:
                        self._pause = min(2 * self._pause, LONGEST_PAUSE)
                    self._opens = max(self._opens, now + self._pause)

    # -- under the lock --

    def _delay(self, bounds: Bounds, tokens: int, now: float) -> float | None:
        """The seconds until the first in the queue may go; 0: now; None: when something changes."""
        if now < self._opens:
            return self._opens - now
        if self._probe is not None:
            return None
        if bounds.concurrency is not None and self._active >= bounds.concurrency:
            return None
        recent = self._recent
        while recent and recent[0].time <= now - WINDOW:  # type: ignore[operator]
            old = recent.popleft()
            old.counted = False
            self._tokens -= old.tokens
        quota = max(self._requests_left.wait(1, now), self._tokens_left.wait(tokens, now))
        if quota > 0:
            return quota
        excess = 0 if bounds.requests is None else len(recent) + self._unsent + 1 - bounds.requests
        surplus = 0 if bounds.tokens is None else self._tokens + tokens - bounds.tokens
        if excess <= 0 and surplus <= 0:
            return 0
        for ticket in recent:
            excess -= 1
            surplus -= ticket.tokens
            if excess <= 0 and surplus <= 0:
                return max(ticket.time + WINDOW - now, 1e-6)  # type: ignore[operator]
        return None

    def _admit(self, tokens: int) -> Ticket:
        self._active += 1
        self._unsent += 1
        self._tokens += tokens
        self._requests_left.left -= 1
        self._tokens_left.left -= tokens
        ticket = Ticket(self, tokens)
        if self._down_since is not None:
            self._probe = ticket
        return ticket

    def _sent(self, ticket: Ticket) -> None:
        with self._lock:
            ticket.time = asyncio.get_running_loop().time()
            self._unsent -= 1
            self._recent.append(ticket)
            self._wake()

    def _left(self, ticket: Ticket) -> None:
        with self._lock:
            self._active -= 1
            if self._probe is ticket:
                self._probe = None
            if ticket.time is None:  # never sent
                self._unsent -= 1
                self._tokens -= ticket.tokens
            self._wake()

    def _wake(self, everybody: bool = False) -> None:
        """Let the first in the queue look again (or all of them, when what they wait for has changed)."""
        here = asyncio.get_running_loop() if self._queue else None
        for waiter in self._queue:
            if waiter.loop is here:
                _resolve(waiter.woken)
            else:
                waiter.loop.call_soon_threadsafe(_resolve, waiter.woken)
            if not everybody:
                return


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


#: The accounts of this process by what vendors count their limits for. A vendor counts all runs of the
#: process together, whoever started them, so this cannot belong to one of them.
_ACCOUNTS: dict[str, Account] = {}


def account(key: str) -> Account:
    """The account that providers with this `key` share; one of its own for the empty key."""
    return _ACCOUNTS.setdefault(key, Account()) if key else Account()
