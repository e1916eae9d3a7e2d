"""Tool calls that a model wrote as text, in the forms of many models."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest

from pyscrai_answers.own_words import speakers
from pyscrai_answers.policy import AnswerPolicy
from pyscrai_answers.reading import check, read_raw
from pyscrai_answers.streaming import CallsSink, OwnWordsSink, ThoughtlessSink, WordsSink
from pyscrai_answers.textual_calls import begin_of_call
from pyscrai_language.parsing import parse_json
from pyscrai_records.errors import AnswerRejected
from pyscrai_records.messages import Message, ToolCall, ToolResult
from pyscrai_records.records import Completion, Position, Request, ToolSpec

AGENTS = ("Mara", "Jon")
STOCK = ToolSpec("stock", "Tells the stock.", {"type": "object", "properties": {"of": {"type": "string"}}})
OFFER = {"type": "object", "properties": {"say": {"type": "string"}, "price": {"type": "integer"}}}
WORDS = Request((Message.user("Well?"),), speaks=True, position=Position("Mara", 1, "1#1"))
#: Where tools were called, and none can be any more.
AFTER_CALL = WORDS.but(
    messages=(
        Message.user("Well?"),
        Message("assistant", (ToolCall("call00001", "stock", {}),)),
        Message("tool", (ToolResult("call00001", "5"),)),
        Message.user("Now answer."),
    )
)


def taken(answer: Any, request: Request = WORDS) -> Completion:
    made = AnswerPolicy()
    return check(read_raw(answer, made, request.schema is not None), request, made, speakers(AGENTS))


CALLS = [
    '<tool_call>\n{"name": "stock", "arguments": {"of": "apples"}}\n</tool_call>',
    '<tool_call>{"name": "stock", "arguments": "{\\"of\\": \\"apples\\"}"}',
    '[TOOL_CALLS][{"name": "stock", "arguments": {"of": "apples"}}]',
    '[TOOL_CALLS]stock[ARGS]{"of": "apples"}',
    '<|python_tag|>{"name": "stock", "parameters": {"of": "apples"}}',
    '<function=stock>{"of": "apples"}</function>',
    "<start_function_call>call:stock{of:<escape>apples<escape>}<end_function_call>",
    "<start_function_call>call:stock{of:apples}<end_function_call>",
    "<tool_call><function=stock><parameter=of>\napples\n</parameter></function></tool_call>",
    '{"name": "stock", "arguments": {"of": "apples"}}',
    '{"type": "function", "function": {"name": "stock", "arguments": {"of": "apples"}}}',
    '```json\n{"name": "stock", "parameters": {"of": "apples"}}\n```',
    '<think>which?</think><tool_call>{"name": "stock", "arguments": {"of": "apples"}}</tool_call>',
    '✿FUNCTION✿: stock\n✿ARGS✿: {"of": "apples"}',
    '```tool_code\nstock(of="apples")\n```',
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>stock\n```json\n{"of": "apples"}\n```',
    '<function_calls><invoke name="stock"><parameter name="of">apples</parameter></invoke></function_calls>',
    '<|channel|>commentary to=functions.stock <|constrain|>json<|message|>{"of": "apples"}<|call|>',
    'Action: stock\nAction Input: {"of": "apples"}',
    '{"tool_calls": [{"function": {"name": "stock", "arguments": "{\\"of\\": \\"apples\\"}"}}]}',
    '{"function_call": {"name": "stock", "arguments": {"of": "apples"}}}',
    '{"action": "stock", "action_input": {"of": "apples"}}',
    '{"name": "stock", "arguments": {"of": "apples"}, "index": 0}',
    '{"next": {"tool": "stock", "arguments": {"of": "apples"}}}',
    '<tool_call>{"name": "stock", "of": "apples"}</tool_call>',
    '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "stock", "parameters": {"of": "apples"}}]'
    "<|END_ACTION|>",
    '<minimax:tool_call>\n<invoke name="stock">\n<parameter name="of">apples</parameter>\n</invoke>\n'
    "</minimax:tool_call>",
    '<｜DSML｜function_calls><｜DSML｜invoke name="stock"><｜DSML｜parameter name="of" string="true">apples'
    "</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜function_calls>",
    '<invoke name="stock"><parameter name="of">apples</parameter></invoke>',
    '[TOOL_CALLS]stock{"of": "apples"}',
    '[TOOL_CALLS]stock[CALL_ID]abc123[ARGS]{"of": "apples"}',
    "<tool_call>stock\n<arg_key>of</arg_key>\n<arg_value>apples</arg_value>\n</tool_call>",
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.stock:0<|tool_call_argument_begin|>"
    '{"of":"apples"}<|tool_call_end|><|tool_calls_section_end|>',
    "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜>stock\n"
    '{"of":"apples"}<｜tool_call_end｜><｜tool_calls_end｜>',
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>stock<｜tool▁sep｜>"
    '{"of":"apples"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    '<|python_tag|>stock.call(of="apples")',
    '```tool_code\nprint(stock(of="apples"))\n```',
    '<|tool_call|>[{"name": "stock", "arguments": {"of": "apples"}}]<|/tool_call|>',
    '<TOOLCALL>[{"name": "stock", "arguments": {"of": "apples"}}]</TOOLCALL>',
    "<|channel|>analysis<|message|>look<|end|><|start|>assistant<|channel|>commentary to=functions.stock"
    '<|message|>{"of":"apples"}<|call|>',
    '<|start|>assistant to=functions.stock<|channel|>commentary<|message|>{"of":"apples"}<|call|>',
    'commentary to=functions.stock json{"of": "apples"}',
    '<|tool_call_start|>[stock(of="apples")]<|tool_call_end|>',
    '<tool_code>stock(of="apples")</tool_code>',
    "<function=stock>\n<parameter=of> apples\n",
    '<tool-use>{"tool_calls": [{"function": {"name": "stock"}, "parameters": {"of": "apples"}}]}</tool-use>',
    '<function(stock){"of": "apples"}</function>',
    'assistant to=functions.stock commentary json\n{"of": "apples"}',
    '<longcat_tool_call>{"name": "stock", "arguments": {"of": "apples"}}</longcat_tool_call>',
    '<tool_call name="stock">{"of": "apples"}</tool_call>',
    '<function name="stock">{"of": "apples"}</function>',
    "<tool_call>{'name': 'stock', 'arguments': {'of': 'apples'}}</tool_call>",
    '<|python_start|>[stock(of="apples")]<|python_end|>',
    '[TOOL_CALL]{"name": "stock", "arguments": {"of": "apples"}}[/TOOL_CALL]',
    '<|tool_call>call:stock{of:<|"|>apples<|"|>}<tool_call|>',
    '>>>stock\n{"of": "apples"}',
    '<|from|>assistant\n<|recipient|>stock\n<|content|>{"of": "apples"}<|stop|>',
    '{"tool_call": {"name": "stock", "arguments": {"of": "apples"}}}',
    '{"thought": "I look.", "action": "stock", "action_input": {"of": "apples"}}',
    "{'name': 'stock', 'arguments': {'of': 'apples'}}",
    "```\n[{'name': 'stock', 'arguments': {'of': 'apples'}}]\n```",
]


@pytest.mark.parametrize("text", CALLS)
def test_a_tool_call_as_text_is_a_tool_call(text: str) -> None:
    answer = taken(Completion(text), WORDS.but(tools=(STOCK,)))
    assert answer.tool_calls == (ToolCall("call00001", "stock", {"of": "apples"}),)
    assert (answer.text, answer.finish_reason, answer.raw) == ("", "tool_calls", text)
    for request in (AFTER_CALL, WORDS.but(tools=(ToolSpec("other", "", {}),))):
        with pytest.raises(AnswerRejected, match="stock"):
            taken(Completion(text), request)


def test_a_tool_call_in_pythons_form_counts_where_the_tool_is_offered() -> None:
    text = '[stock(of="apples")]'
    answer = taken(Completion(text), WORDS.but(tools=(STOCK,)))
    assert answer.tool_calls == (ToolCall("call00001", "stock", {"of": "apples"}),)
    assert (
        taken(Completion("[laughs(how='loudly')]"), WORDS.but(tools=(STOCK,))).text
        == "[laughs(how='loudly')]"
    )
    with pytest.raises(AnswerRejected, match="a form that cannot be read"):
        taken(Completion("[stock(of=all_of(them))]"), WORDS.but(tools=(STOCK,)))


@pytest.mark.parametrize(
    "text",
    [
        '{"stock": {"of": "apples"}}',
        'I look.\n```json\n{"stock": {"of": "apples"}}\n```',
        '```python\nstock(of="apples")\n```',
        'print(default_api.stock(of="apples"))',
        'stock{"of": "apples"}',
        'stock[ARGS]{"of": "apples"}</function>',
        'functions.stock:0{"of": "apples"}',
        '{"function_name": "stock", "params": {"of": "apples"}}',
        '{"name":"stock","of":"apples"}',
        '```json\n{"tool": "functions.stock", "of": "apples"}\n```',
        '{"type": "function", "function": "stock", "of": "apples"}',
        '`stock(of="apples")`',
        "<stock>\n<of>apples</of>\n</stock>",
        '<stock>{"of": "apples"}</stock>',
        'Action: stock({"of": "apples"})',
        '**Tool call:** `stock(of="apples")`',
        'Call: stock(of="apples")',
        'I look.\ntool_call: stock({"of": "apples"})',
        '<stock of="apples"/>',
        'functions.stock({"of": "apples"});',
        '```python\nstock({"of": "apples"})\n```',
        "<stock of='apples'></stock>",
        '{"tool_uses": [{"recipient_name": "functions.stock", "parameters": {"of": "apples"}}]}',
    ],
)
def test_the_name_of_an_offered_tool_makes_a_call(text: str) -> None:
    answer = taken(Completion(text), WORDS.but(tools=(STOCK,)))
    assert answer.tool_calls == (ToolCall("call00001", "stock", {"of": "apples"}),)
    assert taken(Completion(text)).text == text


@pytest.mark.parametrize(
    "text",
    [
        *('stock {"of": "apples"} and more', '{"stock": 7, "price": {"of": 9}}'),
        *('{"name": "stock", "fruit": "apples"}', '{"name": "Mara", "of": "apples"}', '{"good": "stock"}'),
        *('<stock of="apples"/> is low.', '<apples of="Mara"/>', "Call: the stock (apples) is low."),
    ],
)
def test_the_name_of_an_offered_tool_in_words_is_a_word(text: str) -> None:
    assert taken(Completion(text), WORDS.but(tools=(STOCK,))).text == text


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "stock", "arguments": {"of": "apples"}',
        "Action: stock[apples]",
        "<stock><of>apples</stock>",
        "The stock:\n<tool_response>\n40\n</tool_response>\nThere are forty.",
        '<tool_call name="stock" of="apples" />',
    ],
)
def test_half_a_call_and_what_a_tool_would_answer_are_never_said(text: str) -> None:
    with pytest.raises(AnswerRejected, match="cannot be read|makes up|arguments"):
        taken(Completion(text), WORDS.but(tools=(STOCK,)))


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    "text", ["He writes `<tool_call>` each time.", 'Jon said "<tool_call>" to me.', 'The tag "[TOOL_CALLS]"']
)
def test_a_mark_in_quotes_is_a_word(text: str, size: int) -> None:
    assert taken(Completion(text), WORDS.but(tools=(STOCK,))).text == text
    pieces: list[str] = []

    class Screen:
        def write(self, text: str) -> None:
            pieces.append(text)

    sink = CallsSink(Screen(), WORDS.but(tools=(STOCK,)))
    for start in range(0, len(text), size):
        sink.write(text[start : start + size])
    sink.end()
    assert "".join(pieces) == text


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "stock", "arguments": {"of": "apples", "of": "pears"}}</tool_call>',
        "{'name': 'stock', 'arguments': {'of': 'apples', 'of': 'pears'}}",
        'stock({"of": "apples", "of": "pears"})',
        '<stock of="apples" of="pears"/>',
        "<stock><of>apples</of><of>pears</of></stock>",
        "<function=stock><parameter=of>apples</parameter><parameter=of>pears</parameter></function>",
        '<invoke name="stock"><parameter name="of">apples</parameter><parameter name="of">pears</parameter>',
        "<tool_call>stock<arg_key>of</arg_key><arg_value>apples</arg_value><arg_key>of</arg_key><arg_value>b"
        "</arg_value></tool_call>",
        "<start_function_call>call:stock{of:apples,of:pears}<end_function_call>",
        '{"name": "stock", "arguments": ["apples"]}',
        '{"name": "stock", "parameters": 7}',
    ],
)
def test_arguments_that_are_not_clear_are_asked_for_again(text: str) -> None:
    with pytest.raises(AnswerRejected, match="stock|'of' stands twice"):
        taken(Completion(text), WORDS.but(tools=(STOCK,)))


def test_a_call_may_have_no_arguments() -> None:
    (call,) = taken(Completion('{"name": "stock", "arguments": null}'), WORDS.but(tools=(STOCK,))).tool_calls
    assert call.arguments == {}
    for words in ('{"name": "stock", "price": null}', '{"name": "Mara", "arguments": 7}'):
        assert taken(Completion(words), WORDS.but(tools=(STOCK,))).text == words


def test_words_to_all_are_words() -> None:
    assert taken(Completion(">>>all\nNine coins.")).text == "Nine coins."
    text = "<|from|>assistant\n<|recipient|>all\n<|content|>Nine coins.<|stop|>"
    answer = taken(Completion(text))
    assert (answer.text, answer.raw) == ("Nine coins.", text)
    both = taken(Completion('>>>all\nI look.\n>>>stock\n{"of": "apples"}'), WORDS.but(tools=(STOCK,)))
    assert (both.text, both.tool_calls[0].arguments) == ("I look.", {"of": "apples"})


def test_a_tool_may_have_a_parameter_that_is_called_name() -> None:
    tool = ToolSpec("find", "", {"type": "object", "properties": {"name": {"type": "string"}}})
    answer = taken(Completion('{"tool": "find", "name": "Jon"}'), WORDS.but(tools=(tool,)))
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("find", {"name": "Jon"})]


def test_a_call_with_its_arguments_beside_the_name_is_no_structured_answer() -> None:
    text, schema = '{"name": "stock", "of": "apples"}', {"type": "object"}
    assert taken(Completion(text), WORDS.but(tools=(STOCK,), schema=schema)).text == text
    rest = {"type": "object", "properties": {"of": {}, "day": {}}, "required": ["day"]}
    assert taken(Completion(text), WORDS.but(tools=(ToolSpec("stock", "", rest),))).text == text


def test_what_follows_a_call_is_made_up() -> None:
    call = '<tool_call>{"name": "stock", "arguments": {"of": "apples"}}</tool_call>'
    text = f"I look.\n{call}\n<tool_response>forty</tool_response>\nThere are forty."
    answer = taken(Completion(text), WORDS.but(tools=(STOCK,)))
    assert (answer.text, len(answer.tool_calls), answer.raw) == ("I look.", 1, text)


def test_a_parameter_without_an_end_ends_at_the_next_one() -> None:
    tool = ToolSpec("note", "", {"type": "object", "properties": {"of": {"type": "string"}}})
    text = "<function=note>\n<parameter=of> apples\n<parameter=day> 3\n"
    (call,) = taken(Completion(text), WORDS.but(tools=(tool,))).tool_calls
    assert call.arguments == {"of": "apples", "day": 3}


@pytest.mark.parametrize("text", ['[stock("apples")]', 'stock("apples")', "stock()"])
def test_a_call_without_names_of_arguments_is_never_said(text: str) -> None:
    with contextlib.suppress(AnswerRejected):
        assert taken(Completion(text), WORDS.but(tools=(STOCK,))).tool_calls


def test_each_of_several_calls_is_read() -> None:
    two = '{"name": "stock", "arguments": {"of": "apples"}}\n{"name": "stock", "arguments": {"of": "pears"}}'
    marked = "".join(f"<tool_call>{line}</tool_call>" for line in two.splitlines())
    for text in (two, marked, f"<tool_call>{two}"):
        answer = taken(Completion(text), WORDS.but(tools=(STOCK,)))
        assert [call.arguments["of"] for call in answer.tool_calls] == ["apples", "pears"]
    number = "<tool_call>stock<arg_key>of</arg_key><arg_value>7</arg_value></tool_call>"
    answer = taken(Completion(number), WORDS.but(tools=(STOCK,)))
    assert answer.tool_calls[0].arguments == {"of": "7"}, "the tool wants text"


def test_the_form_of_emulated_tools_is_never_said() -> None:
    """A model that was shown it goes on to write it where no tool can be used."""
    assert taken(Completion('{"next": {"answer": "Nine."}}')).text == "Nine."
    structured = taken(
        Completion('{"next": {"answer": {"price": 9}}}'), WORDS.but(schema={**OFFER, "required": ["price"]})
    )
    assert parse_json(structured.text)[0] == {"price": 9}
    for text in (
        '{"next": {"tool": "stock", "arguments": {"of"',
        '```json\n{"name": "stock", "arguments": {',
    ):
        with pytest.raises(AnswerRejected, match="a form that cannot be read"):
            taken(Completion(text))


#: A form that models fall into a loop with, repeated.
HOSTILE = [
    *("</think>", "<think>", "<", "<|channel|>analysis<|message|>", "<tool_call>", '<invoke name="stock">'),
    *(
        '<|channel|>commentary to=functions.stock {"of": ',
        "<|channel|>commentary to=functions.stock<|message|>{",
    ),
    *("<start_function_call>call:a{", "<start_function_call>call:a{b:<escape>", "a:<escape>b<escape>,"),
    *("<｜tool▁calls▁begin｜><｜tool▁sep｜>a{", "<function=stock><parameter=a>", '{"arguments":', '{"next":'),
    *("[", "```json\n", "```tool_code\n", "stock(a=(", "Action: x\nAction Input:", "*" * 199 + ":\n"),
    *("(" * 199 + ":\n", "Mara:\n", "- ", "[1,", '"a', "<s>", "Mara\n"),
]


@pytest.mark.parametrize("form", HOSTILE)
def test_no_text_takes_long_to_read(form: str) -> None:
    """The time is that of the length: no time limit can end what works on the event loop."""

    def seconds(size: int) -> float:
        text = form * (size // len(form))
        clock = time.process_time()
        with contextlib.suppress(AnswerRejected):
            taken(Completion(text), WORDS.but(tools=(STOCK,)))
        with contextlib.suppress(AnswerRejected):
            taken(Completion(text), WORDS.but(schema=OFFER))
        own = OwnWordsSink(Nowhere(), "Mara", speakers(AGENTS))
        sink = WordsSink(ThoughtlessSink(CallsSink(own, WORDS.but(tools=(STOCK,)))))
        sink.write(text)
        sink.end()
        return time.process_time() - clock

    small, large = seconds(20_000), seconds(160_000)
    # Of nested JSON, a bounded number of places is tried, each to the depth that Python reads.
    assert large < 20 * small + 2, f"{small:.2f} s, and {large:.2f} s for a text that is eight times as long"


class Nowhere:
    def write(self, text: str) -> None:
        """Shows nothing."""


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_calls_are_not_shown_while_they_come(size: int) -> None:
    def shown(text: str) -> str:
        pieces: list[str] = []

        class Screen:
            def write(self, text: str) -> None:
                pieces.append(text)

        sink = WordsSink(ThoughtlessSink(CallsSink(Screen(), WORDS.but(tools=(STOCK,)))))
        for start in range(0, len(text), size):
            sink.write(text[start : start + size])
        sink.end()
        return "".join(pieces)

    for call in CALLS:
        assert shown(call) == "", call
        if begin_of_call(call, WORDS, whole=False, last=True) < len(call):  # it has marks
            assert shown(f"Let me see.\n{call}").strip() == "Let me see.", call
    for call in (
        *('{"name": "stock", "arguments": {"of": "apples"}}', '```json\n{"stock": {"of": "apples"}}\n```'),
        *('tool_call: stock({"of": "apples"})', '**Tool call:** `stock(of="apples")`'),
    ):
        assert shown(f"Let me see.\n{call}").strip() in ("", "Let me see."), call
    for words in (
        'Take {"a": 1} and {nods}.\nAction: none.\n```\n{"b": 2}\n```\nDone.',
        "Nine < ten [so], `take` it.",
        "[nods(slowly)] Nine.",
        '{"name": "Mara"}',
        "(Nine) coins",
        "[1] A\nAct 1: Action: go.\nA",
        "```\nNine\n```",
    ):
        assert shown(words) == words


def test_a_tool_call_that_cannot_be_read_is_never_said() -> None:
    with pytest.raises(AnswerRejected, match="a form that cannot be read"):
        taken(Completion("<start_function_call>call:stock{of:{}}<end_function_call>"), WORDS)
    with pytest.raises(AnswerRejected, match="a form that cannot be read"):
        taken(Completion("<tool_call>apples, please</tool_call>"), WORDS.but(tools=(STOCK,)))
    both = taken(Completion(f"Let me see. {CALLS[0]}"), WORDS.but(tools=(STOCK,)))
    assert (both.text, len(both.tool_calls)) == ("Let me see.", 1)
