"""The provider `scripted`, request by request."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cattrs
import pytest
import yaml
from jsonschema import Draft202012Validator

from pyscrai_core import (
    AuthenticationFailed,
    Completion,
    Message,
    Overloaded,
    Position,
    RateLimited,
    Request,
    RequestRejected,
    TimedOut,
    ToolResult,
    ToolSpec,
    estimate_tokens,
)
from pyscrai_scripted import plugin
from pyscrai_scripted.config import ScriptedConfig
from pyscrai_scripted.provider import ScriptedProvider

SCHEMA = {"type": "object", "properties": {"price": {"type": "integer"}}, "required": ["price"]}
SEARCH = ToolSpec("search", "searches", {"type": "object"})
CONVERTER = cattrs.Converter(forbid_extra_keys=True)


def make(**options: Any) -> ScriptedProvider:
    return ScriptedProvider(CONVERTER.structure(options, ScriptedConfig))


def request(
    *words: str | Message, agent: str = "Mara", turn: int = 0, path: str = "think", **rest: Any
) -> Request:
    messages = tuple(word if isinstance(word, Message) else Message.user(word) for word in words)
    return Request(messages, turn=turn, position=Position(agent, turn + 1, path), **rest)


def answer(provider: ScriptedProvider, *words: str | Message, **rest: Any) -> Completion:
    return asyncio.run(provider.complete(request(*words, **rest)))


def text(provider: ScriptedProvider, *words: str | Message, **rest: Any) -> str:
    return answer(provider, *words, **rest).text


# -- the plugin ---------------------------------------------------------------------------------


def test_the_entry_module_names_the_provider_and_imports_only_the_kernel() -> None:
    (extension,) = plugin.pyscrai_providers()
    assert (plugin.pyscrai_api, extension.name) == (1, "scripted")
    assert extension.target == f"{ScriptedProvider.__module__}:{ScriptedProvider.__name__}"
    code = "import sys, pyscrai_scripted.plugin; print('simpleeval' in sys.modules)"
    assert _python(code).strip() == "False"


# -- replies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "expected"), [("repeat", ["a", "b", "a", "b"]), ("last", ["a", "b", "b", "b"])]
)
def test_replies_are_indexed_by_the_turn(after: str, expected: list[str]) -> None:
    provider = make(replies=["a", "b"], after=after)
    assert [text(provider, turn=turn) for turn in range(4)] == expected
    assert [text(provider, turn=turn) for turn in (3, 0)] == [expected[3], expected[0]]


def test_a_list_that_must_not_end_rejects_what_comes_after_it() -> None:
    provider = make(replies=["a", "b"], after="error")
    assert text(provider, turn=1) == "b"
    with pytest.raises(RequestRejected, match=r"Mara, turn 2: its 2 replies are used up.*`after`"):
        text(provider, turn=2)


def test_replies_by_agent() -> None:
    provider = make(replies={"Mara": ["mine"], "*": ["everybody else's"]})
    assert text(provider, agent="Mara") == "mine"
    assert text(provider, agent="Jon") == "everybody else's"


def test_nothing_written_is_rejected_with_what_to_add() -> None:
    provider = make(replies={"Mara": ["mine"]})
    with pytest.raises(RequestRejected) as caught:
        text(provider, agent="Jon", turn=4)
    assert "Jon, turn 4" in str(caught.value)
    assert "replies: {'Jon': […]}" in str(caught.value)
    with pytest.raises(RequestRejected, match="generate: true"):
        text(provider, agent="Jon", schema=SCHEMA)


def test_data_is_sent_as_json_in_its_written_order() -> None:
    provider = make(replies=[{"z": 1, "a": ["ä", None]}, [1, 2], 7])
    assert [text(provider, turn=turn) for turn in range(3)] == ['{"z": 1, "a": ["ä", null]}', "[1, 2]", "7"]


def test_every_answer_names_the_provider_as_its_model() -> None:
    assert answer(make(replies=["a"])).model == "scripted"
    assert answer(make(generate=True), schema=SCHEMA).model == "scripted"
    tools = make(replies=[{"tool_calls": [{"name": "search"}]}])
    assert answer(tools, tools=(SEARCH,)).model == "scripted"


# -- tools --------------------------------------------------------------------------------------

LOOKUP = {
    "text": "Let me see.",
    "tool_calls": [{"name": "search", "arguments": {"q": "apples"}}, {"name": "search"}],
    "then": {"tool_calls": [{"name": "search"}], "then": "Three coins."},
}


def _results(completion: Completion) -> tuple[Message, ...]:
    results = tuple(ToolResult(call.id, "found") for call in completion.tool_calls)
    return completion.message(), Message("tool", results)


def test_tools_are_called_and_then_the_reply_goes_on() -> None:
    provider = make(replies=[LOOKUP, "next turn"])
    conversation: tuple[Message, ...] = (Message.user("How much?"),)
    first = answer(provider, *conversation, tools=(SEARCH,))
    assert (first.text, first.finish_reason) == ("Let me see.", "tool_calls")
    assert [(call.name, call.arguments) for call in first.tool_calls] == [
        ("search", {"q": "apples"}),
        ("search", {}),
    ]
    conversation += _results(first)
    second = answer(provider, *conversation, tools=(SEARCH,), path="think/2")
    conversation += _results(second)
    third = answer(provider, *conversation, tools=(SEARCH,), path="think/3")
    assert (third.text, third.tool_calls, third.finish_reason) == ("Three coins.", (), "stop")
    ids = [call.id for call in (*first.tool_calls, *second.tool_calls)]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", each) for each in ids)
    assert answer(provider, Message.user("How much?"), tools=(SEARCH,)) == first
    assert text(provider, "And now?", turn=1, tools=(SEARCH,)) == "next turn"


def test_tools_without_what_follows_are_rejected_the_second_time() -> None:
    provider = make(replies=[{"tool_calls": [{"name": "search"}]}])
    first = answer(provider, "How much?", tools=(SEARCH,))
    with pytest.raises(RequestRejected, match="add `then: …`"):
        answer(provider, "How much?", *_results(first), tools=(SEARCH,))


def test_tools_that_nobody_offers_are_rejected() -> None:
    with pytest.raises(RequestRejected, match="'search', and the request offers no tools"):
        answer(make(replies=[LOOKUP]))


def test_the_arguments_of_a_call_are_its_own() -> None:
    provider = make(replies=[LOOKUP])
    with pytest.raises(TypeError, match="read-only"):
        answer(provider, tools=(SEARCH,)).tool_calls[0].arguments["q"] = "changed"
    assert answer(provider, tools=(SEARCH,)).tool_calls[0].arguments == {"q": "apples"}


# -- patterns -----------------------------------------------------------------------------------


def test_patterns_come_first_and_in_their_order() -> None:
    provider = make(
        replies=["Hm."],
        patterns=[
            {"match": "(?i)HOW much", "reply": {"price": 3}, "agent": "Mara"},
            {"match": "much", "reply": "later"},
            {"match": "secret", "reply": "I know", "where": "all"},
        ],
    )
    assert text(provider, "How much is it?") == '{"price": 3}'
    assert text(provider, "How much is it?", agent="Jon") == "later"
    assert text(provider, "much", "nothing") == "Hm."
    assert text(provider, "the secret", "nothing") == "I know"
    assert text(provider) == "Hm."


def test_a_pattern_sees_what_a_tool_answered() -> None:
    provider = make(patterns=[{"match": "^3 coins$", "reply": "That is cheap."}])
    assert text(provider, "How much?", Message("tool", (ToolResult("1", "3 coins"),))) == "That is cheap."


# -- rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("f'{agent} {step} {turn} {seed}: {last.upper()}'", "Mara 3 2 11: TWO"),
        ("messages[0].role + messages[0]['text']", "userone"),
        ("[m.text for m in messages if 'w' in m.text]", '["two"]'),
        ("{'price': 10 - turn} if schema else 'none'", '{"price": 8}'),
        ("schema.type", "object"),
        ("len(last) * 2", "6"),
        ("str([turn, None, 'a'])", '[2, null, "a"]'),
        ("None", "otherwise"),
        ("'x' if 'zebra' in last else None", "otherwise"),
    ],
)
def test_a_rule_computes_the_reply(rule: str, expected: str) -> None:
    provider = make(rule=rule, replies=["otherwise"])
    assert text(provider, "one", "two", turn=2, seed=11, schema=SCHEMA) == expected


def test_a_rule_can_draw() -> None:
    provider = make(rule="choice(['a', 'b', 'c']) + choice(['d', 'e', 'f'])")
    drawn = [text(provider, seed=seed) for seed in range(40)]
    assert len(set(drawn)) > 5
    assert drawn == [text(provider, seed=seed) for seed in range(40)]


# 40 times a list of the former twice: 2**40 items; 40 times a number times itself: 2**40 digits.
DOUBLED, SQUARED = "[1]", "[9]"
for name in (f"x{number}" for number in range(40)):
    DOUBLED = f"[[{name}, {name}] for {name} in {DOUBLED}]"
    SQUARED = f"[{name} * {name} for {name} in {SQUARED}]"


@pytest.mark.parametrize(
    "rule",
    [
        "1 / (turn * 0)",
        "messages[5]",
        "last.__class__",
        "last.format(1)",
        "last.replace('a', 'b')",
        "schema.keys",
        "choice([])",
        "'ab' * 1000",
        "'%99d' % 1",
        "sum([[1], [2]])",
        "last.lower",
        "str(last.lower)",
        "f'{len}'",
        "(1, 2)",
        "float('nan')",
        # Each of these would need far more memory or time than there is, were its work not bounded.
        DOUBLED,
        SQUARED,
    ],
)
def test_a_rule_that_fails_rejects_the_request(rule: str) -> None:
    provider = make(rule=rule, replies=["never"])
    with pytest.raises(RequestRejected, match=r"scripted: Mara, turn 0: rule: .*change the rule"):
        text(provider, "one", schema=SCHEMA)


# -- choice -------------------------------------------------------------------------------------


def test_choice_is_drawn_with_the_seed() -> None:
    provider = make(choice=["a", "b", "c"])
    drawn = [text(provider, seed=seed) for seed in range(60)]
    assert set(drawn) == {"a", "b", "c"}
    assert drawn == [text(make(choice=["a", "b", "c"]), seed=seed) for seed in range(60)]
    by_agent = make(choice={"Jon": ["yes"]}, replies={"Mara": ["no"]})
    assert (text(by_agent, agent="Jon"), text(by_agent, agent="Mara")) == ("yes", "no")


# -- generate -----------------------------------------------------------------------------------

SCHEMAS: list[dict[str, Any]] = [
    SCHEMA,
    {"type": "integer", "minimum": 3, "maximum": 5},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "minimum": -7, "multipleOf": 5},
    {"type": "integer", "maximum": -1000},
    {"type": "number", "minimum": 0.123, "maximum": 0.124},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.004},
    {"type": "number", "multipleOf": 3},
    {"type": "string", "minLength": 12},
    {"type": "string", "maxLength": 1},
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["string", "null"]},
    {"enum": [1, "two", None]},
    {"const": {"a": [1]}},
    {},
    {"type": "array", "items": {"type": "integer"}, "minItems": 4},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3, "maxItems": 3},
    {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "boolean"}],
        "items": False,
        "minItems": 2,
    },
    {"type": "object", "required": ["free"], "additionalProperties": {"type": "integer"}},
    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
    {
        "oneOf": [
            {"properties": {"action": {"const": "offer"}, "price": {"type": "integer", "minimum": 1}}},
            {"properties": {"action": {"const": "accept"}}},
        ],
        "type": "object",
        "required": ["action"],
    },
    {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    {"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "boolean"}}}], "type": "object"},
    {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
            }
        },
    },
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
def test_generated_values_satisfy_their_schema(schema: dict[str, Any]) -> None:
    provider, check = make(generate=True), Draft202012Validator(schema)
    for seed in range(200):
        drawn = text(provider, schema=schema, seed=seed)
        check.validate(json.loads(drawn))
        assert text(make(generate=True), schema=schema, seed=seed) == drawn


def test_generated_values_differ_by_seed() -> None:
    provider = make(generate=True)
    assert len({text(provider, schema=SCHEMA, seed=seed) for seed in range(50)}) > 10


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "object", "required": ["a"], "properties": {"a": {"pattern": "x"}}}, "schema.a: `pattern`"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "no integer"),
        ({"type": "array", "minItems": 10**9}, "too large"),
        ({"type": "string", "minLength": 10**9}, "no text"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "endlessly"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"required": ["b"], "properties": {"b": {"$ref": "#/$defs/a"}}}},
            },
            "too large",
        ),
        ({"$ref": "#/$defs/missing"}, "no '#/\\$defs/missing'"),
        ({"not": {}}, "`not`"),
        ({"allOf": [False]}, "nothing satisfies"),
    ],
)
def test_what_cannot_be_generated_is_rejected_by_name(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestRejected, match=f"Mara, turn 0: generate: .*{told}"):
        text(make(generate=True), schema=schema)


def test_generate_answers_only_requests_with_a_schema() -> None:
    provider = make(generate=True, replies={"Jon": ["hello"]})
    assert text(provider, agent="Jon", schema=SCHEMA) == "hello"
    with pytest.raises(RequestRejected, match="there is no answer"):
        text(provider)


# -- latency ------------------------------------------------------------------------------------


def test_latency_is_slept_and_drawn_from_seed_and_position(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    text(make(replies=["a"]))
    assert slept == []
    text(make(replies=["a"], latency=0.25))
    assert slept == [0.25]
    slept.clear()
    provider = make(replies=["a"], latency={"min": 1, "max": 2})
    for turn, seed in ((0, 0), (1, 0), (0, 1), (0, 0)):
        text(provider, turn=turn, seed=seed)
    assert slept[0] == slept[3]
    assert len(set(slept)) == 3
    assert all(1 <= seconds <= 2 for seconds in slept)


# -- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("rate-limit", RateLimited),
        ("overload", Overloaded),
        ("timeout", TimedOut),
        ("reject", RequestRejected),
        ("auth", AuthenticationFailed),
    ],
)
def test_a_fault_strikes_and_then_passes(kind: str, raised: type[Exception]) -> None:
    provider = make(replies=["a", "b"], faults=[{"kind": kind, "at": [1], "times": 2}])
    assert text(provider, turn=0) == "a"
    for _ in range(2):
        with pytest.raises(raised, match=f"Mara, turn 1: the injected fault {kind}"):
            text(provider, turn=1)
    assert text(provider, turn=1) == "b"
    for path in ("another call of the turn", "think"):  # the count of a call that passed is forgotten
        with pytest.raises(raised):
            text(provider, turn=1, path=path)


def test_a_rate_limit_says_how_long_to_wait() -> None:
    for options, expected in (({"retry_after": 1.5}, 1.5), ({}, None)):
        with pytest.raises(RateLimited) as caught:
            text(make(replies=["a"], faults=[{"kind": "rate-limit", **options}]))
        assert caught.value.retry_after == expected


def test_faults_at_an_agent_and_for_ever() -> None:
    provider = make(
        replies=["a"],
        faults=[{"kind": "overload", "at": [{"agent": "Jon"}, {"agent": "Mara", "turn": 2}], "times": -1}],
    )
    assert text(provider, turn=1) == "a"
    for agent, turn in (("Jon", 0), ("Jon", 5), ("Mara", 2)):
        for _ in range(3):
            with pytest.raises(Overloaded):
                text(provider, agent=agent, turn=turn)


def test_faults_on_the_same_call_follow_one_another() -> None:
    provider = make(
        replies=["a"], faults=[{"kind": "overload", "times": 2}, {"kind": "timeout"}, {"kind": "rate-limit"}]
    )
    for raised in (Overloaded, Overloaded, TimedOut, RateLimited):
        with pytest.raises(raised):
            text(provider)
    assert text(provider) == "a"


def _struck(provider: ScriptedProvider, **rest: Any) -> list[int]:
    struck = []
    for turn in range(300):
        try:
            text(provider, turn=turn, **rest)
        except Overloaded:
            struck.append(turn)
    return struck


def test_a_rate_is_a_share_of_the_calls_that_the_seed_decides() -> None:
    faults = [{"kind": "overload", "rate": 0.2}]
    struck = _struck(make(replies=["a"], faults=faults))
    assert 30 < len(struck) < 90
    assert struck == _struck(make(replies=["a"], faults=faults))
    assert struck != _struck(make(replies=["a"], faults=faults), seed=1)
    assert struck != _struck(make(replies=["a"], faults=faults), agent="Jon")
    assert _struck(make(replies=["a"], faults=[{"kind": "overload", "rate": 0.0}])) == []


def _repaired(provider: ScriptedProvider, rounds: int) -> list[str]:
    """The answers of a call and its repairs, asked as the kernel asks: with each answer and a complaint."""
    conversation: tuple[Message, ...] = (Message.assistant("hello"), Message.user("Your turn."))
    answers = []
    for index in range(rounds):
        completion = answer(provider, *conversation, schema=SCHEMA, path=f"think/{index}", seed=index)
        answers.append(completion.text)
        conversation += (completion.message(), Message.user("That is not JSON."))
    return answers


@pytest.mark.parametrize(
    "source", [{"replies": [{"price": 3}]}, {"generate": True}, {"choice": [{"price": 4}]}]
)
def test_malformed_answers_are_not_json_and_a_repair_mends_them(source: dict[str, Any]) -> None:
    provider = make(faults=[{"kind": "malformed", "times": 2}], **source)
    *malformed, mended = _repaired(provider, 3)
    for each in malformed:
        with pytest.raises(json.JSONDecodeError):
            json.loads(each)
    Draft202012Validator(SCHEMA).validate(json.loads(mended))
    # Nothing of this is remembered: after an interruption the same requests get the same answers.
    assert _repaired(provider, 3) == [*malformed, mended]


def test_malformed_for_ever_and_only_where_it_can_be_seen() -> None:
    provider = make(replies=[{"price": 3}], faults=[{"kind": "malformed", "times": -1}])
    assert _repaired(provider, 4) == ['{"pric'] * 4
    assert text(provider) == '{"price": 3}'
    assert text(make(replies=[33], faults=[{"kind": "malformed"}]), schema={"type": "integer"}) == ""


# -- usage and the sink -------------------------------------------------------------------------


def test_usage_is_the_kernels_estimate() -> None:
    provider = make(replies=["four words of reply"])
    history = [Message.user("word " * n) for n in range(1, 40)]
    for end in (1, 30, 39, 2):
        usage = answer(provider, *history[:end]).usage
        assert usage.input_tokens == sum(map(estimate_tokens, history[:end]))
        assert usage.output_tokens == estimate_tokens("four words of reply")
    assert answer(provider, history[38], "new", history[37]).usage.input_tokens == sum(
        map(estimate_tokens, (history[38], Message.user("new"), history[37]))
    )
    silent = answer(make(replies=["a"], usage=False), "word").usage
    assert (silent.input_tokens, silent.output_tokens) == (0, 0)


def test_estimates_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyscrai_scripted.provider._KNOWN_MESSAGES", 10)
    provider = make(replies=["a"])
    for turn in range(100):
        answer(provider, f"message {turn}", f"other {turn}")
    assert len(provider._known) <= 12


def test_words_are_written_to_the_sink_one_at_a_time() -> None:
    class Lines:
        def __init__(self) -> None:
            self.written: list[str] = []

        def write(self, text: str) -> None:
            self.written.append(text)

    sink = Lines()
    asyncio.run(make(replies=["  Three coins,\nno less. "]).complete(request(), sink))
    assert sink.written == ["  Three ", "coins,\n", "no ", "less. "]


# -- mistakes in the config ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "it has no answers"),
        ({"patterns": [], "faults": []}, "it has no answers"),
        ({"replies": []}, "replies: the list is empty"),
        ({"replies": {}}, "replies: it is empty"),
        ({"replies": "hello"}, "replies: expected a list"),
        ({"replies": {"Mara": "hello"}}, "replies.Mara: expected a list"),
        ({"replies": {"Mara": []}}, "replies.Mara: the list is empty"),
        ({"replies": ["a", None]}, r"replies\[1\]: it is empty"),
        ({"replies": [{1: "a"}]}, r"replies\[0\]: .* is not JSON"),
        ({"replies": [float("nan")]}, r"replies\[0\]: this is not JSON"),
        ({"replies": [{"tool_calls": []}]}, r"replies\[0\].tool_calls: expected"),
        ({"replies": [{"tool_calls": [{"name": ""}]}]}, r"tool_calls\[0\].name"),
        ({"replies": [{"tool_calls": [{"name": "a", "arguments": 3}]}]}, r"tool_calls\[0\].arguments"),
        ({"replies": [{"tool_calls": [{"name": "a", "args": {}}]}]}, r"tool_calls\[0\]: expected"),
        ({"replies": [{"tool_calls": [{"name": "a"}], "next": "b"}]}, "unknown key 'next'"),
        ({"replies": ["a"], "after": "stop"}, "stop"),
        ({"choice": [{"tool_calls": [{"name": "a"}], "then": "b"}]}, r"choice\[0\].then: only `replies`"),
        ({"replies": ["a"], "choice": ["b"]}, "choice: it is never used"),
        ({"replies": {"*": ["a"]}, "generate": True}, "generate: it is never used"),
        ({"choice": ["a"], "generate": True}, "generate: it is never used"),
        ({"patterns": [{"match": "(", "reply": "a"}]}, "match: .* is not a regular expression"),
        ({"patterns": [{"match": "a", "reply": None}]}, "reply: it is empty"),
        ({"patterns": [{"match": "a", "reply": "b", "where": "first"}]}, "first"),
        ({"rule": "last +"}, "rule: .* is not an expression"),
        ({"rule": ""}, "rule: .* is not an expression"),
        ({"rule": "a = 1"}, "rule: .* is not an expression"),
        ({"rule": "lost"}, "rule: unknown name 'lost'"),
        ({"rule": "__import__('os')"}, "rule: unknown name '__import__'"),
        ({"rule": "lambda: 1"}, "rule: Lambda is not available"),
        ({"rule": "{1, 2}"}, "rule: Set is not available"),
        ({"rule": "2 ** 9"}, "rule: the operator Pow is not available"),
        ({"rule": "f'{turn:>99999999}'"}, "rule: a format"),
        ({"rule": "1 + " * 9999 + "1"}, "rule: .* characters"),
        ({"replies": ["a"], "latency": -1}, "latency: expected 0 or more seconds"),
        ({"replies": ["a"], "latency": True}, "latency: expected 0 or more seconds"),
        ({"replies": ["a"], "latency": {"min": 2, "max": 1}}, "latency: expected 0 or more seconds"),
        ({"replies": ["a"], "latency": {"max": 1}}, "latency: expected seconds, or"),
        ({"replies": ["a"], "faults": [{"kind": "flood"}]}, "flood"),
        ({"replies": ["a"], "faults": [{"kind": "overload", "rate": 1.5}]}, "rate: expected a number"),
        ({"replies": ["a"], "faults": [{"kind": "overload", "times": 0}]}, "times: expected"),
        ({"replies": ["a"], "faults": [{"kind": "overload", "at": [-1]}]}, r"at\[0\]: expected a turn"),
        ({"replies": ["a"], "faults": [{"kind": "overload", "at": [{}]}]}, r"at\[0\]: expected a turn"),
        ({"replies": ["a"], "faults": [{"kind": "overload", "at": [{"step": 1}]}]}, r"at\[0\]: expected"),
        ({"replies": ["a"], "faults": [{"kind": "overload", "retry_after": 1}]}, "retry_after: it is only"),
        ({"replies": ["a"], "faults": [{"kind": "rate-limit", "retry_after": -1}]}, "retry_after: expected"),
    ],
)
def test_mistakes_are_found_when_the_config_is_made(options: dict[str, Any], told: str) -> None:
    with pytest.raises(cattrs.BaseValidationError) as caught:
        CONVERTER.structure(options, ScriptedConfig)
    assert re.search(told, "\n".join(_messages(caught.value)))


def _messages(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [message for part in error.exceptions for message in _messages(part)]
    return [str(error)]


def test_literals_are_checked_without_cattrs_too() -> None:
    with pytest.raises(ValueError, match="after: 'stop' is unknown, expected one of repeat, last, error"):
        ScriptedConfig(replies=["a"], after="stop")  # type: ignore[arg-type]


def test_the_config_stays_as_it_was_written() -> None:
    options = {
        "replies": {"*": ["a"]},
        "latency": {"min": 0, "max": 1},
        "patterns": [{"match": "a", "reply": 1}],
    }
    plain = CONVERTER.unstructure(CONVERTER.structure(options, ScriptedConfig))
    assert json.loads(json.dumps(plain)) == plain
    assert CONVERTER.structure(plain, ScriptedConfig) == CONVERTER.structure(options, ScriptedConfig)


# -- determinism --------------------------------------------------------------------------------

PROGRAM = """
import asyncio, json
from pyscrai_core import Message, Position, Request, CallFailed
from pyscrai_scripted.config import Fault, Pattern, ScriptedConfig
from pyscrai_scripted.provider import ScriptedProvider

