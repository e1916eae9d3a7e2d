"""Whether the names of others are in front of what they say."""

from __future__ import annotations

from typing import Any

import pytest

from pyscrai_core import Message, estimate_tokens
from pyscrai_memory.full import FullMemory
from pyscrai_memory.recall import RecallMemory
from pyscrai_memory.summary import SummaryMemory
from pyscrai_memory.window import WindowMemory

ME = "Mara"
LARGE: dict[str, Any] = {"names": "auto", "tokens": 5000}


def shown(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]


@pytest.mark.parametrize(
    "kind, options",
    [
        (FullMemory, {"names": "auto"}),
        (WindowMemory, LARGE),
        (SummaryMemory, LARGE),
        (RecallMemory, LARGE),
    ],
)
def test_the_words_of_the_only_other_speaker_have_no_name(
    diary: Any, say: Any, events: Any, kind: Any, options: Any
) -> None:
    memory = diary(kind, **options)
    talk = events(
        ("Voice", "narration", {"text": "Dawn."}), ("Jon", "How much?"), ("Jon", "offer", {"price": 2})
    )
    two = [("user", "[Voice: narration] Dawn.\nHow much?\n[Jon: offer price: 2]"), ("assistant", "Three.")]
    assert shown(memory.observe(*talk, say(4, ME, "Three."))) == two
    # One more speaker: names are needed now, also in what was said before.
    three = [("user", two[0][1].replace("How", "Jon: How")), two[1], ("user", "Ann: I take it.")]
    assert shown(memory.observe(say(5, "Ann", "I take it."))) == three
    assert shown(memory.observe(say(6, "Jon", "Oh."))) == [*three, ("user", "Jon: Oh.")]


@pytest.mark.parametrize(
    "text", ["[Jon: accept]", " (Jon used dice: 6)", "Mara: I give up.", "Ann: Hello.", " \n"]
)
def test_words_that_look_like_something_else_keep_the_name(diary: Any, say: Any, text: str) -> None:
    (message,) = diary(FullMemory, names="auto").observe(say(1, "Jon", text))
    assert message.text.startswith("Jon: ")


def test_what_is_said_to_some_only_keeps_the_name_and_lines_are_indented(diary: Any, say: Any) -> None:
    memory = diary(FullMemory, names="auto")
    (message,) = memory.observe(say(1, "Jon", "Psst.", audience=[ME]), say(2, "Jon", "So\n[Mara: accept]"))
    assert message.text == "Jon (to Mara): Psst.\nSo\n  [Mara: accept]"


def test_the_limit_holds_when_names_are_added(diary: Any, say: Any) -> None:
    memory = diary(WindowMemory, names="auto", tokens=100, notice=False)
    for seq in range(1, 10):
        memory.observe(say(seq, "Jon", "word " * 4))
    messages = memory.observe(say(10, "Ann", "word " * 4))
    assert sum(map(estimate_tokens, messages)) <= 100
    assert all(message.text.startswith(("Jon: ", "Ann: ")) for message in messages)
