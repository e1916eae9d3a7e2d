"""What a model's answer is, for every provider alike: decided here, before the answer is journaled.

Vendors, servers and models differ in the forms of their answers. `read_raw` turns what a provider returned
into text, thoughts and tool calls, and `check` decides whether that is an answer to the request. Whatever is
no answer raises `AnswerRejected`, so that the model is asked again, or `Refused`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from attrs import evolve

from ..base.log import logger
from ..canonical import check_json
from ..errors import AnswerRejected, AnswerTruncated, Refused
from ..language.parsing import find_json, parse_json
from ..language.schemas import check_value
from ..messages import Thinking, ToolCall
from ..records import Completion, RateLimitStatus, Request, Usage
from ..scenario.model import CallPolicy
from ..suggest import quote
from ..vendors import tool_arguments
from .own_words import map_texts, own_words, speakers
from .thoughts import has_thoughts, split_thoughts

#: How many characters of an answer a message shows.
SHOWN = 120
#: The largest count of tokens that is believed.
MOST_TOKENS = 2**40
#: Reports of fewer input tokens are compared with the prompt.
FEW_TOKENS = 100
#: Types of parts of a content that are thoughts.
_THOUGHT_PARTS = ("thinking", "reasoning", "reasoning_text", "thought", "redacted_thinking")
_FINISH = ("stop", "length", "tool_calls", "refusal", "content_filter", "other")


def as_completion(answer: Any) -> Completion:
    """What a provider returned. Raises `AnswerRejected` if it is no completion."""
    if not isinstance(answer, Completion):
        raise AnswerRejected(f"the provider returned {type(answer).__name__}, expected a Completion")
    return answer


def read_raw(returned: Any, policy: CallPolicy, structured: bool) -> Completion:
    """What a provider returned, as text, thoughts and tool calls. Raises `AnswerRejected` if it is malformed.

    If the answer is `structured`, its text becomes the JSON that it contains, where there is only one.
    """
    answer = as_completion(returned)
    came, found, refused = _content(answer.text)
    came = _paired(came, "the text")
    text = came
    if policy.split_thoughts and has_thoughts(came) and parse_json(came)[1] is not None:
        tagged, text = split_thoughts(came)
        found += tagged
    thinking = [*map(_as_thinking, answer.thinking or ()), *map(Thinking, found)]
    if structured:
        text = find_json(text)
    calls = tuple(map(_tool_call, answer.tool_calls or ()))
    size = sum(len(part) for part in (came, *(one.text for one in thinking), *(str(one) for one in calls)))
    if size > policy.max_answer_bytes:
        raise AnswerRejected(
            f"the answer has {size:,} characters, expected at most {policy.max_answer_bytes:,} bytes "
            "(the provider's option `max_answer_bytes`)"
        )
    return evolve(
        answer,
        text=text,
        raw=came if text != came else "",
        tool_calls=calls,
        thinking=tuple(thinking),
        finish_reason="refusal"
        if refused
        else answer.finish_reason
        if answer.finish_reason in _FINISH
        else "other",
        model=_name(answer.model),
    )


def check(answer: Completion, request: Request, policy: CallPolicy, agents: Sequence[str]) -> Completion:
    """`answer` as the answer to `request`: for its agent alone, and with tool calls that can be made.

    Raises `Refused` for a refusal, `AnswerTruncated` for a truncated answer if the `policy` wants that, and
    `AnswerRejected` for what the model is to be asked again.
    """
    if answer.finish_reason in ("refusal", "content_filter"):
        model = answer.model or "the model"
        what = f"{model} refused to answer"
        if answer.finish_reason == "content_filter":
            what = f"the vendor's content filter withheld the answer of {model}"
        words = f": {answer.text[:SHOWN]!r}" if answer.text else ""
        raise Refused(
            f"{what}{words}; change the prompt, use another model, or set `on_error: skip` for the agent"
        )
    if answer.truncated and policy.on_truncated == "fail":
        raise AnswerTruncated(f"the answer ended before it was complete{cut_off(answer)}")
    if answer.truncated and policy.on_truncated == "repair":
        raise AnswerRejected(f"the answer ended before it was complete{cut_off(answer)}; give a shorter one")
    answer = with_textual_calls(answer, request)
    if request.speaks and not answer.tool_calls:
        answer = _with_own_words(answer, request, policy, agents)
    if not answer.tool_calls:
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
        elif part.get("type") == "refusal" or isinstance(part.get("refusal"), str):
            refusals.append(_words(part.get("refusal") or part.get("text")))
        elif isinstance(part.get("text"), str):
            text += part["text"]
        else:
            raise AnswerRejected(
                f"a part of the content is of the type {str(part.get('type'))[:40]!r}, expected text"
            )
    return "\n".join(refusals) or text, thoughts, bool(refusals)


def _words(value: Any) -> str:
    """The text in a vendor's nested parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_words, value)))
    if isinstance(value, Mapping):
        return "\n".join(filter(None, (_words(value.get(key)) for key in ("thinking", "text", "summary"))))
    return ""


