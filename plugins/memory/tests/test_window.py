"""The memory `window`: how much is kept, and what is forgotten when."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyscrai_core import Event, Message, estimate_tokens
from pyscrai_memory.full import FullConfig, FullMemory
from pyscrai_memory.window import NOTICE, WindowConfig, WindowMemory

ME = "Mara"
TURN: Any = SimpleNamespace(agent=SimpleNamespace(name=ME), others=("Jon", "Ann"))


def tokens(messages: list[Message]) -> int:
    return sum(estimate_tokens(message) for message in messages)


def say(seq: int, source: str, text: str) -> Event:
    return Event(seq, 1, "say", source, ("*",), {"text": text})


def test_below_its_size_it_is_a_full_memory(diary: Any, events: Any) -> None:
    observed = events(("Jon", "Hello."), (ME, "Apples!"), ("Jon", "wave", {}))
    assert diary(WindowMemory).observe(*observed) == diary(FullMemory).observe(*observed)


def test_it_forgets_the_oldest_in_a_block_and_says_so(diary: Any) -> None:
    memory = diary(WindowMemory, tokens=112)  # 100, and 12 for the notice
    for seq in range(1, 11):
        recalled = memory.observe(say(seq, "Jon", "x" * 19))  # 6 tokens of words and 4 around them
        assert len(recalled) == seq
    before = recalled
    after = memory.observe(say(11, "Jon", "x" * 19))
    # 56 tokens are half of the window: the notice and four messages.
    assert after[0] is NOTICE
    assert [id(message) for message in after[1:-1]] == [id(message) for message in before[-3:]]
    assert tokens(after) == 52


def test_the_beginning_stays_the_same_for_many_turns(diary: Any) -> None:
    memory = diary(WindowMemory, tokens=1000)
    first, forgot = None, 0
    for seq in range(200):
        recalled = memory.observe(say(seq, "Jon", "x" * 20))
        if recalled[0] is NOTICE and recalled[1] is not first:
            first, forgot = recalled[1], forgot + 1
    # 200 messages of 10 tokens: room for 98 of them, of which half go at a time.
    assert forgot == 3


def test_the_share_that_is_kept_is_an_option(diary: Any) -> None:
    memory = diary(WindowMemory, tokens=100, keep=1, notice=False)
    for seq in range(1, 11):
        before = memory.observe(say(seq, "Jon", "x" * 19))
    after = memory.observe(say(11, "Jon", "x" * 19))
    assert [id(message) for message in after[:-1]] == [id(message) for message in before[1:]]


def test_without_notice_nothing_is_put_in_front(diary: Any) -> None:
    memory = diary(WindowMemory, tokens=30, notice=False)
    for seq in range(1, 9):
        recalled = memory.observe(say(seq, "Jon", f"number {seq}"))
    assert recalled[0].text.startswith("Jon: number")
    assert recalled[-1].text == "Jon: number 8"


def test_a_single_event_larger_than_the_window_stays_whole(diary: Any) -> None:
    memory = diary(WindowMemory, tokens=50)
    memory.observe(say(1, "Jon", "Hello."))
    recalled = memory.observe(say(2, "Jon", "x" * 1000))
    assert [message.text for message in recalled] == [NOTICE.text, "Jon: " + "x" * 1000]
    recalled = memory.observe(say(3, "Jon", "Bye."))
    assert [message.text for message in recalled] == [NOTICE.text, "Jon: Bye."]


def test_of_more_at_once_than_the_window_holds_the_newest_lines_stay(diary: Any) -> None:
    memory = diary(WindowMemory, tokens=100)
    recalled = memory.observe(*(say(seq, "Jon", f"number {seq}") for seq in range(1, 51)))
    lines = recalled[1].text.split("\n")
    assert recalled[0] is NOTICE
    assert lines == [f"Jon: number {seq}" for seq in range(51 - len(lines), 51)]
    assert 30 < tokens(recalled) <= 50


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
batches = st.lists(st.lists(st.tuples(st.sampled_from([ME, "Jon", "Ann"]), texts), max_size=6), max_size=12)


@settings(deadline=None, derandomize=True, database=None)
@given(batches, st.integers(1, 200), st.floats(0.01, 1), st.booleans())
def test_it_never_exceeds_its_tokens(
    given_batches: list[list[tuple[str, str]]], size: int, keep: float, notice: bool
) -> None:
    async def check() -> None:
        memory, full = WindowMemory(WindowConfig(size, keep, notice)), FullMemory(FullConfig())
        seen: list[Event] = []
        for batch in given_batches:
            observed = [say(len(seen) + n, source, text) for n, (source, text) in enumerate(batch, 1)]
            seen += observed
            await memory.observe(observed, TURN)
            await full.observe(observed, TURN)
            recalled, everything = await memory.recall(TURN), await full.recall(TURN)

            told = [message for message in recalled if message is not NOTICE]
            assert bool(told) == bool(seen)
            if told:
                # What is left is the end of everything, in order; only its first message may be cut in front.
                assert told[1:] == everything[len(everything) - len(told) + 1 :]
                whole = everything[-len(told)]
                assert told[0].role == whole.role
                assert told[0] == whole or whole.text.endswith("\n" + told[0].text)
            assert (recalled[:1] == [NOTICE]) == (told != everything and notice)
            if tokens(recalled) > size:
                assert len(told) == 1
                newest = seen[-1]
                assert told[0].text in (
                    newest.describe(),
                    newest.describe(named=False),
                    newest.payload["text"],
                )
            assert memory._recent.total == tokens(told)

    asyncio.run(check())


def test_the_same_events_make_the_same_memory(diary: Any) -> None:
    def recalled() -> list[Message]:
        memory = diary(WindowMemory, tokens=90)
        for seq in range(1, 40, 3):
            last: list[Message] = memory.observe(
                *(say(seq + n, "Jon", f"number {seq + n}") for n in range(3))
            )
        return last

    assert recalled() == recalled()


@pytest.mark.parametrize(
    "options, says",
    [
        ({"tokens": 0}, "tokens: expected 1 or more, got 0"),
        ({"keep": 0.0}, "keep: expected a share above 0 and at most 1, got 0.0"),
        ({"keep": 1.5}, "keep: expected"),
        ({"keep": float("nan")}, "keep: expected"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        WindowConfig(**options)
