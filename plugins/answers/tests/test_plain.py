"""A text that counts as plain is read as it is by all that would look for more in it."""

from __future__ import annotations

from random import Random

import pytest

from pyscrai_answers.own_words import own_words, speakers
from pyscrai_answers.plain import is_plain
from pyscrai_answers.textual_calls import with_textual_calls
from pyscrai_answers.thoughts import has_thoughts, split_thoughts
from pyscrai_answers.tokens import unread_token
from pyscrai_records.records import Completion, Request, ToolSpec

AGENTS = speakers(("Mara", "Jon", "Ana-Lía"))
TOOLS = (ToolSpec("stock", "What there is.", {"type": "object", "properties": {"of": {"type": "string"}}}),)
# fmt: off
PIECES = (
    "Mara", "Jon", "Ana-Lía", "Mara says", "Jon said", "Dear Jon", "Farmer Mara", "Mara's answer",
    "assistant", "user", "model", "system", "analysis", "Analysis", "commentary", "final", "thinking",
    "thought", "Action", "Here is my thought process", "done thinking.", "assistantfinal", "Turn 3",
    "stock", "next", "answer", "to=functions.stock", "five coins", "nine", "A", "Of course", "1.", "5%",
    "$9", " ", " ", " ", "\n", "\n\n", "\r\n", "\t", ".", ",", "!", "?", "…", "...", ";", "'", "’", '"',
    "“", "”", "-", " - ", "--", "—", " – ", ":", "：", "|", "(", ")", "[", "]", "<", ">", "{", "}", "*",
    "**", "_", "`", "```", "#", "=", "&lt;", "◁", "✿", "<think>", "</think>", "<|end|>", "[INST]", "<br>",
    "\u200b", "\u2028",
)
# fmt: on


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_in_plain_texts(seed: int) -> None:
    random = Random(seed)
    plain = 0
    for _ in range(20_000):
        text = "".join(random.choices(PIECES, k=random.randint(1, 7)))
        if not is_plain(text):
            continue
        plain += 1
        assert not has_thoughts(text), text
        assert split_thoughts(text) == ([], text), text
        assert unread_token(text) is None, text
        assert own_words(text, "Mara", AGENTS) == text, text
        answer = Completion(text)
        for tools in ((), TOOLS):
            assert with_textual_calls(answer, Request((), tools=tools)) is answer, text
    assert plain > 1000  # so that the test tells something


@pytest.mark.parametrize(
    "text",
    [
        "I would rather wait, and see what the others say.",
        "Five coins? That's too much!\n\nNine, well-kept apples… “for you”.",
        "Ça coûte 5 €. Нет, спасибо.",
    ],
)
def test_sentences_are_plain(text: str) -> None:
    assert is_plain(text)
