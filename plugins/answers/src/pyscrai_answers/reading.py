"""What a model's answer is, for every provider alike: decided here, before the answer is journaled.

Vendors, servers and models differ in the forms of their answers. `read_raw` turns what a provider returned
into text, thoughts and tool calls, and `check` decides whether that is an answer to the request. Whatever is
no answer raises `AnswerRejected`, so that the model is asked again, or `Refused`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeAlias

import orjson
from attrs import evolve

from pyscrai_language.parsing import find_json, parse_json
from pyscrai_records.base.log import logger
from pyscrai_records.base.suggest import quote
from pyscrai_records.canonical import check_json
from pyscrai_records.errors import AnswerRejected, AnswerTruncated, Refused
from pyscrai_records.messages import Thinking, ToolCall
from pyscrai_records.records import NO_USAGE, Completion, RateLimitStatus, Request, Usage

from .arguments import tool_arguments
from .finish_reasons import finish_reason
from .own_words import map_texts, own_words
from .plain import is_plain
from .policy import AnswerPolicy
from .textual_calls import SHOWN, has_marks, with_textual_calls
from .thoughts import begins_with_thoughts, has_thoughts, split_thoughts
from .tokens import check_tokens

#: The largest count of tokens that is believed.
MOST_TOKENS = 2**40
#: Reports of fewer input tokens are compared with the prompt.
FEW_TOKENS = 100
#: Marks at the edges of a text that nobody sees.
_UNSEEN = "\u200b\u2060\ufeff"
#: How a model is told that an answer is none, and how a small one writes that as its next answer.
COMPLAINT = "That is not a valid answer"
_ECHO = re.compile(r"[\W_]*(?:that|this|it)(?: is|['’]s)(?: not|n['’]t)? a valid answer\b", re.IGNORECASE)
#: How answers end that are never said.
WITHHELD = ("refusal", "content_filter")
#: Tells of an oddity, in the form of loguru.
Warn: TypeAlias = Callable[..., None]
#: Types of parts of a content that are thoughts.
_THOUGHT_PARTS = ("thinking", "reasoning", "reasoning_text", "thought", "redacted_thinking")


class Once:
    """Warns of each kind of oddity once: a vendor has it in all its answers."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, what: str, *values: Any) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning(f"{what} (told once for all answers)", *values)


def read_raw(
    answer: Completion,
    policy: AnswerPolicy,
    structured: bool,
    warn: Warn = logger.warning,
    usage: Usage | None = None,
) -> Completion:
    """What a provider returned, as text, thoughts and tool calls. Raises `AnswerRejected` if it is malformed.

    If the answer is `structured`, its text becomes the JSON that it contains, where there is only one.
    `usage` is what is known of it, if that is not what the answer says.
    """
    came, found, refused = _content(answer.text)
    came = _paired(came, "the text")
    text = came.strip(_UNSEEN)
    if policy.split_thoughts and has_thoughts(text) and parse_json(text)[1] is not None:
        tagged, text = split_thoughts(text)
        found += tagged
    thinking = [_as_thinking(one, warn) for one in answer.thinking or ()] + [Thinking(one) for one in found]
    if structured and not has_marks(text):
        text = find_json(text)
    calls = tuple(map(_tool_call, answer.tool_calls or ()))
    size = len(came)
    if thinking or calls:
        size += sum(map(len, [*(one.text for one in thinking), *map(str, calls)]))
    if size > policy.max_answer_bytes:
        raise AnswerRejected(
            f"the answer has {size:,} characters, expected at most {policy.max_answer_bytes:,} bytes "
            "(the provider's option `max_answer_bytes`)"
        )
    known = answer.finish_reason if answer.finish_reason == "other" else finish_reason(answer.finish_reason)
    return Completion(
        text,
        answer.parsed,
        calls,
        tuple(thinking),
        "refusal" if refused else known,
        answer.usage if usage is None else usage,
        _name(answer.model, warn),
        came if text != came else "",
        answer.draws,
        answer.allowance,
    )


