"""Schemas and tools in words, for models that know neither; and what a model does with its tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest

from pyscrai_answers.emulation import adapt
from pyscrai_answers.policy import AnswerPolicy
from pyscrai_answers.reading import check as check_answer
from pyscrai_core import (
    AnswerRejected,
    Completion,
    Engine,
    Message,
    Provider,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    ToolSpec,
    Turn,
    Usage,
    api,
)
from pyscrai_core.runtime.turn import TOOL_CHARACTERS, TOOL_ROUNDS
from pyscrai_language.schemas import check_value

NOTHING: frozenset[str] = frozenset()
#: Both refer to definitions of their own, under the same name.
ITEM = {
    "type": "object",
    "properties": {"item": {"$ref": "#/$defs/thing"}, "more": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["item"],
    "$defs": {"thing": {"type": "string", "minLength": 2}},
}
COUNT = {
    "type": "object",
    "properties": {"count": {"$ref": "#/$defs/thing"}},
    "required": ["count"],
    "$defs": {"thing": {"type": "integer"}},
}
SHOP = ToolSpec("shop", "Looks into the shop.", COUNT)
ASKED = Request((Message.system("You are Mara."), Message.user("What is it?")), schema=ITEM, tools=(SHOP,))


def nested(**chosen: Any) -> str:
    return json.dumps({"next": chosen})


def test_who_can_do_it_gets_the_request_as_it_is() -> None:
    answer = Completion("```json\n1\n```")
    fitted, read = adapt(ASKED, frozenset({"schema", "tools"}))
    assert fitted is ASKED
    assert read(answer) is answer
    plain = Request((Message.user("?"),))
    assert adapt(plain, NOTHING)[0] is plain


def test_a_schema_is_told_in_the_standing_instructions() -> None:
    fitted, _ = adapt(ASKED.but(tools=()), NOTHING)
    system, user = fitted.messages
    assert (fitted.schema, user) == (None, ASKED.messages[1])
    assert system.text.startswith("You are Mara.\n\nAnswer with JSON alone")
    assert json.loads(system.text.splitlines()[-1]) == ITEM
    first = adapt(ASKED.but(messages=ASKED.messages[1:], tools=()), NOTHING)[0].messages
    assert [message.role for message in first] == ["system", "user"]


@pytest.mark.parametrize("capabilities", [NOTHING, frozenset({"schema"})], ids=["nothing", "schema"])
def test_tools_are_one_form_of_an_answer(capabilities: frozenset[str]) -> None:
    fitted, read = adapt(ASKED, capabilities)
    assert fitted.tools == ()
    told = fitted.messages[0].text
    assert "- shop: Looks into the shop." in told
    assert json.dumps(COUNT, separators=(",", ":")) in told
    envelope = fitted.schema or json.loads(told.splitlines()[-1])
    assert (fitted.schema is None) == (not capabilities), "what the vendor can enforce, it does"
    check = partial(check_value, envelope)
    for right in (
        {"answer": {"item": "ax"}},
        {"answer": {"item": "ax", "more": [{"item": "saw"}]}},
        {"tool": "shop", "arguments": {"count": 3}},
    ):
        assert check({"next": right}) is None
    for wrong in (
        {"answer": {"item": "a"}},
        {"answer": {"item": "ax", "more": [{"item": 3}]}},
        {"tool": "shop", "arguments": {"count": "ax"}},
        {"tool": "shed", "arguments": {"count": 3}},
        {"tool": "shop"},
    ):
        assert check({"next": wrong}) is not None
    assert json.loads(read(Completion(nested(answer={"item": "ax"}))).text) == {"item": "ax"}
    called = read(Completion(nested(tool="shop", arguments={"count": 3}), model="m", usage=Usage(1, 2)))
    assert called.tool_calls == (ToolCall("", "shop", {"count": 3}),)
    assert (called.text, called.finish_reason, called.usage) == ("", "tool_calls", Usage(1, 2))
    assert adapt(ASKED.but(schema=None), capabilities)[1](Completion(nested(answer="Hm."))).text == "Hm."


@pytest.mark.parametrize(
    "text",
    ["Hm.", "[]", "{}", '{"next": 3}', '{"next": {}}', nested(answer={"item": 1}), nested(tool="shop"),
     nested(tool=3, arguments={})],
)  # fmt: skip
def test_what_is_neither_is_rejected(text: str) -> None:
    read = adapt(ASKED.but(schema=None), NOTHING)[1]
    with pytest.raises(AnswerRejected, match="neither an answer nor the use of a tool") as caught:
        read(Completion(text, finish_reason="length", usage=Usage(9, 24)))
    assert "cut off after 24 tokens: raise max_tokens" in str(caught.value)


def test_arguments_that_are_no_object_are_rejected_as_those_of_any_call() -> None:
    used = adapt(ASKED, NOTHING)[1](Completion(nested(tool="shop", arguments=[])))
    with pytest.raises(
        AnswerRejected, match="calls the tool shop with .* not a JSON object .they are a list"
    ):
        check_answer(used, ASKED, AnswerPolicy(), {})


def test_what_was_called_before_is_told_in_words() -> None:
    calls = (ToolCall("x", "shop", {"count": 1}), ToolCall("y", "shop", {"count": 2}))
    history = (
        *ASKED.messages,
        Message("assistant", (*Message.assistant("Let me see.").parts, *calls)),
        Message("tool", (ToolResult("x", "an ax"), ToolResult("y", "closed", failed=True))),
    )
    fitted, _ = adapt(ASKED.but(messages=history), NOTHING)
    assert fitted.messages[1] == history[1]
    assert [(message.role, message.text.splitlines()) for message in fitted.messages[2:]] == [
        ("assistant", [
            "Let me see.",
            '{"next":{"arguments":{"count":1},"tool":"shop"}}',
            '{"next":{"arguments":{"count":2},"tool":"shop"}}',
        ]),
        ("user", ["shop says: an ax", "shop failed: closed"]),
    ]  # fmt: skip


# -- in a run --


class Bare(Provider):
    """Answers with `script`, in its order; the last again and again."""

    script: ClassVar[list[Any]] = []
    requests: ClassVar[list[Request]] = []

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        Bare.requests.append(request)
        step = Bare.script.pop(0) if len(Bare.script) > 1 else Bare.script[0]
        return step if isinstance(step, Completion) else Completion(step, model="bare-1")


class Knows(Bare):
    capabilities = frozenset({"tools", "schema"})


class Stock(Tool):
    name, description, external = "stock", "Counts what is there.", False
    parameters = {"type": "object", "properties": {"of": {"enum": ["ax", "all"]}}, "required": ["of"]}

    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        return {"n": 3} if arguments["of"] == "ax" else "x" * (TOOL_CHARACTERS + 1234)


class Broken(Tool):
    name, description, called = "broken", "Fails.", 0

    async def call(self, arguments: dict[str, Any], turn: Any) -> Any:
        Broken.called += 1
        raise LookupError("no stock")


class Thinks(Engine):
    async def run(self, turn: Turn) -> None:
        turn.say((await turn.think("How many?")).text)


def uses(name: str, number: int = 0, **arguments: Any) -> Completion:
    return Completion("", tool_calls=(ToolCall(f"id-{number}", name, arguments),), model="bare-1")


@pytest.fixture
def asks(play: Callable[..., Any], host_with: Any, tmp_path: Any) -> Callable[..., Any]:
    """Run one turn with what the model says, and replay it."""

    def run(provider: type[Provider], *script: Any) -> Any:
        Bare.script, Bare.requests, Broken.called = list(script), [], 0
        components = {
            "provider__bare": provider, "engine__thinks": Thinks, "tool__stock": Stock, "tool__broken": Broken
        }  # fmt: skip
        scenario = {
            "providers": {"default": {"use": "bare"}},
            "agents": {"A": {"engine": "thinks", "tools": ["stock", "broken"]}},
            "schedule": {"use": "round-robin", "rounds": 1},
        }
        result = play(scenario, **components)
        asked, called = len(Bare.requests), Broken.called
        again = api.replay(store=tmp_path / "runs.db", host=host_with(**components))
        assert (again.fingerprint, again.error) == (result.fingerprint, result.error)
        assert (len(Bare.requests), Broken.called) == (asked, called)
        return result

    return run


def results() -> list[tuple[str, bool]]:
    """What the model was told of its calls."""
    parts = [part for message in Bare.requests[-1].messages for part in message.parts]
    return [(part.content, part.failed) for part in parts if isinstance(part, ToolResult)]


def test_a_model_without_tools_uses_them(asks: Callable[..., Any]) -> None:
    result = asks(
        Bare, nested(tool="stock", arguments={"of": "ax"}), "Three, I think.", nested(answer="Three.")
    )
    assert [event.kind for event in result.events] == ["tool", "say"]
    assert result.events[-1].payload == {"text": "Three."}
    _, second, third = ([message.text for message in request.messages] for request in Bare.requests)
    assert second[2:] == ['{"next":{"arguments":{"of":"ax"},"tool":"stock"}}', 'stock says: {"n":3}']
    assert third[:4] == second, "a broken form is asked for again"
    assert "neither an answer nor the use of a tool" in third[4]


def test_what_goes_wrong_with_a_tool_is_told_to_the_model(asks: Callable[..., Any]) -> None:
    calls = (uses("stock", 1, of="ax"), uses("shed", 2), uses("stock", 3, of="beer"), uses("broken", 4))
    together = Completion("", tool_calls=tuple(call.tool_calls[0] for call in calls), model="bare-1")
    result = asks(Knows, together, "Three.")
    assert (result.status, len(Bare.requests), Broken.called) == ("completed", 2, 1)
    (right, failed), *wrong = results()
    assert (right, failed) == ('{"n":3}', False)
    words = [
        "there is no tool 'shed'; the tools: broken, stock",
        "arguments do not fit",
        "LookupError: no stock",
    ]
    assert all(failed and word in told for (told, failed), word in zip(wrong, words, strict=True)), wrong
    used = [event for event in result.events if event.kind == "tool"]
    assert [event.payload["name"] for event in used] == ["stock", "shed", "stock", "broken"]
    assert used[0].payload == {"name": "stock", "arguments": {"of": "ax"}, "result": '{"n":3}'}
    assert [event.payload.get("error") for event in used[1:]] == [told for told, _ in wrong]
    assert {(event.source, event.audience) for event in used} == {("A", ())}, "nobody else hears of it"


def test_a_long_answer_of_a_tool_is_cut_where_one_sees_it(asks: Callable[..., Any]) -> None:
    result = asks(Knows, uses("stock", of="all"), "Many.")
    told = "x" * TOOL_CHARACTERS + "… (cut here: 1,234 more characters)"
    assert results() == [(told, False)]
    assert result.events[0].payload["result"] == told


def test_a_model_that_only_calls_tools_comes_to_an_end(asks: Callable[..., Any]) -> None:
    result = asks(Knows, *[uses("stock", of="ax")] * TOOL_ROUNDS, "Three.")
    assert (result.status, len(Bare.requests)) == ("completed", TOOL_ROUNDS + 1)
    assert [event.kind for event in result.events] == ["tool"] * TOOL_ROUNDS + ["say"]
    # At last it is offered none, and so its history has none either: only words.
    last = Bare.requests[-1]
    assert not last.tools
    assert {type(part) for message in last.messages for part in message.parts} == {Text}
    assert sum(message.text.count("stock says: ") for message in last.messages) == TOOL_ROUNDS
    assert "No more tools" in last.messages[-1].text


def test_a_model_that_keeps_calling_tools_fails_its_turn_and_is_told_so(asks: Callable[..., Any]) -> None:
    result = asks(Knows, *[uses("stock", of="ax")] * (TOOL_ROUNDS + 1))
    assert (result.status, len(Knows.requests) > TOOL_ROUNDS) == ("failed", True)
    assert (
        f"keeps calling tools: {TOOL_ROUNDS} times in a row, and when it was told to answer" in result.error
    )
    assert "fewer tools" in result.error
    assert not [event for event in result.events if event.kind == "say"]
