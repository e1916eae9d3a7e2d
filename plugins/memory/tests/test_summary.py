"""The memories `none` and `summary`."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import pytest

from pyscrai_core import Completion, Overloaded, Refused, estimate_tokens
from pyscrai_memory.none import NoMemory
from pyscrai_memory.summary import HEAD, WAITING, SummaryConfig, SummaryMemory

SMALL = {"tokens": 200, "words": 10}


def test_none_remembers_nothing(diary: Any, say: Any) -> None:
    assert diary(NoMemory).observe(say(1, "Jon", "Hello.")) == []


def test_the_oldest_become_a_summary_in_large_blocks(diary: Any, say: Any) -> None:
    memory = diary(SummaryMemory, **SMALL)
    memory.turn.answer = lambda request: Completion(f"Part {len(memory.turn.asked)}.")
    beginnings, before = 0, []
    for seq in range(1, 41):
        after = memory.observe(say(seq, "Jon", f"number {seq}, and so on"))
        beginnings += [id(one) for one in after[: len(before)]] != [id(one) for one in before]
        before = after
        assert sum(map(estimate_tokens, after)) <= 200
    assert after[0].text == HEAD + f"Part {len(memory.turn.asked)}."
    assert after[-1].text == "Jon: number 40, and so on"
    # 40 messages of 11 tokens, of which nine or so go at a time.
    assert beginnings == len(memory.turn.asked) == 3


def test_each_event_is_summarised_once_and_the_summary_goes_on(diary: Any, say: Any) -> None:
    memory = diary(SummaryMemory, **SMALL, provider="cheap")
    memory.turn.answer = lambda request: Completion(f"Part {len(memory.turn.asked)}.")
    for seq in range(1, 61):
        last = memory.observe(say(seq, "Jon", f"number {seq};"))
    prompts = [request.messages[0].text for request in memory.turn.asked]
    shown = "".join(message.text for message in last)
    for seq in range(1, 61):
        assert sum(f"number {seq};" in text for text in (*prompts, shown)) == 1
    for number, prompt in enumerate(prompts):
        assert (f"Part {number}." in prompt) == (number > 0)
        assert "everything that Mara must remember, in at most 10 words" in prompt
    assert {request.provider for request in memory.turn.asked} == {"cheap"}


def test_more_than_a_model_could_read_at_once_is_summarised_in_parts(diary: Any, say: Any) -> None:
    memory = diary(SummaryMemory, **SMALL)
    memory.observe(*(say(seq, "Jon", f"number {seq}, and so on") for seq in range(1, 101)))
    assert len(memory.turn.asked) == 4
    for request in memory.turn.asked:
        assert estimate_tokens(request.messages[0].text) < 320


@pytest.mark.parametrize(
    "text",
    [
        "I said that I cannot help Jon.",
        "Jon was sorry; he could not help me.",
        "I can't help but think that Mara lies.",
        "I cannot support Jon's price, and I won't write to him.",
    ],
)
def test_a_summary_may_tell_of_refusals(diary: Any, say: Any, text: str) -> None:
    memory = diary(SummaryMemory, **SMALL)
    memory.turn.answer = lambda request: Completion(text)
    recalled = memory.observe(*(say(seq, "Jon", f"number {seq};") for seq in range(1, 61)))
    assert recalled[0].text == HEAD + text


def test_a_summary_that_rambles_is_cut(diary: Any, say: Any) -> None:
    memory = diary(SummaryMemory, **SMALL)
    for words in ("word " * 500, "字" * 500, "x" * 500):
        memory.turn.answer = lambda request, words=words: Completion(words)
        recalled = memory.observe(*(say(seq, "Jon", "x" * 80) for seq in range(1, 20)))
        assert recalled[0].text.endswith(" …")
        assert 30 <= estimate_tokens(recalled[0].text.removeprefix(HEAD)) <= 40


def test_what_could_not_be_summarised_waits(diary: Any, say: Any) -> None:
    memory = diary(SummaryMemory, **SMALL)

    def fail(request: Any) -> Completion:
        raise Overloaded("down")

    memory.turn.answer = fail
    with pytest.raises(Overloaded):
        memory.observe(*(say(seq, "Jon", f"number {seq};") for seq in range(1, 60)))
    memory.turn.answer = lambda request: Completion("In short.")
    recalled = memory.observe(say(60, "Jon", "number 60;"))
    text = memory.turn.asked[-1].messages[0].text + "".join(message.text for message in recalled)
    assert all(text.count(f"number {seq};") == 1 for seq in range(1, 61))
    assert recalled[0].text == HEAD + "In short."


def refuse(request: Any) -> Completion:
    raise Refused("the model refused: I can't help with that")


@pytest.mark.parametrize(
    ("answer", "calls", "why"),
    [
        (refuse, 1, "the model refused"),
        (lambda request: Completion("They were", finish_reason="length"), 1, "was cut off after 0 tokens"),
        (lambda request: Completion(" \n"), 3, "answers nothing: 3 empty answers"),
        (lambda request: Completion("I'm sorry, but I can't help with that."), 1, "refused: "),
        (lambda request: Completion("I cannot assist with that request."), 1, "refused: "),
        (lambda request: Completion("As an AI, I am unable to help summarize this."), 1, "refused: "),
        (lambda request: Completion("抱歉，我无法 help 您。"), 1, "refused: "),
    ],
)
def test_without_a_summary_the_memory_stays_as_it_was(
    diary: Any, say: Any, answer: Any, calls: int, why: str
) -> None:
    memory = diary(SummaryMemory, **SMALL)
    numbers = iter(range(1, 999))

    def hear(count: int) -> str:
        said = [say(seq, "Jon", f"number {seq};") for seq in islice(numbers, count)]
        recalled = memory.observe(*said)
        assert sum(map(estimate_tokens, recalled)) <= SMALL["tokens"]
        return "".join(message.text for message in recalled)

    def seqs(text: str) -> set[int]:
        return set(map(int, re.findall(r"number (\d+);", text)))

    assert hear(60).startswith(HEAD + "In short.")
    before = seqs(hear(1))
    memory.turn.answer, memory.turn.asked = answer, []
    told = [hear(1) for _ in range(60)]
    assert all(text.startswith(HEAD + "In short.") for text in told)
    assert not any("help" in text or "They were" in text for text in told)
    thoughts = memory.turn.thoughts
    assert thoughts[0].startswith("My summary of earlier events stays as it was: ")
    assert why in thoughts[0]
    assert 1 < len(thoughts) < 20, "it is asked again when messages are dropped, not in each turn"
    assert len(memory.turn.asked) == calls * len(thoughts)
    # Where messages were dropped in vain, they are still shown.
    at = next(number for number, text in enumerate(told) if WAITING in text)
    assert seqs(told[at]) > seqs(told[at - 1])
    # And a later summary has all of them.
    memory.turn.answer, memory.turn.asked = lambda request: Completion("Better."), []
    while not memory.turn.asked:
        last = hear(1)
    assert last.startswith(HEAD + "Better.")
    assert WAITING not in last
    asked = "".join(request.messages[0].text for request in memory.turn.asked)
    assert seqs(asked) | seqs(last) >= before | set(range(min(before), max(seqs(last))))


@pytest.mark.parametrize(
    "options, says",
    [
        ({"tokens": 0}, "tokens: expected 1 or more"),
        ({"tokens": 100}, "words: a summary of 150 needs .* expected less than tokens × keep, which is 50"),
        ({"keep": 0.1}, "words: a summary of 150"),
        ({"keep": 2.0}, "keep: expected"),
        ({"words": 0}, "'words' must be >= 1"),
    ],
)
def test_a_budget_without_room_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SummaryConfig(**options)