def check(
    answer: Completion,
    request: Request,
    policy: AnswerPolicy,
    known: Mapping[str, str],
    warn: Warn = logger.warning,
) -> Completion:
    """`answer` as the answer to `request`: for its agent alone, and with tool calls that can be made.

    `known` are the scenario's `speakers`.

    An answer that ended for an unknown reason counts as truncated.

    Raises `Refused` for a refusal, `AnswerTruncated` for a truncated answer if the `policy` wants that, and
    `AnswerRejected` for what the model is to be asked again.
    """
    if answer.finish_reason in WITHHELD:
        model = answer.model or "the model"
        what = f"{model} refused to answer"
        if answer.finish_reason == "content_filter":
            what = f"the vendor's content filter withheld the answer of {model}"
        words = f": {answer.text[:SHOWN]!r}" if answer.text else ""
        raise Refused(
            f"{what}{words}; change the prompt, use another model, or set `on_error: skip` for the agent"
        )
    if answer.finish_reason == "other":
        warn("an answer of {} ended for a reason that is not known: it counts as cut off", answer.model)
        answer = evolve(answer, finish_reason="length")
    if answer.truncated and policy.on_truncated == "fail":
        raise AnswerTruncated(f"the answer ended before it was complete{cut_off(answer)}")
    if answer.truncated and policy.on_truncated == "repair":
        raise AnswerRejected(f"the answer ended before it was complete{cut_off(answer)}; give a shorter one")
    plain = request.schema is None and not answer.tool_calls and is_plain(answer.text)
    if not plain:
        answer = with_textual_calls(answer, request)
    if answer.tool_calls:
        answer = evolve(answer, tool_calls=tuple(map(_tool_call, answer.tool_calls)))
        answer = _without_thoughts_in_calls(answer) if policy.split_thoughts else answer
    if _ECHO.match(answer.text) and request.messages[-1].text.startswith(COMPLAINT):
        raise AnswerRejected("it speaks of this complaint, expected an answer to what was asked before")
    if plain:
        return answer
    if not answer.tool_calls:
        answer = _with_own_words(answer, request, policy, known) if request.speaks else answer
        if request.schema is None and policy.split_thoughts:
            check_tokens(answer.text)
        return answer
    if not request.tools:
        raise AnswerRejected(
            f"it calls the tool {quote(answer.tool_calls[0].name)}, and no tool can be used now"
        )
    # Some vendors give no ids, repeat them, or choose random ones. Mistral accepts nine letters and digits.
    before = sum(isinstance(part, ToolCall) for message in request.messages for part in message.parts)
    calls = [evolve(call, id=f"call{before + n:05}") for n, call in enumerate(answer.tool_calls, 1)]
    return evolve(answer, tool_calls=tuple(calls), finish_reason="tool_calls")


def cut_off(answer: Completion) -> str:
    """What to do about an answer that ended before it was complete; empty for any other."""
    tokens = answer.usage.output_tokens
    return f" (it was cut off after {tokens} tokens: raise max_tokens)" if answer.truncated else ""


# -- what the vendor sent --


def _content(content: Any) -> tuple[str, list[str], bool]:
    """The text of a content, the thoughts in it, and whether it refuses: vendors also send parts."""
    if content is None or isinstance(content, str):
        return content or "", [], False
    if not isinstance(content, list):
        raise AnswerRejected(f"the content is {_kind(content)}, expected text")
    text, thoughts, refusals = "", [], []
    for part in content:
        if isinstance(part, str):
            text += part
        elif not isinstance(part, dict):
            raise AnswerRejected(f"a part of the content is {_kind(part)}, expected text")
        elif any(isinstance(part.get(key), str | list) for key in ("thinking", "reasoning")):
            thoughts.append(_words(part.get("thinking") or part.get("reasoning")))
        elif part.get("type") in _THOUGHT_PARTS or part.get("thought") is True:
            thoughts.append(_words(part.get("text") or part.get("summary") or part.get("content")))
        elif part.get("type") == "refusal" or part.get("refusal"):
            refusals.append(_refusal(part.get("refusal")) or _words(part.get("text")))
        elif isinstance(part.get("text"), str):
            text += part["text"]
        else:
            raise AnswerRejected(
                f"a part of the content is of the type {str(part.get('type'))[:40]!r}, expected text"
            )
    return "\n".join(filter(None, refusals)) or text, thoughts, bool(refusals)


def _refusal(refusal: Any) -> str:
    """The words of a field with a refusal: text, parts, or an object; `true` has none."""
    if isinstance(refusal, Mapping):
        keys = ("message", "text", "reason", "explanation", "content", "refusal")
        return next(filter(None, (_refusal(refusal.get(key)) for key in keys)), "")
    if isinstance(refusal, list):
        return "\n".join(filter(None, map(_refusal, refusal)))
    return refusal if isinstance(refusal, str) else ""


def _words(value: Any) -> str:
    """The text in a vendor's nested parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_words, value)))
    if isinstance(value, Mapping):
        return "\n".join(filter(None, (_words(value.get(key)) for key in ("thinking", "text", "summary"))))
    return ""


def _as_thinking(thinking: Thinking, warn: Warn) -> Thinking:
    """Thoughts are never said, so odd ones are kept as well as they can be."""
    try:
        check_json(thinking.data)
        data = thinking.data
    except ValueError as error:
        warn("data of a model's thinking is left out: {}", error)
        data = {}
    return Thinking(_words(thinking.text).encode(errors="replace").decode(), data)


def _tool_call(call: ToolCall) -> ToolCall:
    """A tool call with its arguments as an object: many servers send them as JSON text."""
    name: Any = call.name
    arguments: Any = call.arguments
    if not isinstance(name, str) or not name:
        raise AnswerRejected(f"it calls a tool without a name ({str(call)[:SHOWN]})")
    name = _paired(name, "the name of a tool")
    wrong = None
    arguments = tool_arguments(arguments)
    if isinstance(arguments, str):
        arguments, wrong = parse_json(arguments)
    if wrong is None and not isinstance(arguments, dict):
        wrong = f"they are {_kind(arguments)}"
    if wrong is None:
        try:
            check_json(arguments, "arguments")
        except ValueError as error:
            wrong = str(error)
    if wrong is not None:
        raise AnswerRejected(
            f"it calls the tool {name} with arguments that are not a JSON object ({wrong}): "
            f"{str(call.arguments)[:SHOWN]!r}; if they are cut off, raise `max_tokens`"
        )
    return ToolCall(str(call.id or ""), name, arguments)


def _without_thoughts_in_calls(answer: Completion) -> Completion:
    """The answer with the thoughts that its calls' texts begin with among its thoughts."""
    found: list[str] = []

    def words(text: str) -> str:
        thoughts, said = split_thoughts(text) if begins_with_thoughts(text) else ([], text)
        found.extend(thoughts)
        return said

    calls = tuple(evolve(call, arguments=map_texts(call.arguments, words)) for call in answer.tool_calls)
    if not found:
        return answer
    return evolve(answer, tool_calls=calls, thinking=(*answer.thinking, *map(Thinking, found)))


