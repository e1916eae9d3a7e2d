"""Tokens of chat templates in words, which are not known here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyscrai_records.errors import AnswerRejected

from .code_blocks import code_blocks, is_within
from .thoughts import QUOTES, TAG

#: A token of any chat template, unless a sentence mentions it.
_TOKEN = re.compile(
    rf"(?<![{QUOTES}])(?<![\w,] )"
    r"(?:<([|｜])[\w▁]{1,40}\1>|\[\|\w{1,40}\|\]|<(?:unk|unused\d{1,4})>)(?!:)"
)


def unread_tokens(text: str) -> Iterator[re.Match[str]]:
    """The tokens of chat templates that are not read here, and that no sentence mentions.

    Those that are read here, and still are in words, are only mentioned.
    """
    return (one for one in _TOKEN.finditer(text) if TAG.match(one[0]) is None)


def unread_token(text: str) -> re.Match[str] | None:
    """The first of them in a text that stands in no block of code."""
    found = [*unread_tokens(text)]
    blocks = [*code_blocks(text)] if found else []
    return next((one for one in found if not is_within(one.start(), blocks)), None)


def check_tokens(text: str) -> None:
    """Raise `AnswerRejected` if words contain a token of a chat template, such as `<|begin|>`.

    What it means in this model's template is not known: what is behind it may be thoughts, or somebody else's
    turn. A token that a sentence mentions is a word.
    """
    if found := unread_token(text):
        raise AnswerRejected(
            f"it contains {found[0]}, a token of the model's chat template; answer in words alone. If this "
            "persists, the server does not read this model's template: look for its option, such as a parser "
            "of reasoning or of tool calls"
        )
