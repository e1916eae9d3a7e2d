"""The memory `recall`: what comes back, and where it is shown."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from pyscrai_core import Completion, Event, Overloaded, Refused, estimate_tokens
from pyscrai_memory import archive
from pyscrai_memory.archive import Archive, Weights, words_of
from pyscrai_memory.recall import RecallConfig, RecallMemory

SMALL = {"tokens": 160, "recalled": 60}
CHATTER = "the weather is fine, and so on and on"


def talk(memory: Any, say: Any, first: int, last: int) -> Any:
    for seq in range(first, last + 1):
        memory.turn.step = seq
        recalled = memory.observe(say(seq, "Jon", f"{CHATTER} {seq}"))
    return recalled


def remembered(messages: list[Any]) -> list[str]:
    (found,) = [one.text.split("\n- ")[1:] for one in messages if one.text.startswith("You remember:")]
    return list(found)


def best(shelf: Archive, query: str, count: int = 1, step: int = 9, **weights: float) -> list[int]:
    given = {"recency": 0.0, "importance": 0.0, "relevance": 0.0} | weights
    return [event.seq for event in shelf.best(query, [], step, 0.9, Weights(**given), count)]


def test_what_is_asked_about_comes_back(diary: Any, say: Any) -> None:
    memory = diary(RecallMemory, **SMALL, count=1)
    memory.observe(say(1, "Ann", "I hid the silver key under the mill."))
    talk(memory, say, 2, 40)
    recalled = memory.observe(say(41, "Jon", "Where might that silver key be?"))
    assert remembered(recalled) == ["Ann: I hid the silver key under the mill."]


def test_it_stands_between_what_was_shown_before_and_what_is_new(diary: Any, say: Any) -> None:
    memory = diary(RecallMemory, **SMALL)
    before = talk(memory, say, 1, 40)
    changed = 0
    for seq in range(41, 81):
        after = talk(memory, say, seq, seq)
        assert after[-2].text.startswith("You remember:")
        assert after[-1].text == f"Jon: {CHATTER} {seq}"
        stable = [id(one) for one in before if not one.text.startswith("You remember:")]
        changed += [id(one) for one in after[: len(stable)]] != stable
        assert sum(map(estimate_tokens, after)) <= 160
        assert memory.observe() == after  # nothing new: nothing else comes to mind
        before = after
    assert 0 < changed < 14


def test_each_of_the_three_counts_by_its_weight(say: Any) -> None:
    shelf = Archive()
    events = [
        say(seq, "Jon", f"{text} of corn") for seq, text in enumerate(("seven bags", "a cart", "ten"), 1)
    ]
    shelf.add(events, [2, 9, 2], [])
    assert best(shelf, "", recency=1.0) == [3]
    assert best(shelf, "", importance=1.0) == [2]
    assert best(shelf, "BAGS!", relevance=1.0) == [1]
    assert best(shelf, "", count=3) == [3, 2, 1]  # all equal: the newer ones first


def test_what_was_recalled_lately_is_recent(say: Any) -> None:
    shelf = Archive()
    shelf.add([say(seq, "Jon", f"word{seq}") for seq in range(1, 7)], [1] * 6, [])
    assert best(shelf, "word2", relevance=1.0) == [2]
    assert best(shelf, "", count=2, step=10, recency=1.0) == [2, 6]


def test_rare_words_say_more_than_common_ones(say: Any) -> None:
    shelf = Archive()
    texts = ["the barn", *["the the the end"] * 300, "silver"]
    shelf.add([say(seq, "Jon", text) for seq, text in enumerate(texts, 1)], [1] * 302, [])
    assert best(shelf, "the barn the", relevance=1.0) == [1]
    assert words_of("Où est le Pont-Neuf? 東京 42") == ["où", "est", "le", "pont", "neuf", "東", "京", "42"]


def test_public_and_other_events_are_found_alike(say: Any) -> None:
    shelf = Archive()
    hidden = [say(seq, "Ann", f"hush{seq}", ("Mara",)) for seq in range(1, 300, 2)]
    public = [say(seq, "Jon", f"loud{seq}") for seq in range(2, 300, 2)]
    for batch in (hidden[:70], public, hidden[70:]):
        shelf.add(batch, [1] * len(batch), [])
    for seq in (1, 2, 139, 141, 150, 298, 299):
        assert best(shelf, f"{'hush' if seq % 2 else 'loud'}{seq}", relevance=1.0) == [seq]


def test_agents_share_what_both_heard_and_nothing_else(say: Any) -> None:
    def alike() -> list[Event]:
        return [say(seq, "Jon", f"number {seq}") for seq in range(1, 200)]

    one, two, stranger, heard = Archive(), Archive(), Archive(), alike()
    for shelf, observed in ((one, heard), (two, heard), (stranger, alike())):
        shelf.add(observed, [1] * len(observed), [])
    assert all(a is b for a, b in zip(one._public.chunks, two._public.chunks, strict=True))
    assert not {*map(id, one._public.chunks)} & {*map(id, stranger._public.chunks)}
    del one, two, stranger, shelf
    gc.collect()
    assert not archive._CHUNKS  # nothing outlives its run


def test_the_rule_of_importance(diary: Any, say: Any) -> None:
    memory = diary(RecallMemory).memory
    given = [
        say(1, "Jon", "Hello."),
        say(2, "Jon", "Hello, Maraschino."),
        say(3, "Jon", "Hello, Mara."),
        say(4, "Jon", "Psst.", ("Mara",)),
        Event(5, 1, "offer", "Jon", ("*",), {"price": 3}),
        say(6, "Jon", "x" * 200),
        say(7, "Mara", "I am Mara."),
    ]
    assert memory._ratings_by_rule(given, "Mara") == [2, 2, 6, 6, 4, 3, 2]


def test_a_model_rates_blocks_and_what_fails_waits(diary: Any, say: Any) -> None:
    memory = diary(RecallMemory, **SMALL, importance="model", provider="judge", weights=Weights(0, 1, 0))

    def rate(request: Any) -> Completion:
        if len(memory.turn.asked) == 2:
            raise Overloaded("down")
        names = request.schema["required"]
        lines = request.messages[0].text.split("\n")
        numbers = {name: 9 if any(f"{name}. Ann" in line for line in lines) else 1 for name in names}
        return Completion(json.dumps(numbers), parsed=numbers)

    memory.turn.answer = rate
    told = [say(seq, "Ann" if seq == 7 else "Jon", f"{CHATTER} {seq}", step=1) for seq in range(1, 51)]
    with pytest.raises(Overloaded):
        memory.observe(*told)
    recalled = memory.observe(say(51, "Jon", "Well?"))
    assert f"Ann: {CHATTER} 7" in remembered(recalled)
    sizes = [len(request.schema["required"]) for request in memory.turn.asked]
    assert (sizes[0], sizes[1], sizes[2]) == (20, 20, 20)
    assert sum(sizes) - 20 == len(memory.memory._archive)
    assert memory.turn.asked[0].provider == "judge"


def test_what_a_model_does_not_rate_is_rated_by_rule(diary: Any, say: Any) -> None:
    memory = diary(RecallMemory, **SMALL, importance="model", weights=Weights(0, 1, 0))

    def refuse(request: Any) -> Completion:
        raise Refused("the model refused: I do not judge people")

    memory.turn.answer = refuse
    told = [say(seq, "Ann", f"{'Mara, ' if seq == 7 else ''}{CHATTER} {seq}", step=1) for seq in range(1, 51)]
    recalled = memory.observe(*told)
    assert f"Ann: Mara, {CHATTER} 7" in remembered(recalled)
    assert memory.turn.thoughts[0].startswith(
        "The importance of 20 events is rated by rule: the model refused"
    )
    assert "judge" not in remembered(recalled)


def test_embeddings_tell_what_is_relevant(diary: Any, say: Any) -> None:
    memory = diary(RecallMemory, **SMALL, count=1, embeddings="vectors", weights=Weights(0, 0, 1))
    memory.turn.vector = lambda text: [text.count("a") + 0.1, text.count("b"), 0]
    memory.observe(say(1, "Jon", "bbb"))
    for seq in range(2, 40):
        memory.observe(say(seq, "Jon", "aaaaaaaaaaaaaaaaaaaaaaaaaaa"))
    recalled = memory.observe(say(40, "Zoe", "b"))
    assert remembered(recalled) == ["Jon: bbb"]
    assert {provider for _, provider in memory.turn.embedded} == {"vectors"}
    texts = [text for given, _ in memory.turn.embedded for text in given]
    assert texts.count("Jon: bbb") == 1
    memory.turn.vector = lambda text: [1.0]
    with pytest.raises(ValueError, match="the embeddings have different lengths"):
        memory.observe(say(41, "Zoe", "b"))


def test_what_does_not_fit_is_not_recalled(diary: Any, say: Any) -> None:
    memory = diary(RecallMemory, **SMALL)
    memory.observe(say(1, "Ann", "key " * 100))
    memory.observe(say(2, "Ann", "A key."))
    talk(memory, say, 3, 30)
    recalled = memory.observe(say(31, "Jon", "The key?"))
    assert "Ann: A key." in remembered(recalled)
    assert sum(map(estimate_tokens, recalled)) <= 160


@pytest.mark.parametrize(
    "options, says",
    [
        ({"tokens": 500}, "recalled: expected less than tokens × keep, which is 300"),
        ({"recalled": 1}, "'recalled' must be >= 20"),
        ({"count": 0}, "'count' must be >= 1"),
        ({"decay": 0.0}, "'decay' must be > 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RecallConfig(**options)
    with pytest.raises(ValueError, match="weights: expected numbers of 0 or more, got -1"):
        Weights(recency=-1)
