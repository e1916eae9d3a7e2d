"""Why answers end, in the words of vendors and servers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pyscrai_records.errors import AnswerRejected, CallFailed, Overloaded, Refused
from pyscrai_records.records import FinishReason, Usage

#: What vendors and servers call the end of an answer that is whole, of one that was cut off at a limit of
#: tokens, of one that was withheld, and of one that they broke off. Written small, with `_` for `-`.
_ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(("", "none", "null", "stop", "eos", "eos_token", "end_turn", "stop_sequence"), "stop"),
    **dict.fromkeys(("complete", "completed", "done", "end", "end_of_turn", "finish", "finished"), "stop"),
    **dict.fromkeys(("stop_token", "stop_string", "stop_str", "load", "success"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "max_length", "model_length"), "length"),
    **dict.fromkeys(("token_limit", "eos_length", "model_context_window_exceeded", "limit"), "length"),
    **dict.fromkeys(("max_completion_tokens", "context_length", "context_length_exceeded"), "length"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    "refusal": "refusal",
    **dict.fromkeys(
        (
            *(
                "content_filter",
                "content_filtered",
                "safety",
                "recitation",
                "blocklist",
                "prohibited_content",
            ),
            *("spii", "image_safety", "language", "sensitive", "guardrail_intervened"),
            *("moderation", "moderated", "filtered", "refused", "data_inspection_failed", "blocked"),
            *("content_policy", "content_policy_violation", "content_moderation", "blacklist"),
            *("model_armor", "image_recitation"),
        ),
        "content_filter",
    ),
}
#: The words for an answer, or a request, that a content filter withheld.
_WITHHELD = {name for name, end in _ENDS.items() if end == "content_filter"}
_BROKEN_OFF = {
    *("abort", "aborted", "cancel", "cancelled", "canceled", "error", "failed", "failure", "timeout"),
    *("insufficient_system_resource", "unload", "interrupted", "disconnect", "shutdown", "other"),
    *("in_progress", "queued", "network_error", "server_error", "engine_error", "finish_reason_unspecified"),
}
_MALFORMED = {"malformed_function_call", "unexpected_tool_call", "malformed_response", "invalid_tool_call"}
#: What vendors say of a request or an answer that they withhold: Azure and OpenAI, OpenRouter, xAI, DeepSeek,
#: Anthropic, Alibaba, Moonshot, Zhipu (1301).
_FLAGGED = re.compile(
    r"content management policy|violating our usage policy|input was flagged|violates usage guidelines"
    r"|safety system|content exists risk|inappropriate content|considered high risk|content filter|敏感内容"
    r"|guardrail policy",
    re.IGNORECASE,
)
#: What servers call an answer of the model that they cannot read, and what they say of it: Groq, Cerebras,
#: llama.cpp, Ollama. Anything else wrong with a request has other words.
_UNREADABLE = {"tool_use_failed", "json_validate_failed"}
_CANNOT_READ = re.compile(
    r"failed_generation|failed to generate (?:json|tool)|failed to parse (?:input at pos|tool call)"
    r"|does not match the expected .{1,40} format|tool call validation failed|error parsing tool call"
    r"|XML syntax error on line",
    re.IGNORECASE,
)
#: What the words for other reasons contain.
_FILTERED = re.compile("filter|safety|toxic|moderat|policy|prohibit|sensitive|harm")
_BROKEN = re.compile("error|fail|abort|cancel|timeout|interrupt")
_CALL = re.compile("(?:malformed|invalid|unexpected).*(?:call|function|tool)")
_LIMIT = re.compile("length|limit|max_")


def answer_fault(text: str, names: Iterable[str] = ()) -> CallFailed | None:
    """The error for a server's error with this text and these codes, if it is about the model's answer.

    `AnswerRejected`: the server cannot read the answer, so the model is to be asked again. `Refused`: the
    vendor withholds the answer, or refuses the request for what it says. None: it is any other error.
    """
    called = {name.lower().replace("-", "_") for name in names}
    if called & _UNREADABLE or _CANNOT_READ.search(text):
        unread = AnswerRejected(f"{text} (the server cannot read the model's answer)")
        unread.usage = Usage()  # there was an answer, of which nobody tells what it used
        return unread
    if called & _WITHHELD or _FLAGGED.search(text):
        return Refused(f"{text}; the vendor's content filter refused the request: change the prompt")
    return None


def finish_reason(reason: Any, calls: bool = False) -> FinishReason:
    """Why an answer ended, from what its vendor or server calls it. None: it said nothing, so it is whole.

    `calls`: whether the answer has tool calls, which need no word for it. `other` is a reason that nobody
    knows; such an answer counts as cut off. Raises `Overloaded` if the server broke the answer off, and
    `AnswerRejected` if it could not read the model's tool call.
    """
    # Some say more behind a colon: `content_filter: SAFETY`.
    name = "" if reason is None else str(reason).partition(":")[0].strip().lower().replace("-", "_")
    found = _ENDS.get(name)
    if name in _MALFORMED or (found is None and _CALL.search(name)):
        raise AnswerRejected(f"the server cannot read the model's tool call ({str(reason)[:40]!r})")
    if found is None and _FILTERED.search(name):
        return "content_filter"
    if name in _BROKEN_OFF or (found is None and _BROKEN.search(name)):
        raise Overloaded(f"the server broke the answer off ({str(reason)[:40]!r}); try again")
    if found is None:
        found = "length" if _LIMIT.search(name) else "other"
    return "tool_calls" if calls and found == "stop" else found
