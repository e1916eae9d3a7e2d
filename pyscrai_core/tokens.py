"""The kernel's own estimate of tokens.

Whatever shapes a prompt counts with this, never with a vendor's tokenizer, so that a prompt does not
depend on who answers it. One token is taken as four bytes of UTF-8, the rule of thumb that OpenAI
publishes for English; other scripts have more bytes per character and so count for more, as they do in
real tokenizers. Four more stand for what a chat template adds around a message.
"""

from __future__ import annotations

from .canonical import canonical
from .messages import Message, Text, part_to_dict

#: Recorded in manifests: another rule would shape other prompts.
ESTIMATOR = "bytes4-1"
PER_MESSAGE = 4


def estimate_tokens(content: str | Message) -> int:
    """The estimated number of tokens of a text or of a whole message."""
    if isinstance(content, str):
        length = len(content) if content.isascii() else len(content.encode())
        return (length + 3) // 4
    return PER_MESSAGE + sum(
        estimate_tokens(part.text if isinstance(part, Text) else canonical(part_to_dict(part)).decode())
        for part in content.parts
    )
