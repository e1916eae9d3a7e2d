"""The memory `full`: which events become which messages."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pyscrai_core import Event, Message
from pyscrai_memory.full import FullConfig, FullMemory

ME = "Mara"


def shown(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]


def test_what_others_do_at_once_is_one_message(diary: Any, events: Any) -> None:
    messages = diary(FullMemory).observe(
        *events(
            ("Jon", "Good morning."), ("Ann", "offer", {"price": 3}), ("Voice", "scene", {"text": "Dawn."})
        )
    )
    assert shown(messages) == [("user", "Jon: Good morning.\n[Ann: offer price: 3]\n[Voice: scene] Dawn.")]


def test_own_words_are_the_assistants_and_stand_without_the_name(diary: Any, events: Any) -> None:
    messages = diary(FullMemory).observe(
        *events(("Jon", "Hello."), (ME, "Apples!"), (ME, "offer", {"price": 3}), ("Jon", "Too much."))
    )
    assert shown(messages) == [
        ("user", "Jon: Hello."),
        ("assistant", "Apples!\n[Mara: offer price: 3]"),
        ("user", "Jon: Too much."),
    ]


def test_a_rejected_attempt_of_its_own_is_the_worlds_answer(diary: Any, events: Any) -> None:
    rejected = (ME, "rejected", {"kind": "accept", "payload": {}, "reason": "nothing is offered"})
    messages = diary(FullMemory).observe(*events((ME, "Deal."), rejected))
    assert shown(messages) == [
        ("assistant", "Deal."),
        ("user", "(Mara tried accept: not possible, nothing is offered)"),
    ]


def test_what_its_tools_answer_is_the_worlds_answer_too(diary: Any, events: Any) -> None:
    used = {"name": "dice", "arguments": {"throw": "2d6"}, "result": "7"}
    messages = diary(FullMemory).observe(*events((ME, "I throw."), (ME, "tool", used), ("Jon", "tool", used)))
    assert shown(messages) == [
        ("assistant", "I throw."),
        ("user", "(Mara used dice(throw: 2d6): 7)\n(Jon used dice(throw: 2d6): 7)"),
    ]


def test_changes_failures_and_own_thoughts_are_left_out(diary: Any, events: Any) -> None:
    messages = diary(FullMemory).observe(
        *events(
            ("Jon", "Hello."),
            ("Jon", "change", {"path": "price", "op": "set", "value": 3}),
            (ME, "thought", {"text": "He is bluffing."}),
            (ME, "thought.plan", {"text": "Wait."}),
            (ME, "turn.failed", {"error": "Overloaded"}),
            ("Jon", "Well?"),
        )
    )
    assert shown(messages) == [("user", "Jon: Hello.\nJon: Well?")]


def test_the_thoughts_of_others_that_it_may_see_are_kept(diary: Any, events: Any) -> None:
    messages = diary(FullMemory).observe(*events(("Jon", "thought", {"text": "She lies."})))
    assert shown(messages) == [("user", "(Jon thinks: She lies.)")]


def test_words_of_its_own_are_never_an_empty_message(diary: Any, events: Any) -> None:
    (message,) = diary(FullMemory).observe(*events((ME, " \n")))
    assert (message.role, message.text.strip()) == ("assistant", "Mara:")


def test_messages_are_kept_as_objects_and_only_appended(diary: Any, events: Any) -> None:
    memory = diary(FullMemory)
    first = memory.observe(*events(("Jon", "One.")))
    second = memory.observe(*events(("Jon", "Two.")))
    assert shown(second) == [("user", "Jon: One."), ("user", "Jon: Two.")]
    assert second[0] is first[0]


def test_what_was_recalled_belongs_to_the_caller(diary: Any, events: Any) -> None:
    memory = diary(FullMemory)
    memory.observe(*events(("Jon", "One."))).clear()
    assert shown(memory.observe()) == [("user", "Jon: One.")]


def test_nothing_observed_is_nothing_recalled(diary: Any) -> None:
    assert diary(FullMemory).observe() == []


batches = st.lists(
    st.lists(st.tuples(st.sampled_from([ME, "Jon", "Ann"]), st.sampled_from(["say", "wave"])), max_size=8),
    max_size=8,
)


@settings(deadline=None, derandomize=True, database=None)
@given(batches)
def test_no_event_is_lost_or_doubled(given_batches: list[list[tuple[str, str]]]) -> None:
    turn: Any = SimpleNamespace(agent=SimpleNamespace(name=ME))

    async def check() -> None:
        memory = FullMemory(FullConfig(names="always"))
        everything: list[Event] = []
        earlier: list[Message] = []
        for batch in given_batches:
            observed = [
                Event(seq, 1, kind, source, ("*",), {"text": f"mark {seq};"})
                for seq, (source, kind) in enumerate(batch, len(everything) + 1)
            ]
            await memory.observe(observed, turn)
            everything += observed
            recalled = await memory.recall(turn)

            assert len(recalled) >= len(earlier)
            assert all(old is new for old, new in zip(earlier, recalled, strict=False))
            earlier = recalled

            lines = [(message.role, line) for message in recalled for line in message.text.split("\n")]
            assert len(lines) == len(everything)
            for (role, line), event in zip(lines, everything, strict=True):
                assert role == ("assistant" if event.source == ME else "user")
                assert line.endswith(f"mark {event.seq};")

    asyncio.run(check())
