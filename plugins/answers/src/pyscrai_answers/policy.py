"""How the answers of a provider are read."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from .bounded_answers import MAX_ANSWER_BYTES


@frozen
class AnswerPolicy:
    """How the answers of a provider are read.

    on_truncated
        what happens to an answer that was cut off at `max_tokens`: `keep` it, ask again (`repair`), or
        `fail`. None: texts are kept, and structured answers are repaired
    split_thoughts
        whether thoughts between tags such as `<think>` are taken out of the text
    max_answer_bytes
        the largest answer that is read, after decompression
    """

    on_truncated: Literal["keep", "repair", "fail"] | None = None
    split_thoughts: bool = True
    max_answer_bytes: int = MAX_ANSWER_BYTES
