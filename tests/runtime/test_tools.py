"""`tool`: from a Python function to a tool that an agent can call."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

import attrs
import pytest

from pyscrai_core import Engine, NoConfig, Tool, ToolFailed, Turn, tool
from pyscrai_core.api import replay
from pyscrai_language.schemas import check_schema, check_value

if TYPE_CHECKING:
    pass


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Who(TypedDict):
    name: Annotated[str, "as written"]
    age: NotRequired[int]


class Loose(TypedDict, total=False):
    a: int


@attrs.frozen
class Box:
    width: float = attrs.field(validator=attrs.validators.gt(0))
    label: str = "none"
    parts: tuple[int, ...] = attrs.field(factory=tuple)


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    tags: list[str] = dataclasses.field(default_factory=list)


@attrs.frozen
class Node:
    inner: list[Node]


OBJECT = {"type": "object", "additionalProperties": False}
POINT = {
    **OBJECT,
    "properties": {
        "x": {"type": "number"},
        "y": {"type": "number", "default": 0.0},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["x"],
}
TEXT: dict[str, Any] = {"type": "string"}


def taking(hint: Any) -> type[Tool]:
    """A tool with one parameter of this type, which answers what it was given."""

    def given(value: Any) -> Any:
        """Give it back."""
        return value

    given.__annotations__ = {"value": hint}
    return tool(external=False)(given)


def answer(made: type[Tool], **arguments: Any) -> Any:
    turn: Any = object()
    return asyncio.run(made(NoConfig()).call(arguments, turn))


# -- schemas and values --


@pytest.mark.parametrize(
    "hint, schema, sent, got",
    [
        (str, TEXT, "a", "a"),
        (int, {"type": "integer"}, 3.0, 3),
        (float, {"type": "number"}, 3, 3.0),
        (bool, {"type": "boolean"}, True, True),
        (None, {"type": "null"}, None, None),
        (Any, {}, {"a": [1]}, {"a": [1]}),
        ("int", {"type": "integer"}, 3, 3),
        (Annotated[str, "in", 3, "words"], {**TEXT, "description": "in words"}, "a", "a"),
        (Literal["a", "b"], {**TEXT, "enum": ["a", "b"]}, "b", "b"),
        (Literal["a", 2], {"enum": ["a", 2]}, 2.0, 2),
        (Colour, {**TEXT, "enum": ["red", "blue"]}, "blue", Colour.BLUE),
        (Size, {"type": "integer", "enum": [1, 2]}, 2, Size.LARGE),
        (list[float], {"type": "array", "items": {"type": "number"}}, [1, 2], [1.0, 2.0]),
        (list, {"type": "array", "items": {}}, [1, "a"], [1, "a"]),
        (tuple[Size, ...], {"type": "array", "items": {"type": "integer", "enum": [1, 2]}}, [1],
         (Size.SMALL,)),
        (dict[str, Colour], {"type": "object", "additionalProperties": {**TEXT, "enum": ["red", "blue"]}},
         {"a": "red"}, {"a": Colour.RED}),
        (dict, {"type": "object", "additionalProperties": {}}, {"a": 1}, {"a": 1}),
        (str | None, {"anyOf": [TEXT, {"type": "null"}]}, None, None),
        (str | list[int], {"anyOf": [TEXT, {"type": "array", "items": {"type": "integer"}}]}, [1.0], [1]),
        (Point, POINT, {"x": 1}, Point(1.0)),
        (list[Point | None], {"type": "array", "items": {"anyOf": [POINT, {"type": "null"}]}},
         [None, {"x": 1, "tags": ["a"]}], [None, Point(1.0, 0.0, ["a"])]),
        (Box, {**OBJECT, "properties": {"width": {"type": "number"}, "label": {**TEXT, "default": "none"},
                                        "parts": {"type": "array", "items": {"type": "integer"}}},
               "required": ["width"]}, {"width": 2, "parts": [1]}, Box(2.0, parts=(1,))),
        (Who, {**OBJECT, "properties": {"name": {**TEXT, "description": "as written"},
                                        "age": {"type": "integer"}}, "required": ["name"]},
         {"name": "Mara"}, {"name": "Mara"}),
        (Loose, {**OBJECT, "properties": {"a": {"type": "integer"}}, "required": []}, {"a": 1.0}, {"a": 1}),
    ],
)  # fmt: skip
def test_hints_become_schemas_and_arguments_what_they_promise(
    hint: Any, schema: dict[str, Any], sent: Any, got: Any
) -> None:
    made = taking(hint)
    assert made.parameters == {**OBJECT, "properties": {"value": schema}, "required": ["value"]}
    check_schema(made.parameters)
    assert check_value(dict(made.parameters), {"value": sent}) is None
    given = answer(made, value=sent)
    assert (given, type(given)) == (got, type(got))
    if isinstance(got, (list, tuple)):
        assert [type(one) for one in given] == [type(one) for one in got]


def test_defaults_are_optional_and_shown_where_json_has_them() -> None:
    @tool(external=False)
    def paint(
        colour: Colour = Colour.RED,
        width: float = 1.5,
        name: str | None = None,
        at: Any = object,
        by: Any = (),
    ) -> list[Any]:
        """Paint."""
        return [colour, width, name, at, by]

    properties: Any = paint.parameters["properties"]
    assert paint.parameters["required"] == []
    assert {name: one.get("default", ...) for name, one in properties.items()} == {
        "colour": "red", "width": 1.5, "name": None, "at": ..., "by": ...,
    }  # fmt: skip
    assert answer(paint) == [Colour.RED, 1.5, None, object, ()]
    assert answer(paint, width=2)[1] == 2.0


def test_a_tool_is_a_class_for_a_plugin_to_offer() -> None:
    @tool
    def far_away(to: str) -> str:
        """Call somebody.

        And wait.
        """
        return to

    @tool(name="send-letter", external=False, repeatable=False)
    async def send(to: str) -> str:
        """Send."""
        return to.upper()

    assert issubclass(far_away, Tool)
    assert far_away.Config is NoConfig
    assert (far_away.name, far_away.description) == ("far_away", "Call somebody.\n\nAnd wait.")
    assert (far_away.external, far_away.repeatable) == (True, True)
    assert (send.name, send.external, send.repeatable) == ("send-letter", False, False)
    assert (far_away.__name__, far_away.__module__) == ("far_away", __name__)
    assert far_away.function("Jon") == "Jon"
    assert answer(send, to="Jon") == "JON"


def test_a_method_can_be_one() -> None:
    class Till:
        coins = 3

        def count(self, more: int) -> int:
            """Count the coins."""
            return self.coins + more

    made = tool(external=False)(Till().count)
    assert list(made.parameters["properties"]) == ["more"]
    assert answer(made, more=4) == 7


# -- what cannot be one --


def complaint(function: Callable[..., Any], **options: Any) -> str:
    with pytest.raises(TypeError) as caught:
        tool(**options)(function)
    return str(caught.value)


@pytest.mark.parametrize(
    "hint, words",
    [
        (complex, "tool given, parameter value: complex has no form in JSON; expected str, int"),
        (set[int], "parameter value: set[int] has no form"),
        (dict[int, str], "parameter value: dict[int, str] has no form in JSON; expected .* dict[str, …]"),
        (tuple[int, str], "parameter value: tuple[int, str] has no form"),
        (list[bytes], "parameter value: bytes has no form"),
        (Literal[b"a"], "parameter value: b'a' has no form"),
        (Enum("Odd", {"A": (1, 2)}), "parameter value: (1, 2) has no form"),
        (Node, "parameter value.inner: Node contains itself"),
        ("Decimal", "parameter hints: 'Decimal' is not known; import it where the module runs"),
    ],
)
def test_what_json_has_no_form_for_is_refused(hint: Any, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        taking(hint)
    for part in words.split(".*"):
        assert part in str(caught.value)


def test_functions_that_a_model_could_not_call_are_refused() -> None:
    def bare(to) -> None:  # type: ignore[no-untyped-def]
        """Do."""

    def many(*to: str) -> None:
        """Do."""

    def more(**to: str) -> None:
        """Do."""

    def first(to: str, /) -> None:
        """Do."""

    def silent(to: str) -> None: ...

    def größer(to: str) -> None:
        """Do."""

    assert complaint(bare) == "tool bare, parameter to: it has no type hint; write one, such as `to: str`"
    for function in (many, more, first):
        assert "arguments come by name" in complaint(function)
    assert "tool silent: it has no docstring" in complaint(silent)
    assert "set name=" in complaint(größer)
    assert "set name=" in complaint(bare, name="two words")


# -- in a run --


def in_thread(to: str) -> list[Any]:
    """Where it runs."""
    Calls.made.append(to)
    return [to, threading.current_thread() is threading.main_thread()]


class Calls(Engine):
    """Calls the tools `pure`, `outside` and `telling` and tells what they answered."""

    made: ClassVar[list[str]] = []

    async def run(self, turn: Turn) -> None:
        if turn.agent.name == "Jon":
            return
        results: list[Any] = [
            await turn.call_tool(name, {"to": "Jon"}) for name in ("pure", "outside", "telling")
        ]
        for name, arguments in (("pure", {}), ("pure", {"to": 3}), ("failing", {"width": -1})):
            try:
                await turn.call_tool(name, {"box": arguments} if name == "failing" else arguments)
            except ToolFailed as error:
                results.append(str(error))
        turn.emit("told", {"results": results})


def test_tools_in_a_run_and_in_its_replay(
    play: Callable[..., Any], host_with: Callable[..., Any], tmp_path: Path
) -> None:
    @tool
    async def telling(turn: Turn, to: str) -> str:
        """Tell."""
        turn.say(f"to {to}", to=to)
        Calls.made.append("telling")
        return f"{turn.agent.name} told"

    @tool(external=False)
    def failing(box: Box) -> str:
        """Fail."""
        return box.label

    components = {
        "engine__calls": Calls,
        "tool__pure": tool(name="pure", external=False)(in_thread),
        "tool__outside": tool(name="outside")(in_thread),
        "tool__telling": telling,
        "tool__failing": failing,
    }
    tools = ["pure", "outside", "telling", "failing"]
    agents = {"Mara": {"engine": "calls", "tools": tools, "memory": None}}
    agents |= {"Jon": {**agents["Mara"], "tools": []}}
    Calls.made.clear()
    result = play({"agents": agents, "schedule": {"use": "round-robin", "rounds": 1}}, **components)
    assert result.status == "completed", result.error
    told = result.events[-1].payload["results"]
    assert told[:3] == [["Jon", True], ["Jon", False], "Mara told"]
    assert [words for words in told[3:] if "do not fit" in words] == told[3:5]
    assert "'width' must be > 0" in told[5]
    assert [event.payload["text"] for event in result.events if event.kind == "say"] == ["to Jon"]
    assert Calls.made == ["Jon", "Jon", "telling"]
    again = replay(store=tmp_path / "runs.db", host=host_with(**components))
    assert again.fingerprint == result.fingerprint
    assert Calls.made == ["Jon", "Jon", "telling", "Jon"], "only the pure one was called again"


class Says(Engine):
    async def run(self, turn: Turn) -> None:
        turn.say("hello")


def shared(schema: Any) -> Any:
    """A schema of 20 objects that has a million when it is written out."""
    for _ in range(20):
        schema = {"anyOf": [schema, schema]}
    return schema


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"properties": {"a": {"type": "intger"}}}, "properties.a.type: not a JSON Schema: expected one of"),
        ({"type": "object", "required": "a"}, "required: not a JSON Schema: expected"),
        ({"type": "object", "properties": {"a": {"default": {1}}}}, "not JSON serializable: set"),
        (shared({"type": "string"}), "the JSON Schema: there are more than 500,000 values in it"),
    ],
)
def test_a_tool_with_a_schema_that_is_none_is_told_before_any_call(
    play: Any, parameters: Any, told: str
) -> None:
    class Odd(Tool):
        name, description = "odd", "It is never called."

        async def call(self, arguments: dict[str, Any], turn: Turn) -> Any: ...

    Odd.parameters = parameters
    scenario = {
        "agents": {"A": {"engine": "says", "tools": ["odd"]}},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    result = play(scenario, engine__says=Says, tool__odd=Odd)
    assert result.status == "failed"
    assert "tool 'odd' (given): its `parameters`: " in result.error
    assert told in result.error


def test_what_a_tool_checks_itself_is_left_to_it(play: Any) -> None:
    class Own(Tool):
        name, description = "own", "It has what a scenario may not write."
        parameters: ClassVar[Any] = {
            "$schema": "http://json-schema.org/draft-07/schema#", "$id": "x", "type": "object",
            "properties": {"a": {"type": "string", "pattern": "(?=a)", "minLength": 1}},
        }  # fmt: skip

        async def call(self, arguments: dict[str, Any], turn: Turn) -> Any: ...

    scenario = {
        "agents": {"A": {"engine": "says", "tools": ["own"]}},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    assert play(scenario, engine__says=Says, tool__own=Own).status == "completed"