def _name(model: Any, warn: Warn) -> str:
    if isinstance(model, str):
        return model.encode(errors="replace").decode()[:200]
    if model is not None:
        warn("the model's name is no text and is ignored: {}", str(model)[:SHOWN])
    return ""


def _paired(text: str, what: str) -> str:
    """`text` with the halves of characters put together, which came in two pieces of a stream."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise AnswerRejected(f"{what} contains half of a character (a surrogate without its pair)") from None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "a boolean", int: "a number", float: "a number"}
    kinds = (name for kind, name in names.items() if isinstance(value, kind))
    return "missing" if value is None else next(kinds, type(value).__name__)


# -- bookkeeping --


def known_usage(
    answer: Completion, expected: Callable[[], Usage], request: Request, warn: Warn = logger.warning
) -> Usage:
    """The usage that the vendor reported; what it did not report is estimated, never zero.

    Estimating what is `expected` takes time for a long history, so it is done where it is needed. The
    estimate of an answer is its `max_tokens`: a vendor may also charge for thoughts that it keeps to itself.
    A prompt has at least about as many tokens as words, so that a report of far less is ignored.
    """
    told = plausible(answer.usage, warn)
    sent, received, cached, written = _counts(told)
    if 0 < sent < FEW_TOKENS:
        words = sum(len(message.text.split()) for message in request.messages)
        if sent < words / 4:
            warn("a usage of {} input tokens for a prompt of {} words is ignored", sent, words)
            sent = 0
    said = answer.text or answer.thinking or answer.tool_calls
    if sent and (received or not said):
        if max(cached, written) <= sent:
            return told
        return Usage(sent, received, min(cached, sent), min(written, sent), told.estimated)
    estimate = expected()
    if not sent:
        sent, cached, written = estimate.input_tokens, 0, 0
    received = received or (estimate.output_tokens if said else 0)
    return Usage(sent, received, min(cached, sent), min(written, sent), True)


def usage_of(scores: Any, estimate: Usage, warn: Warn = logger.warning) -> Usage:
    """What scores used, as reported, or as estimated."""
    told = plausible(getattr(scores, "usage", None), warn)
    return told if told.input_tokens else estimate


def plausible(usage: Any, warn: Warn = logger.warning) -> Usage:
    """The usage that was reported, without what cannot be a number of tokens."""
    if not isinstance(usage, Usage):
        return NO_USAGE
    counts = _counts(usage)
    if all(map(_is_count, counts)):
        return usage
    warn("usage that is not a number of tokens is ignored: {}", str(counts)[:SHOWN])
    sent, received, cached, written = (count if _is_count(count) else 0 for count in counts)
    return Usage(sent, received, cached, written, usage.estimated)


_counts = attrgetter("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST_TOKENS


def known_allowance(answer: Completion) -> RateLimitStatus | None:
    return answer.allowance if isinstance(answer.allowance, RateLimitStatus) else None


# -- an agent speaks for itself --


def reads_own_words(request: Request, policy: AnswerPolicy, known: Mapping[str, str]) -> Callable[[str], str]:
    """What reads a text in the structured answer to `request`, without thoughts and for its agent alone.

    It raises `AnswerRejected` for what cannot be said.
    """
    name = request.position.agent

    def own(text: str) -> str:
        said = own_words(split_thoughts(text)[1] if policy.split_thoughts else text, name, known)
        if policy.split_thoughts:
            check_tokens(said)
        return said

    return own if request.speaks else str


def _with_own_words(
    answer: Completion, request: Request, policy: AnswerPolicy, known: Mapping[str, str]
) -> Completion:
    if request.schema is None:
        text = own_words(answer.text, request.position.agent, known)
    else:
        value, wrong = parse_json(answer.text)
        spoken = value if wrong else map_texts(value, reads_own_words(request, policy, known))
        text = answer.text if spoken == value else orjson.dumps(spoken).decode()
    return answer if text == answer.text else evolve(answer, text=text, raw=answer.raw or answer.text)
