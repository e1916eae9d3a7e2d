"""Schemas and tools described in the prompt, for vendors that support neither.

A provider says in its `capabilities` what its vendor does itself. What is missing is asked for in the
prompt: an answer of some form as JSON, and a call of a tool as one form of an answer among others. Where the
vendor enforces schemas but has no tools, that form is enforced too. The text of an answer is read back into
what a native one would have been.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from attrs import evolve

from pyscrai_language.parsing import parse_json
from pyscrai_language.schemas import check_value, prepare, relocate_refs
from pyscrai_records.canonical import canonical
from pyscrai_records.errors import AnswerRejected
from pyscrai_records.messages import Message, Text, ToolCall, ToolResult
from pyscrai_records.records import Completion, Request

from .reading import cut_off
from .textual_calls import with_textual_calls

Read = Callable[[Completion], Completion]


def adapt(request: Request, capabilities: frozenset[str]) -> tuple[Request, Read]:
    """`request` as a provider with these capabilities takes it, and how its answer is read."""
    if request.schema is not None:
        prepare(request.schema)  # while an answer is checked, it is paid for and not journaled yet
    if request.tools and "tools" not in capabilities:
        fitted, read = _tools_as_text(request)
    else:
        fitted, read = request, lambda answer: answer
    if fitted.schema is not None and "schema" not in capabilities:
        return _schema_as_text(fitted), read
    return fitted, read


def as_json(value: Any) -> str:
    """A schema or specification as text, in its own order."""
    return orjson.dumps(value).decode()


# -- schemas --


def _schema_as_text(request: Request) -> Request:
    words = (
        "Answer with JSON alone: no other words before or after it. It has to fit this JSON Schema:\n"
        + as_json(request.schema)
    )
    return request.but(messages=_instructed(request.messages, words), schema=None)


def _instructed(messages: tuple[Message, ...], words: str) -> tuple[Message, ...]:
    """`messages` with `words` at the end of the standing instructions, where they stay in the cache."""
    if messages and messages[0].role == "system":
        first = messages[0]
        return (Message("system", (*first.parts, Text(f"\n\n{words}"))), *messages[1:])
    return (Message.system(words), *messages)


# -- tools --


def _tools_as_text(request: Request) -> tuple[Request, Read]:
    listed = "\n".join(
        f"- {tool.name}: {tool.description} Its arguments fit this JSON Schema: {as_json(tool.parameters)}"
        for tool in request.tools
    )
    words = (
        f"You can use these tools:\n{listed}\n"
        'To use one, answer {"next": {"tool": "NAME", "arguments": {…}}}; you will be told its result, and '
        'can then use another. To answer, say {"next": {"answer": …}}.'
    )
    fitted = request.but(
        messages=_instructed(flatten(request.messages, _form), words),
        schema=_envelope(request),
        tools=(),
    )

    form = _TEXT_FORM if request.schema is None else _JSON_FORM
    prepare(form)

    def read(answer: Completion) -> Completion:
        return _opened(answer, request, form)

    return fitted, read


def _envelope(request: Request) -> dict[str, Any]:
    """The schema of a call of a tool, or an answer."""
    answer = {"type": "string"} if request.schema is None else request.schema
    parts = {"answer": answer, **{f"tool_{n}": tool.parameters for n, tool in enumerate(request.tools)}}
    forms = [
        _object(tool={"enum": [tool.name]}, arguments={"$ref": f"#/$defs/tool_{n}"})
        for n, tool in enumerate(request.tools)
    ]
    forms.append(_object(answer={"$ref": "#/$defs/answer"}))
    # Each part's own references have to lead to where it stands now.
    definitions = {name: relocate_refs(dict(part), f"#/$defs/{name}") for name, part in parts.items()}
    return {**_object(next={"anyOf": forms}), "$defs": definitions}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def flatten(messages: tuple[Message, ...], call: Callable[[ToolCall], str]) -> tuple[Message, ...]:
    """The messages with calls of tools in the words that `call` gives them, and results as what is told."""
    names: dict[str, str] = {}
    told = []
    for message in messages:
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        if not calls and not results:
            told.append(message)
            continue
        names.update((part.id, part.name) for part in calls)
        lines = [text] if (text := message.text) else []
        lines += map(call, calls)
        lines += [
            f"{names.get(result.id, 'The tool')} {'failed' if result.failed else 'says'}: {result.content}"
            for result in results
        ]
        told.append(Message("assistant" if calls else "user", (Text("\n".join(lines)),)))
    return tuple(told)


def past_tense(call: ToolCall) -> str:
    """A call as something that was done."""
    return f"(I used {call.name} with {canonical(call.arguments).decode()}.)"


def _form(call: ToolCall) -> str:
    """A call in the form in which the model is to write one."""
    return canonical({"next": {"tool": call.name, "arguments": call.arguments}}).decode()


def _opened(answer: Completion, request: Request, form: dict[str, Any]) -> Completion:
    """The answer or the call that the text holds in this form. Raises `AnswerRejected` if it has another."""
    value, wrong = parse_json(answer.text)
    if wrong is None:
        wrong = check_value(form, value)
    if wrong is not None:
        # Many models write calls in the form that they were trained on.
        called = with_textual_calls(answer, request)
        if called.tool_calls:
            return called
        raise AnswerRejected(
            f"{answer.model}: the text is neither an answer nor the use of a tool ({wrong})"
            f"{cut_off(answer)}; it began: {answer.text[:120]!r}"
        )
    chosen = value["next"]
    if "answer" in chosen:
        given = chosen["answer"]
        return evolve(answer, text=given if request.schema is None else orjson.dumps(given).decode())
    call = ToolCall("", chosen["tool"], chosen["arguments"])
    return evolve(answer, text="", tool_calls=(call,), finish_reason="tool_calls")


def _next(answer: dict[str, Any]) -> dict[str, Any]:
    """The schema of what is asked for in the prompt; whether arguments fit their tool is checked later."""
    tool = {"tool": {"type": "string"}, "arguments": {"type": "object"}}
    form = {
        "type": "object",
        "if": {"required": ["answer"]},
        "then": {"properties": {"answer": answer}},
        "else": {"properties": tool, "required": list(tool)},
    }
    return {"type": "object", "properties": {"next": form}, "required": ["next"]}


_TEXT_FORM = _next({"type": "string"})
_JSON_FORM = _next({})
