"""Accounts: what may be sent when, on a clock that takes no time."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from pyscrai_core import (
    Completion,
    Message,
    NoConfig,
    Overloaded,
    Position,
    Provider,
    RateLimited,
    RateLimitStatus,
    Request,
    RequestRejected,
    TimedOut,
    TransientError,
    Usage,
)
from pyscrai_core.calls.call import Call
from pyscrai_core.calls.limiter import FIRST_PAUSE, TRIP, WINDOW, Account, Bounds, account
from pyscrai_core.calls.providers import Providers
from pyscrai_core.scenario.model import CallPolicy
from pyscrai_records.errors import RunStopping

pytestmark = pytest.mark.usefixtures("virtual_clock")

FREE = Bounds()


def now() -> float:
    return asyncio.get_running_loop().time()


async def ask(
    vendor: Account,
    bounds: Bounds = FREE,
    tokens: int = 0,
    used: int = 0,
    *,
    takes: float = 0.0,
    fails: TransientError | None = None,
    patience: float = math.inf,
    allowance: RateLimitStatus | None = None,
) -> float:
    """Send a request as the runtime does; the time at which it was sent."""
    ticket = vendor.enter_now(bounds, tokens) or await vendor.enter(lambda: bounds, tokens, patience)
    with ticket:
        ticket.sent()
        sent = now()
        await asyncio.sleep(takes)
        if fails is None:
            vendor.succeeded(ticket, Usage(used), allowance)
    if fails is not None:
        vendor.failed(fails, getattr(fails, "retry_after", None) or 0.0)
    return sent


def fullest(sends: Sequence[tuple[float, int]]) -> tuple[int, int]:
    """The most requests and tokens in any minute that begins with a request, its end left out."""
    windows = [[size for time, size in sends if begin <= time < begin + WINDOW - 1e-9] for begin, _ in sends]
    return max(map(len, windows)), max(map(sum, windows))


# -- the window --


@pytest.mark.parametrize("requests, tokens", [(600, 60_000), (100, 60_000), (100, None), (None, 20_000)])
def test_no_window_holds_more_than_the_limits_and_no_time_is_wasted(
    requests: int | None, tokens: int | None
) -> None:
    draw = random.Random(f"{requests} {tokens}")
    sizes = [draw.choice([50, 400, 1500]) + draw.randrange(500) for _ in range(300)]
    # What is used is less than was estimated, and room is found for others as soon as that is known.
    used = [round(size * draw.uniform(0.3, 1)) for size in sizes]

    async def main() -> list[float]:
        vendor, bounds = Account(), Bounds(requests, tokens)
        calls = [
            ask(vendor, bounds, size, real, takes=draw.uniform(0.1, 4))
            for size, real in zip(sizes, used, strict=True)
        ]
        return await asyncio.gather(*calls)

    times = asyncio.run(main())
    assert times == sorted(times), "who came first goes first"
    most = fullest(list(zip(times, used, strict=True)))
    assert requests is None or most[0] <= requests
    assert tokens is None or most[1] <= tokens
    minutes = max(len(sizes) / (requests or math.inf), sum(used) / (tokens or math.inf))
    # A minute's allowance can be spent at once. While requests are under way their estimates count.
    assert (times[-1] - times[0]) / WINDOW <= minutes * 1.1, f"{minutes} minutes would be enough"


def test_an_estimate_that_was_too_low_is_made_up_for() -> None:
    async def main() -> list[float]:
        vendor, bounds = Account(), Bounds(tokens=1000)
        return [await ask(vendor, bounds, 100, used, takes=1) - 1000 for used in (900, 100, 100)]

    assert asyncio.run(main()) == [0, 1, 60]


def test_a_failed_request_counts_and_one_that_was_not_sent_does_not() -> None:
    async def main() -> list[float]:
        vendor, bounds = Account(), Bounds(requests=2)
        with vendor.enter_now(bounds, 0) or pytest.fail("there is room"):
            pass
        return [await ask(vendor, bounds, fails=Overloaded("")) - 1000 for _ in range(3)]

    assert asyncio.run(main()) == [0, 0, 60]


def test_a_large_request_is_not_starved_by_small_ones() -> None:
    async def main() -> list[float]:
        vendor = Account()

        async def arriving(after: float, tokens: int) -> float:
            await asyncio.sleep(after)
            return await ask(vendor, Bounds(tokens=1000), tokens, tokens)

        before = [arriving(0, 100) for _ in range(12)]
        behind = [arriving(second, 1) for second in range(1, 200)]  # there would always be room for them
        return await asyncio.gather(*before, arriving(0.5, 1000), *behind)

    times = [time - 1000 for time in asyncio.run(main())]
    assert times[:13] == [*[0] * 10, 60, 60, 120]
    assert times[13:] == [max(second, 180) for second in range(1, 200)]


def test_a_request_that_never_fits_is_rejected() -> None:
    async def main() -> None:
        vendor, bounds = Account(), Bounds(tokens=1000)
        with pytest.raises(RequestRejected, match=r"1,001 tokens, and tokens_per_minute is 1,000; raise it"):
            await ask(vendor, bounds, 1001)
        assert await ask(vendor, bounds, 1000) == 1000

    asyncio.run(main())


def test_not_more_are_under_way_than_may_be() -> None:
    async def main() -> list[float]:
        vendor = Account()
        return await asyncio.gather(*(ask(vendor, Bounds(concurrency=3), takes=1) for _ in range(30)))

    assert asyncio.run(main()) == [1000 + number // 3 for number in range(30)]


# -- what the vendor says --


def test_when_one_is_asked_to_wait_everybody_does() -> None:
    async def main() -> list[float]:
        vendor = Account()
        await ask(vendor, fails=RateLimited("", 7.0))
        return await asyncio.gather(*(ask(vendor) for _ in range(3)))

    assert asyncio.run(main()) == [1007] * 3


@pytest.mark.parametrize(
    "allowance, tokens, waits",
    [
        (RateLimitStatus(requests=0, requests_reset=7.0), [0, 0], [7, 7]),
        (RateLimitStatus(requests=2, requests_reset=7.0), [0, 0, 0], [0, 0, 7]),
        (RateLimitStatus(tokens=50, tokens_reset=5.0), [20, 30, 1, 100], [0, 0, 5, 5]),
        (RateLimitStatus(tokens=50, tokens_reset=5.0), [60, 20], [5, 5]),
        (RateLimitStatus(requests=0, requests_reset=3.0, tokens=0, tokens_reset=5.0), [1], [5]),
        (RateLimitStatus(requests=0), [0], [0]),
        (None, [10**6], [0]),
    ],
)
def test_what_the_vendor_says_is_left_slows_down(
    allowance: RateLimitStatus | None, tokens: list[int], waits: list[float]
) -> None:
    async def main() -> list[float]:
        vendor = Account()
        assert not vendor.counts_tokens(FREE)
        await ask(vendor, allowance=allowance)
        assert vendor.counts_tokens(FREE) == bool(allowance and allowance.tokens_reset)
        return await asyncio.gather(*(ask(vendor, tokens=one) for one in tokens))

    assert [time - 1000 for time in asyncio.run(main())] == waits


# -- the vendor is down --


async def trip(vendor: Account, failures: int = TRIP) -> None:
    await asyncio.gather(*(ask(vendor, fails=Overloaded("down")) for _ in range(failures)))


def test_a_vendor_that_is_down_is_tried_by_one_alone_and_then_opens_for_all() -> None:
    async def main() -> list[float]:
        vendor = Account()
        await trip(vendor, TRIP - 1)
        await trip(vendor, 1)  # sent at once: one failure less does not count as being down
        assert now() == 1000
        probes = [ask(vendor, fails=Overloaded("down"), takes=1) for _ in range(5)]
        times = await asyncio.gather(*probes, ask(vendor, takes=1), *(ask(vendor) for _ in range(3)))
        await trip(vendor)  # the pause is short again
        return [*times, await ask(vendor)]

    times = asyncio.run(main())
    pauses = [later - sooner for sooner, later in zip([999, *times], times, strict=False)]
    # Each answer takes a second; the pause doubles up to a minute.
    assert pauses == [6, 11, 21, 41, 61, 61, 1, 0, 0, FIRST_PAUSE]


def test_what_was_under_way_when_the_vendor_went_down_makes_the_pause_no_longer() -> None:
    async def main() -> float:
        vendor = Account()
        await trip(vendor, 50)
        return await ask(vendor)

    assert asyncio.run(main()) == 1000 + FIRST_PAUSE


def test_who_has_no_patience_leaves() -> None:
    async def main() -> None:
        vendor, bounds = Account(), Bounds(requests=TRIP)
        down = asyncio.gather(*(ask(vendor, bounds, fails=Overloaded(""), takes=1) for _ in range(TRIP)))
        await asyncio.sleep(0)
        waiters = [ask(vendor, bounds, patience=patience) for patience in (60.0, 3.0, 0.0)]
        told = list(map(str, await asyncio.gather(*waiters, return_exceptions=True)))
        await down
        assert told[0] == str(1000 + WINDOW), "the window is what it waits for, not for the one behind it"
        assert "failing for 3 s" in told[1]
        assert "failing for 0 s" in told[2]

    asyncio.run(main())


def test_timeouts_of_a_busy_server_do_not_count_as_being_down() -> None:
    async def check() -> None:
        vendor = Account()
        await asyncio.gather(*(ask(vendor, fails=TimedOut(""), takes=600) for _ in range(4 * TRIP)))
        began = now()
        assert await ask(vendor) == began

    asyncio.run(check())


def test_rate_limits_do_not_count_as_being_down() -> None:
    async def main() -> list[float]:
        vendor = Account()
        await asyncio.gather(*(ask(vendor, fails=RateLimited("", 1.0)) for _ in range(TRIP)))
        return await asyncio.gather(ask(vendor), ask(vendor, takes=1), ask(vendor))

    assert asyncio.run(main()) == [1001, 1001, 1001], "after the second that the vendor asked for"


# -- cancelling --


class Vendor(Provider):
    """Takes its time, and fails now and then."""

    def __init__(self, draw: random.Random, key: str) -> None:
        super().__init__(NoConfig())
        self.draw, self.account_key, self.active = draw, key, 0

    @property
    def account(self) -> str:
        return self.account_key

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        self.active += 1
        try:
            await asyncio.sleep(self.draw.choice([0, 1, 5]))
            if self.draw.random() < 0.3:
                raise self.draw.choice([Overloaded(""), RateLimited("", 2.0), RequestRejected("")])
            return Completion("yes", usage=Usage(20, 5))
        finally:
            self.active -= 1


class Hangs(Vendor):
    async def complete(self, request: Request, sink: Any = None) -> Completion:
        await asyncio.Event().wait()
        raise AssertionError("this never comes")


def vendors(provider: Provider, access: CallPolicy) -> Providers:
    return Providers({"default": provider}, {"default": access}, {}, concurrency=5, agents=())


def asked(made: Providers) -> asyncio.Future[Completion]:
    request = Request((Message.user("Yes or no?"),), provider="default")
    call = Call(Position("A", 1, "1"), "complete", "default", "")
    return asyncio.ensure_future(made.ask(request, call, None, lambda attempt: None))


@pytest.mark.parametrize("seed", range(12))
def test_whoever_is_cancelled_gives_the_place_back(seed: int) -> None:
    draw, key = random.Random(seed), f"cancelled {seed}"
    access = CallPolicy(requests_per_minute=20, tokens_per_minute=9000, concurrency=4)

    async def main() -> None:
        provider = Vendor(draw, key)
        made = vendors(provider, access)
        calls = []
        for _ in range(150):
            calls.append(asked(made))
            await asyncio.sleep(draw.choice([0, 0, 0, 0.5, 4]))
            for call in draw.sample(calls, min(len(calls), draw.randrange(3))):
                call.cancel()
        await asyncio.sleep(draw.choice([0, 100]))
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert provider.active == 0
        more, _ = await asyncio.wait([asked(made) for _ in range(4)], timeout=9999)
        assert len(more) == 4, "the run has lost places"
        # A minute after the last answer, and any pause, an account that lost nothing has room for all.
        await asyncio.sleep(3 * WINDOW)
        whole, parts = account(key), Bounds(20, 9000, 20)
        first = whole.enter_now(parts, 450) or pytest.fail("nobody is there, and nothing was let through")
        first.sent()
        whole.succeeded(first, Usage(450), None)
        rest = [whole.enter_now(parts, 450) for _ in range(20)]
        assert [ticket is not None for ticket in rest] == [True] * 19 + [False]

    asyncio.run(main())


def test_bounds_that_are_changed_hold_for_who_waits() -> None:
    async def main() -> None:
        vendor, bounds = Account(), Bounds(requests=1)
        began = await ask(vendor, bounds)
        waiting = asyncio.ensure_future(vendor.enter(lambda: bounds, 10, math.inf))
        await asyncio.sleep(5)
        assert not waiting.done()
        bounds = Bounds(requests=2)
        with await waiting as ticket:
            ticket.sent()
            assert now() < began + WINDOW / 2
        waiting = asyncio.ensure_future(vendor.enter(lambda: bounds, 10, math.inf))
        await asyncio.sleep(0)
        bounds = Bounds(requests=2, tokens=9)
        with pytest.raises(RequestRejected, match="tokens_per_minute is 9"):
            await waiting

    asyncio.run(main())


@pytest.mark.parametrize("stop", [False, True], ids=["cancelled", "stopped"])
@pytest.mark.parametrize("moment", range(8))
def test_no_place_is_lost_in_the_moment_of_being_let_in(moment: int, stop: bool) -> None:
    key = f"moment {moment} {stop}"

    async def main() -> None:
        made = vendors(Hangs(random.Random(1), key), CallPolicy(concurrency=1))
        place = account(key).enter_now(Bounds(concurrency=1), 0) or pytest.fail("nobody is there")
        call = asked(made)
        await asyncio.sleep(1)
        place.leave()
        for _ in range(moment):
            await asyncio.sleep(0)
        if stop:
            made.stop()
        call.cancel()
        with pytest.raises((asyncio.CancelledError, RunStopping)):
            await call
        assert account(key).enter_now(Bounds(concurrency=1), 0) is not None

    asyncio.run(main())


# -- threads --


@pytest.mark.parametrize("concurrency", [1, 3])
def test_loops_in_two_threads_share_an_account(concurrency: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # on the real clock
    vendor, bounds = account(f"threads {concurrency}"), Bounds(concurrency=concurrency)
    active, most, lock = 0, 0, threading.Lock()
    done: list[int] = []

    async def one() -> None:
        nonlocal active, most
        ticket = vendor.enter_now(bounds, 0) or await vendor.enter(lambda: bounds, 0, 60)
        with ticket:
            ticket.sent()
            with lock:
                active += 1
                most = max(most, active)
            await asyncio.sleep(0)
            with lock:
                active -= 1

    async def main() -> None:
        for _ in range(25):
            await asyncio.gather(*(one() for _ in range(10)))
        done.append(1)

    threads = [threading.Thread(target=asyncio.run, args=(main(),), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)  # a wake-up that is lost is waited for in vain
    assert (len(done), most) == (2, concurrency)