SCHEMA = {"properties": {name: {"type": "integer"} for name in "abcdef"}, "type": "object"}
PROVIDERS = [
    ScriptedProvider(ScriptedConfig(**options))
    for options in (
        {"replies": [{"tool": "b", "a": {"z": 1, "y": 2}}, "text"]},
        {"choice": ["a", "b", "c", "d"]},
        {"generate": True},
        {"rule": "[choice(sorted([m.text for m in messages])), {'x': agent, 'b': seed}]"},
        {"replies": ["a"], "faults": [Fault("overload", rate=0.3), Fault("timeout", rate=0.3)]},
    )
]

async def main():
    for provider in PROVIDERS:
        for turn in range(20):
            request = Request(
                (Message.user("one"), Message.user("two"), Message.user("three")), schema=SCHEMA,
                seed=turn * 7919, turn=turn, position=Position("Mara", turn, "think"),
            )
            try:
                print(json.dumps((await provider.complete(request)).to_dict()))
            except CallFailed as error:
                print(type(error).__name__, error)

asyncio.run(main())
"""


def _python(code: str, **environment: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_answers_do_not_depend_on_the_process() -> None:
    first, second = (_python(PROGRAM, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first == second
    assert first.count("\n") == 100
    assert "Overloaded" in first
    assert "TimedOut" in first


# -- the README ---------------------------------------------------------------------------------

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_readmes_scenarios_have_valid_providers() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) > 8
    for block in blocks:
        options = yaml.safe_load(block)["providers"]["default"]
        assert options.pop("use") == "scripted"
        make(**options)


def test_the_readmes_program_prints_what_it_says() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    printed = _python(program).strip()
    assert printed == "Good evening."
    assert f"It prints `{printed}`" in README


def test_the_readme_names_every_option() -> None:
    for option in ScriptedConfig.__annotations__:
        assert f"| `{option}` |" in README