def _as_thinking(thinking: Thinking) -> Thinking:
    """Thoughts are never said, so odd ones are kept as well as they can be."""
    try:
        check_json(thinking.data)
        data = thinking.data
    except ValueError as error:
        logger.warning("data of a model's thinking is left out: {}", error)
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


def _name(model: Any) -> str:
    if isinstance(model, str):
        return model.encode(errors="replace").decode()[:200]
    if model is not None:
        logger.warning("the model's name is no text and is ignored: {}", str(model)[:SHOWN])
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


def known_usage(answer: Completion, estimate: Callable[[], Usage], request: Request) -> Usage:
    """The usage that the vendor reported; what it did not report is estimated, never zero.

    The `estimate` takes time for a long history, so it is made where it is needed. That for the answer is its
    `max_tokens`: a vendor may also charge for thoughts that it keeps to itself.
    A prompt has at least about as many tokens as words, so that a report of far less is ignored.
    """
    told = plausible(answer.usage)
    sent, received, estimated = told.input_tokens, told.output_tokens, told.estimated
    cached, written = told.cached_tokens, told.cache_write_tokens
    if 0 < sent < FEW_TOKENS:
        words = sum(len(message.text.split()) for message in request.messages)
        if sent < words / 4:
            logger.warning("a usage of {} input tokens for a prompt of {} words is ignored", sent, words)
            sent = 0
    if not sent:
        sent, cached, written, estimated = estimate().input_tokens, 0, 0, True
    if not received and (answer.text or answer.thinking or answer.tool_calls):
        received, estimated = estimate().output_tokens, True
    return Usage(sent, received, min(cached, sent), min(written, sent), estimated)


def plausible(usage: Any) -> Usage:
    """The usage that was reported, without what cannot be a number of tokens."""
    if not isinstance(usage, Usage):
        return Usage()
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
    sent, received, cached, written = map(_count, counts)
    if (sent, received, cached, written) != counts:
        logger.warning("usage that is not a number of tokens is ignored: {}", str(counts)[:SHOWN])
    return Usage(sent, received, cached, written, usage.estimated)


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < MOST_TOKENS else 0


def known_allowance(answer: Completion) -> RateLimitStatus | None:
    return answer.allowance if isinstance(answer.allowance, RateLimitStatus) else None


# -- tool calls that a model wrote as text --

