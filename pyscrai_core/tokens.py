"""The kernel's estimate of token counts.

Code that builds prompts must count tokens with this, not with a vendor's tokenizer, so that prompts do not
depend on the model. A token is four bytes of UTF-8, OpenAI's rule of thumb for English. Other scripts have
more bytes per character and count for more, as in real tokenizers. Each message counts four more tokens, for
the chat template.
"""

from __future__ import annotations

from .canonical import canonical
from .messages import Message, Text, part_to_dict

#: Recorded in manifests, because another rule would give other prompts.
ESTIMATOR = "bytes4-1"
PER_MESSAGE = 4


def estimate_tokens(content: str | Message) -> int:
    """Estimate the number of tokens of a text or of a whole message."""
    if isinstance(content, str):
        length = len(content) if content.isascii() else len(content.encode())
        return (length + 3) // 4
    return PER_MESSAGE + sum(
        estimate_tokens(part.text if isinstance(part, Text) else canonical(part_to_dict(part)).decode())
        for part in content.parts
    )
