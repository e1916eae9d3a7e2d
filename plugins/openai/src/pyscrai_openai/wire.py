"""Parts of requests and answers that the chat and the responses interface have in common.

`official` says whether the server is OpenAI's own. Only OpenAI needs schemas in its strict form; other
servers get them unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyscrai_core import Message, Request, ToolCall, ToolResult, ToolSpec, Usage
from pyscrai_core.vendors import tool_arguments

from .strict_schema import restore, restore_text, strict

#: Where servers put the usage, if not into the answer itself (Groq's streams).
USAGE_IN = ("x_groq",)
#: Other names for the number of cached tokens: DeepSeek's and Moonshot's.
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens")

# -- requests --


def sampling_fields(request: Request, max_tokens: str) -> dict[str, Any]:
    """The sampling options that the request sets; `max_tokens` is that field's name in the body."""
    sampling = request.sampling
    fields = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        max_tokens: sampling.max_tokens,
    }
    return {name: value for name, value in fields.items() if value is not None}


def schema_fields(schema: dict[str, Any], official: bool) -> dict[str, Any]:
    """The schema of an answer. OpenAI gets it in strict mode if it can be converted."""
    if not official:
        return {"schema": schema, "strict": True}
    made = strict(schema)
    return {"schema": schema, "strict": False} if made is None else {"schema": made.schema, "strict": True}


def tool_fields(tool: ToolSpec, official: bool) -> dict[str, Any]:
    """A tool's name, description and parameters. OpenAI gets strict parameters if they can be converted."""
    fields = tool.to_dict()
    if official:
        made = _strict_parameters(tool.parameters)
        fields |= {"strict": False} if made is None else {"parameters": made, "strict": True}
    return fields


def role(message: Message) -> str:
    """The role for a message's text. Text beside tool results is the user's."""
    return "user" if message.role == "tool" else message.role


def result_text(result: ToolResult) -> str:
    return f"Error: {result.content}" if result.failed else result.content


# -- answers --


def answer_text(request: Request, text: Any, official: bool) -> Any:
    """The answer's text in the form of the request's schema."""
    if official and request.schema is not None and isinstance(text, str):
        return restore_text(request.schema, text)
    return text


def tool_call(request: Request, call: Any, official: bool) -> ToolCall:
    """A tool call from its `id`, `name` and `arguments`; the kernel checks them."""
    call = call if isinstance(call, dict) else {}
    name, arguments = call.get("name"), tool_arguments(call.get("arguments"))
    tool = next((tool for tool in request.tools if tool.name == name), None)
    strict = None if tool is None or not official else _strict_parameters(tool.parameters)
    if tool is not None and strict is not None and isinstance(arguments, dict):
        arguments = restore(tool.parameters, arguments)
    made: Any = (call.get("id"), name, arguments)
    return ToolCall(*made)


def usage(answer: dict[str, Any], input_tokens: str, output_tokens: str) -> Usage:
    """The answer's usage; `input_tokens` and `output_tokens` are the names of these fields."""
    counted: Any = answer.get("usage")
    for place in USAGE_IN:
        inner = answer.get(place)
        counted = counted or (inner.get("usage") if isinstance(inner, dict) else None)
    if not isinstance(counted, dict):
        return Usage(counted or 0)  # the kernel tells what is no number
    details = counted.get(f"{input_tokens}_details")
    details = details if isinstance(details, dict) else {}
    sent, received = counted.get(input_tokens) or 0, counted.get(output_tokens) or 0
    total = counted.get("total_tokens")
    if type(total) is type(sent) is type(received) is int and received and total > sent + received:
        received = total - sent  # Gemini counts thoughts in the total alone, and bills them as output
    cached = (details.get("cached_tokens"), *(counted.get(name) for name in _CACHED))
    return Usage(
        input_tokens=sent,
        output_tokens=received,
        cached_tokens=next(filter(None, cached), 0),
        cache_write_tokens=details.get("cache_write_tokens") or 0,
    )


def _strict_parameters(parameters: dict[str, Any]) -> dict[str, Any] | None:
    made = strict(parameters)
    return None if made is None or made.wrapped else made.schema


def with_refusals(refusals: Iterable[Any], content: Any) -> Any:
    """The text of fields that say that the model refused; the kernel reads the words of others than text."""
    told = list(refusals)
    if all(isinstance(one, str) for one in told):
        return "".join(told)
    parts = [{"type": "refusal", "refusal": one} for one in told]
    return [*parts, *(content if isinstance(content, list) else [content])]