_MARKED = re.compile(
    r"""<tool_calls?> (?P<tag> .*?) (?: </tool_calls?> | \Z)
      | <function= (?P<named> .*?) (?: </function> | \Z)
      | \[TOOL_CALLS\] (?P<mistral> .*)
      | <\|python_tag\|> (?P<llama> .*)
      | <\|tool_calls?_begin\|> (?P<begin> .*)
      | <function_calls> (?P<claude> .*?) (?: </function_calls> | \Z)
      | ✿FUNCTION✿ (?P<qwen> .*)
      | <start_function_call> (?P<gemma> .*?) (?: <end_function_call> | \Z)
      | <[|｜]tool▁calls?▁begin[|｜]> (?P<deepseek> .*)
      | <\|channel\|>\s*commentary (?P<harmony> .*)
      | ```tool_code\s (?P<fence> .*?) (?: ``` | \Z)
      | (?: ^ | (?<=\n) ) Action: (?P<react> [^\n]+ \n\s* Action\ Input: .*)
      | \A \s* \[? (?P<python> \w[\w.]* \( \s* \w+ \s* = .* \) ) \]? \s* \Z""",
    re.DOTALL | re.VERBOSE,
)
#: Other forms of a call's name and arguments, which are JSON.
_OTHERS = [
    re.compile(r"\s*:?\s*(?P<name>[\w.-]+)\s*\n?\s*✿ARGS✿\s*:?\s*(?P<arguments>\{.*?\})", re.DOTALL),
    re.compile(
        r".*?(?:to=functions\.|<[|｜]tool▁sep[|｜]>)(?P<name>[\w.-]+).*?(?P<arguments>\{.*\})", re.DOTALL
    ),
    re.compile(r"\s*(?P<name>[\w.-]+)\s*\n\s*Action Input:\s*(?P<arguments>\{.*?\})\s*(?:\n|\Z)", re.DOTALL),
]
_CALLED = re.compile(r"(\w+)\(((?:[^()'\"]|'[^']*'|\"[^\"]*\")*)\)")
_KEYWORD = re.compile(r"(\w+)\s*=\s*('[^']*'|\"[^\"]*\"|[\w.+-]+)")
_INVOKED = re.compile(r"<invoke name=\"([\w.-]+)\">(.*?)</invoke>", re.DOTALL)
_GIVEN = re.compile(r"<parameter name=\"([\w.-]+)\">(.*?)</parameter>", re.DOTALL)
_NAMED = re.compile(r"\s*(?:<function=)?\s*([\w.:-]+)\s*(?:>|\[ARGS\])(.*?)(?:</function>\s*)?\Z", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([\w.:-]+)>\s*(.*?)\s*</parameter>", re.DOTALL)
_KEYS_OF_NAME = ("name", "tool", "tool_name", "function", "function_call", "action")
_KEYS_OF_ARGUMENTS = ("arguments", "parameters", "args", "input", "tool_input", "action_input")


def with_textual_calls(answer: Completion, request: Request) -> Completion:
    """The answer with the tool calls that the model wrote as text.

    Raises `AnswerRejected` if such a call cannot be made: its text is never said.
    """
    if answer.tool_calls or not answer.text:
        return answer
    marked = list(_MARKED.finditer(answer.text))
    # Python's form is also that of a stage direction, so it counts where such a tool is offered.
    names = {tool.name for tool in request.tools}
    marked = [one for one in marked if not one["python"] or one["python"].partition("(")[0] in names]
    if marked:
        found = [call for one in marked for call in _marked_calls(one)]
        text = _MARKED.sub("", answer.text).strip()
    elif not any(f'"{key}"' in answer.text for key in _KEYS_OF_ARGUMENTS):
        return answer
    else:
        bare = find_json(answer.text)
        value, wrong = parse_json(bare)
        found, text = [] if wrong else _calls_in(value, strict=True), ""
        if not found or (request.schema is not None and check_value(request.schema, value) is None):
            return answer
    known = [tool.name for tool in request.tools]
    for call in found:
        if call.name not in known:
            offered = f"the tools: {', '.join(known)}" if known else "no tool can be used now"
            raise AnswerRejected(
                f"it calls the tool {quote(call.name)} as text, which is not offered; {offered}"
            )
    if not found:
        raise AnswerRejected(
            f"it calls a tool in a form that cannot be read; it began: {answer.text[:SHOWN]!r}"
        )
    return evolve(answer, text=text, raw=answer.raw or answer.text, tool_calls=tuple(map(_tool_call, found)))


def _marked_calls(found: re.Match[str]) -> list[ToolCall]:
    body = next(filter(None, found.groups()), "").strip()
    value, wrong = parse_json(find_json(body))
    calls = [] if wrong else _calls_in(value, strict=False)
    if calls:
        return calls
    for name, inner in _INVOKED.findall(body):
        calls.append(ToolCall("", name, {key: _parameter(text) for key, text in _GIVEN.findall(inner)}))
    if calls or found["python"] or found["fence"]:
        return calls or _python_calls(body)
    for form in _OTHERS:
        if other := form.match(body):
            return [ToolCall("", other["name"], other["arguments"])]
    named = _NAMED.match(body)
    if named is None:
        return []
    name, inner = named[1], named[2].strip()
    arguments: Any = {key: _parameter(text) for key, text in _PARAMETER.findall(inner)} or inner
    return [ToolCall("", name, arguments)]


def _python_calls(text: str) -> list[ToolCall]:
    """The calls in Python's form with plain values; none if there is anything else."""
    calls = []
    for name, inner in _CALLED.findall(text):
        given = {key: _parameter(value.strip("'\"")) for key, value in _KEYWORD.findall(inner)}
        if _KEYWORD.sub("", inner).strip(" ,\n\t"):
            return []
        calls.append(ToolCall("", name, given))
    return calls


def _parameter(text: str) -> Any:
    value, wrong = parse_json(text)
    return text if wrong else value


def _calls_in(value: Any, strict: bool) -> list[ToolCall]:
    """The calls in a value; all of a list's elements must be calls. `strict`: with no other keys."""
    if isinstance(value, dict) and value.keys() == {"tool_calls"}:
        value = value["tool_calls"]
    values = value if isinstance(value, list) else [value]
    calls = [call for one in values if (call := _as_call(one, strict)) is not None]
    return calls if len(calls) == len(values) else []


def _as_call(value: Any, strict: bool) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in _KEYS_OF_NAME if key in value), None)
    arguments = next((value[key] for key in _KEYS_OF_ARGUMENTS if key in value), None)
    if isinstance(name, dict):
        return _as_call(name, strict)
    if not isinstance(name, str) or (strict and not isinstance(arguments, dict | str)):
        return None
    if strict and value.keys() - {*_KEYS_OF_NAME, *_KEYS_OF_ARGUMENTS, "type", "id", "index"}:
        return None
    given: Any = {} if arguments is None else arguments
    return ToolCall("", name, given)


# -- an agent speaks for itself --


def _with_own_words(
    answer: Completion, request: Request, policy: CallPolicy, agents: Sequence[str]
) -> Completion:
    name, known = request.position.agent, speakers(tuple(agents))

    def own(text: str) -> str:
        return own_words(split_thoughts(text)[1] if policy.split_thoughts else text, name, known)

    if request.schema is None:
        text = own_words(answer.text, name, known)
    else:
        value, wrong = parse_json(answer.text)
        spoken = value if wrong else map_texts(value, own)
        text = answer.text if spoken == value else orjson.dumps(spoken).decode()
    return answer if text == answer.text else evolve(answer, text=text, raw=answer.raw or answer.text)
