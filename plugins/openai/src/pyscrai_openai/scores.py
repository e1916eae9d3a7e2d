"""The probabilities of options, from servers that continue an answer and tell the next tokens' probabilities.

The chat interface tells the most probable tokens alone (`top_logprobs`), often up to 20. What is not told is
counted as missing. A token's text is sent back as text, so the server may split it into other tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import evolve

from pyscrai_core import Request, RequestRejected, Usage
from pyscrai_core.vendors import Option, OptionScores, Told, score_options

from .chat import Chat
from .config import OpenAIConfig

#: By how much rounding may raise a log-probability above 0.
ROUNDING = 1e-3
#: The most requests for a choice, but for those of each option's own tokens.
MOST_NODES = 24

Send = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def score(
    chat: Chat, config: OpenAIConfig, request: Request, prefix: str, options: Sequence[Option], send: Send
) -> OptionScores:
    """The scores of options behind a chat's messages and the answer so far. `send` sends a request's body."""
    walk, usage, model = score_options(options, at_end=not prefix, most=MOST_NODES), Usage(), ""
    ask = next(walk)
    while True:
        text = _text(prefix, ask.path)
        told: list[Told] = []
        if text is not None:
            answer = await send(_body(chat, config, request, text))
            told, model = _told(answer), answer.get("model") or config.model
            usage += chat.usage(answer)
        try:
            ask = walk.send(told)
        except StopIteration as end:
            scores: OptionScores = evolve(end.value, usage=usage, model=model)
            return scores


def _text(prefix: str, path: Sequence[Any]) -> str | None:
    """The answer so far; None if it ends within a character, which cannot be sent."""
    try:
        return prefix + b"".join(path).decode()
    except UnicodeDecodeError:
        return None


def _body(chat: Chat, config: OpenAIConfig, request: Request, text: str) -> dict[str, Any]:
    body = chat.body(request.but(schema=None, tools=()), stream=False) | config.extra
    body |= {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": config.top_logprobs}
    body.pop("stop", None)
    if text:
        body["messages"] = [*body["messages"], {"role": "assistant", "content": text}]
        if config.continues == "vllm":
            body |= {"add_generation_prompt": False, "continue_final_message": True}
    return body


def _told(answer: dict[str, Any]) -> list[Told]:
    """The tokens in an answer, each text once: the server may tell several tokens with the same text."""
    content = ((answer["choices"][0].get("logprobs") or {}).get("content")) or []
    if not content:  # the answer ends here, and of that the server tells nothing
        return []
    found: dict[bytes, Told] = {}
    for one in content[0]["top_logprobs"]:
        raw = one.get("bytes")
        text = one["token"].encode() if raw is None else bytes(raw)
        if text and text not in found:
            found[text] = Told(text, text, _logprob(one))
    return list(found.values())


def _logprob(one: dict[str, Any]) -> float:
    """A token's log-probability. Raises `RequestRejected` for what is none; rounding may make it positive."""
    told = one["logprob"]
    if not isinstance(told, int | float) or not told <= ROUNDING:
        raise RequestRejected(
            f"openai: the server tells {told!r} as the log-probability of the token {one['token']!r:.40}, "
            "expected a number, 0 at most; use another server or model, or set `draw: provider`"
        )
    return min(0.0, float(told))
