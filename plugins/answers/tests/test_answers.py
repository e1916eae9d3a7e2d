"""What counts as a model's answer, whatever the vendor sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pyscrai_answers.finish_reasons import finish_reason
from pyscrai_answers.own_words import own_words, speakers
from pyscrai_answers.policy import AnswerPolicy
from pyscrai_answers.reading import check, known_usage, read_raw, reads_own_words
from pyscrai_answers.repair import given_up, repair_prompt
from pyscrai_answers.streaming import FieldsSink, OwnWordsSink, ThoughtlessSink, WordsSink
from pyscrai_answers.thoughts import split_thoughts
from pyscrai_language.parsing import find_json, parse_json
from pyscrai_language.schemas import check_value
from pyscrai_records.errors import AnswerRejected, AnswerTruncated, Overloaded, Refused
from pyscrai_records.messages import Message, Thinking, ToolCall
from pyscrai_records.records import Completion, Position, Request, Sink, ToolSpec, Usage

AGENTS = ("Mara", "Jon", "Jon Smith")
STOCK = ToolSpec("stock", "Tells the stock.", {"type": "object", "properties": {"of": {"type": "string"}}})
OFFER = {"type": "object", "properties": {"say": {"type": "string"}, "price": {"type": "integer"}}}
WORDS = Request((Message.user("Well?"),), speaks=True, position=Position("Mara", 1, "1#1"))


def taken(answer: Any, request: Request = WORDS, **policy: Any) -> Completion:
    made = AnswerPolicy(**policy)
    return check(read_raw(answer, made, request.schema is not None), request, made, speakers(AGENTS))


def odd(**fields: Any) -> Completion:
    """An answer as a provider may build it from a server's JSON, with values of any type."""
    return Completion(**{"text": "", **fields})


def test_what_is_told_after_all_repairs_names_the_provider_once() -> None:
    told = given_up("default", "it begins with a line of Ben")
    assert told.startswith("provider 'default': it begins with a line of Ben; after 2 repairs; ask again")
    assert given_up("default", "provider 'default': it begins with a line of Ben") == told


@pytest.mark.parametrize(
    "echo",
    [
        "This is not a valid answer: it is of Ben.",
        '"That\'s a valid answer."',
        "This isn't a valid answer.",
        "That isn\u2019t a valid answer.",
    ],
)
def test_a_complaint_is_not_said_by_the_agent(echo: str) -> None:
    asked = WORDS.but(messages=(*WORDS.messages, repair_prompt("it begins with a line of Ben", None)))
    with pytest.raises(AnswerRejected, match="speaks of this complaint"):
        taken(Completion(echo), asked)
    assert taken(Completion(echo), WORDS).text == echo


@pytest.mark.parametrize(
    ("text", "words", "thoughts"),
    [
        ("<think>\nhide it\n</think>\n\nNine.", "Nine.", ["hide it"]),
        ("<thinking>hide</thinking>Nine.", "Nine.", ["hide"]),
        ("<Reasoning>hide</Reasoning> Nine.", "Nine.", ["hide"]),
        ("hide it\n</think>\nNine.", "Nine.", ["hide it"]),
        ("<think>a</think><think>b</think>Nine.", "Nine.", ["a", "b"]),
        ("<think>a <think>b</think> c</think>Nine.", "Nine.", ["a <think>b", "c"]),
        ("[THINK]hide[/THINK]Nine.", "Nine.", ["hide"]),
        ("Thinking...\nhide\n...done thinking.\n\nNine.", "Nine.", ["hide"]),
        ("Thinking...\nNine, I guess.", "Thinking...\nNine, I guess.", []),
        ("<scratch_pad>hide</scratch_pad>Nine.", "Nine.", ["hide"]),
        ("<inner_thoughts>hide</inner_thoughts>\nNine.", "Nine.", ["hide"]),
        ("<chain_of_thought>hide</chain_of_thought>\nNine.", "Nine.", ["hide"]),
        ("analysisWe hide it.assistantfinalNine.", "Nine.", ["We hide it."]),
        ("analysisWe hide it, and it never ends", "", ["We hide it, and it never ends"]),
        ("Here is my thought process:\nhide\nHere is my response:\nNine.", "Nine.", ["hide"]),
        ("Here's my thought process: hide Here's my response: Nine.", "Nine.", ["hide"]),
        ("Here is my offer: nine.", "Here is my offer: nine.", []),
        ("analysis: nine is fair.", "analysis: nine is fair.", []),
        ("<think></think>Nine.", "Nine.", []),
        ("<think>it never ends", "", ["it never ends"]),
        ("Nine. <think>Was that wise?</think> Yes.", "Nine. Yes.", ["Was that wise?"]),
        ("Nine < ten, and ten > nine.", "Nine < ten, and ten > nine.", []),
        ("<think >a</think >Nine.", "Nine.", ["a"]),
        ('<think type="deep">a</think>Nine.', "Nine.", ["a"]),
        ("<seed:think>a</seed:think>Nine.", "Nine.", ["a"]),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Nine.",
            "Nine.",
            ["a"],
        ),
        ("<|channel>thought\nhide<channel|>Nine.", "Nine.", ["hide"]),
        (
            "<|begin_of_thought|>hide<|end_of_thought|><|begin_of_solution|>Nine.<|end_of_solution|>",
            "Nine.",
            ["hide"],
        ),
        ("<|START_THINKING|>hide<|END_THINKING|><|START_RESPONSE|>Nine.<|END_RESPONSE|>", "Nine.", ["hide"]),
        ("<scratchpad>hide</scratchpad><answer>Nine.</answer>", "Nine.", ["hide"]),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>Hm."
            "<|end|><|start|>assistant<|channel|>final<|message|>Nine.",
            "Nine.",
            ["a", "Hm."],
        ),
        ("hide<|end|><|start|>assistant<|channel|>final<|message|>Nine.<|return|>", "Nine.", ["hide"]),
        ("<think>hide</think>Nine <think>more</think>coins.", "Nine coins.", ["hide", "more"]),
        ("The tag <think> is used; </think> closes it.", "The tag <think> is used; </think> closes it.", []),
        ("Write `<think>` and `</think>`, please.", "Write `<think>` and `</think>`, please.", []),
        ("It ends with </think>, as always.", "It ends with </think>, as always.", []),
        ("They want it </think> Nine.", "Nine.", ["They want it"]),
        ("Say <|begin|> first.", "Say <|begin|> first.", []),
        ("Nine.<|im_end|>\n<|im_start|>user\nToo much!", "Nine.", []),
        ("<|im_start|>assistant\nNine.<|im_end|>", "Nine.", []),
        ("<s>Nine.</s>", "Nine.", []),
        ("Nine.<end_of_turn>", "Nine.", []),
        ("Nine <s>old</s> coins.", "Nine <s>old</s> coins.", []),
        ("<answer>Nine.</answer>", "<answer>Nine.</answer>", []),
        ("<antThinking>hide</antThinking>Nine.", "Nine.", ["hide"]),
        ("<think>hide</think><|begin_of_box|>Nine.<|end_of_box|>", "Nine.", ["hide"]),
        ("<thinking>hide</thinking>\n<output>\nNine.\n</output>", "Nine.", ["hide"]),
        ("<output>Nine.</output>", "<output>Nine.</output>", []),
        ("<|im_start|>assistant<|im_sep|>Nine.<|im_end|>", "Nine.", []),
        ("<|header_start|>assistant<|header_end|>\n\nNine.<|eot|>", "Nine.", []),
        ("<|start_of_role|>assistant<|end_of_role|>Nine.<|end_of_text|>", "Nine.", []),
        ("Nine.[|endofturn|]", "Nine.", []),
        ("Nine.<pad><pad>", "Nine.", []),
        ("[/INST] Nine. [INST] Too much! [/INST] Eight.", "Nine.", []),
        ("<inner-thoughts>hide</inner-thoughts>Nine.", "Nine.", ["hide"]),
        ("<analysis>hide</analysis><answer>Nine.</answer>", "Nine.", ["hide"]),
        ("&lt;think&gt;hide&lt;/think&gt;Nine.", "Nine.", ["hide"]),
        ("hide&lt;/think&gt;Nine.", "Nine.", ["hide"]),
        ("I &lt;3 you & her.", "I &lt;3 you & her.", []),
        ("```thinking\nhide\n```\nNine.", "Nine.", ["hide"]),
        ("I offer <think>he is rich, is he?</think> nine.", "I offer nine.", ["he is rich, is he?"]),
        ("The <think> and </think> tags are odd.", "The <think> and </think> tags are odd.", []),
        ("My <analysis> of it: nine.", "My <analysis> of it: nine.", []),
        ("**Thinking:** hide it\n\n**Response:** Nine.", "Nine.", ["hide it"]),
        ("**Thought Process**\n\nhide\n\n**Final Answer**\n\nNine.", "Nine.", ["hide"]),
        ("## Reasoning\nhide\n## Answer\nNine.", "Nine.", ["hide"]),
        ("__Thoughts__: hide\n__Reply__: Nine.", "Nine.", ["hide"]),
        ("Thought: hide\nFinal Answer: Nine.", "Nine.", ["hide"]),
        ("**Thoughts:** I like it.\n**Price:** nine.", "**Thoughts:** I like it.\n**Price:** nine.", []),
        ("Nine.\n**Thoughts:** fair.\n**Answer:** yes", "Nine.\n**Thoughts:** fair.\n**Answer:** yes", []),
        ("Thinking: what a word.", "Thinking: what a word.", []),
        (
            '<details type="reasoning" done="true">\n<summary>3 s</summary>\n> hide\n</details>\nNine.',
            "Nine.",
            ["<summary>3 s</summary>\n> hide"],
        ),
        ('<details type="reasoning">it never ends', "", ["it never ends"]),
        ("<details><b>a</b>c</details> Nine.", "<details><b>a</b>c</details> Nine.", []),
        ("<think>a</details>b</think>Nine.", "Nine.", ["a</details>b"]),
        ("<think/>Nine.", "Nine.", []),
        ("<think />\nNine.", "Nine.", []),
        ("<thinking_process>hide</thinking_process>Nine.", "Nine.", ["hide"]),
        ("<reasoning_content>hide</reasoning_content>Nine.", "Nine.", ["hide"]),
        ("<planning>hide</planning>Nine.", "Nine.", ["hide"]),
        ("<unused94>hide<unused95>Nine.", "Nine.", ["hide"]),
        ("<|thinking|>hide<|/thinking|>Nine.", "Nine.", ["<|thinking|>hide"]),
        ("[REASONING]hide[/REASONING]Nine.", "Nine.", ["[REASONING]hide"]),
        ("[thinking] Nine, Jon.", "[thinking] Nine, Jon.", []),
        ("<think>hide</think><reply>Nine.</reply>", "Nine.", ["hide"]),
        ("<reply>Nine.</reply>", "<reply>Nine.</reply>", []),
        ('"<think>" is a tag.', '"<think>" is a tag.', []),
        ("Say `</think>` now.", "Say `</think>` now.", []),
        ("He wrote '<|im_start|>' and left.", "He wrote '<|im_start|>' and left.", []),
        ('They say "nine"</think>"Nine."', '"Nine."', ['They say "nine"']),
    ],
)
def test_thoughts_are_not_words(text: str, words: str, thoughts: list[str]) -> None:
    answer = taken(Completion(text))
    assert (answer.text, [one.text for one in answer.thinking]) == (words, thoughts)
    assert answer.raw == (text if words != text else "")
    assert taken(Completion(text), split_thoughts=False).text == text


@pytest.mark.parametrize("size", [1, 2, 7, 100])
@pytest.mark.parametrize(
    "text",
    [
        "<think>hide</think>\n\nNine < ten [so].",
        "Nine.<think>hide</think>",
        "<b>Nine</b> <thi",
        "<think>a",
        '<think type="deep">hide</think>Nine.',
        "<think>a<think>b</think>still hidden</think>Nine.",
        "<think/>Nine.",
        "<unused94>hide<unused95>Nine.",
        'Say "<think>" or `</think>` or "<|im_end|>" now.',
        "<|channel|>analysis<|message|>hide<|end|><|channel|>final<|message|>Nine.",
        "<|channel>thought\nhide<channel|>Nine.",
        "Nine.<|im_end|>\n<|im_start|>user\nToo much!",
        "analysisWe hide it.assistantfinalNine.",
        "Here's my thought process:\nhide\nHere's my response:\nNine <b>coins</b>.",
        "Here is my thou",
        "The tag <think> is used; </think> closes it.",
        'It ends `so: <|im_end|>`.\nIt "has <|im_end|> in it", <|im_end|>and no more.',
        'Nine "coins<|im_end|>\n"Too" much!',
        "I offer <think>he is rich, is he?</think> nine.",
        "Write <think> and wait for what comes then, which takes long.",
        '{"say": "<think>hide it well</think>Nine."}',
        "&lt;think&gt;hide&lt;/think&gt;Nine & < ten.",
        "```thinking\nhide\n```\nNine.",
        "<|inner_prefix|>hide<|inner_suffix|>Nine.",
        "**Thinking:** hide it\n\n**Response:** Nine **coins** at most.",
        "## Thoughts\nhide it\n## Answer\nNine.",
        "**Thoughts:** I like it.\n**Price:** nine.",
        "Thinking...\nhide it\n...done thinking.\n\nNine.",
        "Thinking… it takes time.\nNine.",
        "Thought: hide\nFinal Answer: Nine.",
        "Thanks: nine.",
        "**Nine** coins.",
        '<details type="reasoning" done="true">\nhide\n</details>\nNine.',
        "<details><summary>a</summary>b</details> Nine.",
        "<|start|>assistant<|channel|>commentary<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Nine.",
        "<|start|>assistant<|channel|>commentary<|message|>Nine.<|end|>",
        "<|channel|>analysis<|message|>hide<|end|><|start|>assistant<|channel|>final"
        " <|constrain|>json<|message|>Nine.<|return|>",
    ],
)
def test_thoughts_are_not_shown_while_they_come(text: str, size: int) -> None:
    assert shown(ThoughtlessSink, text, size).strip() == split_thoughts(text)[1].strip()


def test_a_heading_of_thoughts_alone_takes_time_in_proportion() -> None:
    text = "**Thoughts:** " + "I like it.\n" * 100_000
    assert shown(ThoughtlessSink, text, 500) == text


def test_many_tags_take_time_in_proportion() -> None:
    text = "say <think> " * 100_000  # it took minutes for each of them to look at all the others
    assert split_thoughts(text) == ([], text)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_nothing_is_shown_from_an_unread_token_on(size: int) -> None:
    assert shown(ThoughtlessSink, "Nine.<|plan|>hide it", size) == "Nine."
    assert shown(ThoughtlessSink, "Say `<|plan|>` first.", size) == "Say `<|plan|>` first."


def test_thoughts_in_the_arguments_of_a_call_are_thoughts() -> None:
    call = ToolCall("a", "stock", {"of": "<think>hide</think>apples", "html": "a <think>"})
    answer = taken(odd(tool_calls=(call,)), WORDS.but(tools=(STOCK,)))
    assert answer.tool_calls[0].arguments == {"of": "apples", "html": "a <think>"}
    assert [one.text for one in answer.thinking] == ["hide"]
    kept = taken(odd(tool_calls=(call,)), WORDS.but(tools=(STOCK,)), split_thoughts=False)
    assert kept.tool_calls[0].arguments == call.arguments


@pytest.mark.parametrize(
    "text",
    [
        "<|think|>hide it<|end|><|begin|>assistant<|content|>Nine.",
        "<｜plan｜>hide it",
        "[|assistant|]Nine.",
        "<unused49><unused49>",
    ],
)
def test_tokens_of_a_template_are_no_words(text: str) -> None:
    with pytest.raises(AnswerRejected, match="a token of the model's chat template"):
        taken(Completion(text))
    with pytest.raises(AnswerRejected, match="a token of the model's chat template"):
        taken(Completion(json.dumps({"say": text})), WORDS.but(schema=OFFER))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *(
            (text, text)
            for text in (
                "It writes `hello<|im_end|>` there.",
                'It writes "Hi. <|im_end|>" there.',
                "It writes “a <|eot_id|> b” there.",
                "**`</s>`** ends it.",
                'The prompt is "<|im_start|>user hi<|im_end|>", as you see.',
            )
        ),
        ("The `x` and <|im_end|> y `z`", "The `x` and"),
        ('"Nine."<|im_end|>\nuser: "No"', '"Nine."'),
        ('He said "nine<|im_end|>\n"No"', 'He said "nine'),
        ("It's nine.<|im_end|>\nI don't", "It's nine."),
    ],
)
def test_a_token_within_a_quotation_is_only_mentioned(text: str, words: str) -> None:
    assert taken(Completion(text)).text == words
    for size in (1, 3, 100):
        assert shown(ThoughtlessSink, text, size).strip() == words


def test_a_name_in_another_form_of_unicode_is_that_name() -> None:
    made = own_words("Nine.\nZoe\u0308: Five.", "Mara", speakers(("Mara", "Zo\u00eb")))
    assert made == "Nine."


@pytest.mark.parametrize("size", [1, 7, 100])
def test_thoughts_that_no_tag_opened_are_not_shown(size: int) -> None:
    def waiting(sink: Sink) -> WordsSink:
        return ThoughtlessSink(sink, waits=True)

    assert shown(waiting, "hide it\n</think>\n\nNine <b>coins</b>.", size) == "Nine <b>coins</b>."
    assert shown(waiting, "Nine coins.", size) == "Nine coins."
    assert shown(waiting, "<think>hide</think>Nine.", size) == "Nine."
    assert shown(waiting, "hide</think>hide it</think>Nine.", size) == "Nine."
    assert shown(waiting, "<think>hide</think>hide it</think>Nine.", size) == "Nine."
    assert shown(waiting, "<|think|>hide</think>Nine.", size) == "Nine."


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The form:\n```\n<|im_start|>user\nHi.<|im_end|>\n```\nUse it.", None),
        ("```jinja\n<|begin_of_text|>Hi.<|eot_id|>\n  ```  ", None),
        ("```\n<|plan|>Hi.\n```", None),
        # None of these blocks is closed.
        ("```json\n{}\n<|im_end|>\n<|im_start|>user\nhide\n```json\n{}\n```", "```json\n{}\n"),
        ("```\nHi.<|im_end|>hide", "```\nHi."),
        ("```\na\n```\nNine.<|im_end|>\n```\nhide\n```", "```\na\n```\nNine."),
        ("```\n" + "a\n" * 3000 + "<|im_end|>" + "b\n" * 3000 + "```", "```\n" + "a\n" * 3000),
    ],
)
def test_a_token_in_a_block_of_code_is_quoted(text: str, words: str | None, size: int) -> None:
    words = text if words is None else words
    assert taken(Completion(text)).text.strip() == words.strip()
    assert shown(ThoughtlessSink, text, size).strip() == words.strip()


def test_an_unread_token_outside_of_a_block_of_code_is_told() -> None:
    for text in ("```\n<|plan|>Hi.", "```\na\n```\n<|plan|>Nine.\n```\nb\n```"):
        with pytest.raises(AnswerRejected, match=r"contains <\|plan\|>"):
            taken(Completion(text))


def test_many_blocks_of_code_take_time_in_proportion() -> None:
    for text in ("```\n<|plan|><|im_end|>\n```\n" * 20_000, "```x\n<|im_end|>" * 20_000):
        shown(ThoughtlessSink, text, 500)
        split_thoughts(text)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"say": "Nine \\"coins\\" \\\\", "price": 9}', None),
        ('[{"say" : "a"}, "b", ["c"], true, null, -1.5e3]', None),
        ('```json\n{"say": "Nine.", "price": 9}\n```', None),
        ('{"say": "Mara: Nine.\\nJon: No!", "price": 9}', '{"say": "Nine.", "price": 9}'),
        ('{"say": "<think>hide", "price": 9}', '{"say": "", "price": 9}'),
        ('{"say": "hide</think>Nine."}', '{"say": "Nine."}'),
        ('<think>{"price": 1}</think>\n{"price": 9}', '{"price": 9}'),
        ('hide {it}</think>Here: {"price": 9}', '{"price": 9}'),
        ('{"say": "Jon: No!", "price": 9}', '{"say": '),
        ('{"say": "Nine, or', '{"say": '),
        ('{"say": "a\\ud83d"}', '{"say": '),
        ("No.", "No."),
    ],
)
def test_a_structured_answer_is_shown_value_by_value(text: str, words: str | None, size: int) -> None:
    def fields(sink: Sink) -> WordsSink:
        own = reads_own_words(WORDS.but(schema=OFFER), AnswerPolicy(), speakers(AGENTS))
        return WordsSink(FieldsSink(sink, own))

    assert shown(fields, text, size) == (text if words is None else words)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Nine coins: take it.\nOr not.", "Nine coins: take it.\nOr not."),
        ("Mara: Nine.\nMara: Or ten.\nJon: No!\nMara: Yes.", "Nine.\nOr ten.\n"),
        ("**Jon (to Mara)**: Nine.\nWell.", ""),
        ("Nine. Jon: who is he?\n\nMar", "Nine. Jon: who is he?\n\nMar"),
        ("A long line of words without any name in it and its end\nJon: No.", None),
        ("Nine \ud83d\ude00\ud83d", "Nine \U0001f600\ud83d"),
        ("[Mara] Nine.\n<Jon> No!", "Nine.\n"),
        ("Mara - Nine.\nJon says: No!", "Nine.\n"),
        ("**Mara**\n\nNine.\nMara to Jon: Ten.\nJon> No!", "Nine.\nTen.\n"),
        ("Mara: Jon: Nine.", ""),
        ("Mara goes to Jon and tells him this", "Mara goes to Jon and tells him this"),
        ("Old Farmer Mara: Nine.\nTurn 2 - Jon: No!", "Nine.\n"),
        ("Round 3, Mara: Nine.\n“Jon: no!” is his answer.", "Nine.\n“Jon: no!” is his answer."),
        ("Response from Mara: Nine.\n“Jon:” no!", "Nine.\n"),
        ("Turn 2 is mine, and Jon said: no.", "Turn 2 is mine, and Jon said: no."),
        ("Mara: Nine. Or ten.assistant\n\nToo much!", "Nine. Or ten."),
        ("Nine.<br>Or <b>ten</b>.<br/>Jon: No!", "Nine.<br>Or <b>ten</b>.<br/>"),
        ("Nine <br", "Nine <br"),
        ("Nine.\nThe Narrator: Jon leaves.\nMara: Ten.", "Nine.\n"),
        (
            "We share.\n**Jon:** brings apples\nAgreed?\nJon: No!",
            "We share.\n**Jon:** brings apples\nAgreed?\n",
        ),
        *[("The plan:\n**Jon:** the apples\n**Mara:** the bread",) * 2],
        ("Nine.\nuser\nToo much!", "Nine.\n"),
        ("Nine (an assistant helps).", "Nine (an assistant helps)."),
        ("Agent Mara: Nine.\nThe buyer, Jon: Five.", "Nine.\n"),
        ("Nine.\nThe buyer is a man: he pays.\nJon, the buyer: No!", "Nine.\nThe buyer is a man: he pays.\n"),
        ("<Mara>Nine < ten.</Mara>\n<Jon>No!</Jon>", "Nine < ten.\n"),
        ("<Mara>Nine.</Mara><Jon>No!</Jon>", "Nine."),
        ("<Mara>Nine.</Mara>", "Nine."),
        ("Nine.</Ma", "Nine.</Ma"),
        ("My vote:\n**Jon**", "My vote:\n**Jon**"),
        ("<Jon>", "<Jon>"),
        ("<Jon><b>No!</b>", ""),
        ("<Mara><b>Nine.</b>", "<b>Nine.</b>"),
        ("Nine.\n<b>Jon:</b> No!", "Nine.\n"),
        ("(Nine)user</b>", "(Nine)user</b>"),
        ("The votes:\n- Jon: 2\n- Mara: 1", "The votes:\n- Jon: 2\n- Mara: 1"),
        ("I split:\nMara: 60%\nJon: 40%\nJon: No!", "I split:\nMara: 60%\nJon: 40%\n"),
        ('{\n"Jon": 5\n}\nJon: No!', '{\n"Jon": 5\n}\n'),
        ("```yaml\nJon: 5\n```\nJon: No!", "```yaml\nJon: 5\n```\n"),
        ("[As Mara] Nine coins.", "Nine coins."),
        ("Nine.\n\uff2a\uff4f\uff4e: Five.", "Nine.\n"),
    ],
)
def test_only_own_words_are_shown_while_they_come(text: str, words: str | None, size: int) -> None:
    def made(sink: Sink) -> WordsSink:
        return WordsSink(OwnWordsSink(sink, "Mara", speakers(("Mara", "Jon"))))

    assert shown(made, text, size) == (text.partition("Jon")[0] if words is None else words)


def shown(make: Callable[[Sink], WordsSink], text: str, size: int) -> str:
    """What a person sees of a text that comes in pieces of some size."""
    pieces: list[str] = []

    class Screen:
        def write(self, text: str) -> None:
            pieces.append(text)

    sink = make(Screen())
    for start in range(0, len(text), size):
        sink.write(text[start : start + size])
    sink.end()
    return "".join(pieces)


@pytest.mark.parametrize(
    "text",
    [
        '{"price": 9}',
        '```json\n{"price": 9}\n```',
        '```\n{"price": 9}\n```',
        'Here it is: {"price": 9} I hope it helps.',
        'Sure, a {fair} price!\n```json\n{"price": 9}\n```\nDone.',
        '<think>{"price": 1}?</think>{"price": 9}',
        '{"price": 9, "price": 9}',
        'As in {"price": ...}, I answer: {"price": 9}',
        ' \n{"price": 9}\n',
    ],
)
def test_json_is_found_where_it_is_unambiguous(text: str) -> None:
    answer = taken(Completion(text), WORDS.but(schema=OFFER))
    assert parse_json(answer.text) == ({"price": 9}, None)


@pytest.mark.parametrize(
    "text",
    [
        '{"say": "x", "other": {"price": 9}',
        'Here: {"price": 1, "other": {"price": 9}, "say": "and th',
        '{"offers": [{"price": 9}',
        '[{"price": 9}',
        '{"price": 9}\n{"price": 1',
    ],
)
def test_a_part_of_json_that_was_cut_off_is_no_answer(text: str) -> None:
    assert parse_json(taken(Completion(text), WORDS.but(schema=OFFER)).text)[1] is not None


def test_a_list_is_found_too() -> None:
    assert find_json('So: [{"a": 1}, {"a": 2}].') == '[{"a": 1}, {"a": 2}]'
    assert find_json('As in [1]: {"a": 1}') == '{"a": 1}'
    assert find_json("{" * 5000) == "{" * 5000


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"price": 9} or {"price": 8}', "expected nothing more"),
        ('{"price": 9, "price": 8}', 'the key "price" stands twice'),
        ('{"price": 123456789012345678901234567890}', "does not fit into 53 bits"),
        ('{"price": 9007199254740993}', "does not fit into 53 bits"),
        ('{"price": 9007199254740993.0}', "does not fit into 53 bits"),
        ('{"price": ' + "9" * 5000 + "}", "a number is too large"),
        ('{"price": NaN}', "expected a value"),
        ('{"price": 1e999}', "not a finite number|too large"),
        ('{"say": "\\ud83d"}', "half of a character"),
        ("[" * 300 + "]" * 300, "nested"),
        ("[" * 100_000, "nested|expected"),
    ],
)
def test_numbers_and_keys_are_never_chosen_silently(text: str, wrong: str) -> None:
    value, said = parse_json(find_json(text))
    assert value is None
    with pytest.raises(AssertionError, match=wrong):
        raise AssertionError(said)


@pytest.mark.parametrize("finish", ["refusal", "content_filter"])
@pytest.mark.parametrize("text", ["", "I'm sorry, I can't help with that."])
def test_a_refusal_is_a_refusal(finish: str, text: str) -> None:
    with pytest.raises(Refused, match="filter" if finish == "content_filter" else "refused") as caught:
        taken(odd(text=text, finish_reason=finish))
    assert text in str(caught.value)


def test_a_cut_off_answer_is_kept_repaired_or_an_error() -> None:
    cut = Completion("Well, I think that", finish_reason="length", usage=Usage(5, 200))
    assert taken(cut).truncated
    with pytest.raises(AnswerRejected, match="cut off after 200 tokens: raise max_tokens"):
        taken(cut, on_truncated="repair")
    with pytest.raises(AnswerTruncated, match="cut off after 200 tokens"):
        taken(cut, on_truncated="fail")


def test_an_answer_that_did_not_end_well_is_not_whole() -> None:
    for whole in ("stop", "EOS", "end_turn", "stop-sequence", None, ""):
        assert not taken(odd(text="Nine.", finish_reason=whole)).truncated
    for unknown in ("other", "compaction", "incomplete"):
        answer = taken(odd(text="I think the", finish_reason=unknown))
        assert (answer.truncated, answer.finish_reason) == (True, "length")
        with pytest.raises(AnswerTruncated):
            taken(odd(text="I think the", finish_reason=unknown), on_truncated="fail")
    for broken in ("abort", "cancelled", "insufficient_system_resource", "unload", "OTHER", "timeout"):
        with pytest.raises(Overloaded, match="broke the answer off"):
            finish_reason(broken)
    with pytest.raises(AnswerRejected, match="cannot read the model's tool call"):
        finish_reason("MALFORMED_FUNCTION_CALL")
    for unknown in ("ERROR_TOXIC", "image_prohibited_content", "blacklist", "MODEL_ARMOR"):
        assert finish_reason(unknown) == "content_filter"
    with pytest.raises(AnswerRejected, match="tool call"):
        finish_reason("malformed_function_call_safety")
    with pytest.raises(Overloaded):
        finish_reason("upstream_connect_error")
    assert (finish_reason("max_thinking_length"), finish_reason("so_it_goes")) == ("length", "other")
    for withheld in ("moderated", "content_filter: SAFETY", "content-filter"):
        assert finish_reason(withheld) == "content_filter"
    assert (finish_reason("SAFETY", True), finish_reason("stop", True)) == ("content_filter", "tool_calls")


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Mara: Nine coins.", "Nine coins."),
        ("**Mara:** Nine coins.", "Nine coins."),
        ("mara : Nine coins.", "Nine coins."),
        ("Mara, smiling: Nine coins.", "Nine coins."),
        ("Mara quietly says: Nine coins.", "Nine coins."),
        ("Nine.\nJon whispers softly to Mara: Too much!", "Nine."),
        ("Nine.\n\nJon's response: Too much!", "Nine."),
        ("Nine.\nJon's answer: too much, as always.", "Nine.\nJon's answer: too much, as always."),
        ("Mara, listen to me. I say: nine.", "Mara, listen to me. I say: nine."),
        ("Nine.\nJon（微笑）：Too much!", "Nine."),
        ("Mara (to Jon): Nine coins.", "Nine coins."),
        ("Mara: Nine.\n\nJon: Too much!\n\nMara: Fine.", "Nine."),
        ("Nine.\nJon Smith: Too much!", "Nine."),
        ("Nine.\n**Jon**: Too much!", "Nine."),
        ("Nine.\n[Jon: offer price: 5]", "Nine."),
        ("Mara: Nine.\nMara: And ten.", "Nine.\nAnd ten."),
        ("[Mara]: Nine coins.", "Nine coins."),
        ("„Mara“: Nine coins.", "Nine coins."),
        ("Mara [smiling]: Nine coins.", "Nine coins."),
        ("Mara *smiling*: Nine coins.", "Nine coins."),
        ("Nine.\n[Jon]: Too much!", "Nine."),
        ("Nine.\nJon *sighs*: Too much!", "Nine."),
        ("Nine.\n« Jon » : Too much!", "Nine."),
        ("Nine.\n<b>Jon:</b> Too much!", "Nine."),
        ("Nine.\n1. Jon: Too much!", "Nine."),
        ("Nine.\n\u200bJon: Too much!", "Nine."),
        ("Nine.\u2028Jon: Too much!", "Nine."),
        ("• Mara: Nine coins.\n• Jon: Too much!", "Nine coins."),
        ("### Mara\nNine coins.\n\n### Jon\nToo much!", "Nine coins."),
        ("[10:02] Mara: Nine coins.\n[10:03] Jon: Too much!", "Nine coins."),
        ("10:02 Mara: Nine coins.\n10:03 Jon: Too much!", "Nine coins."),
        ("— Mara: Nine coins.", "Nine coins."),
        ("### Apples\nNine coins.", "### Apples\nNine coins."),
        ("[Mara] Nine coins.", "Nine coins."),
        ("<Mara> Nine coins.\n<Jon> Too much!", "Nine coins."),
        ("<|Mara|>: Nine coins.\nJon> Too much!", "Nine coins."),
        ("Mara - Nine coins.", "Nine coins."),
        ("**Mara** — “Nine coins.”", "“Nine coins.”"),
        ("**Mara** Nine coins.", "Nine coins."),
        ("(Mara) Nine coins.", "Nine coins."),
        ("`Mara`: Nine coins.", "Nine coins."),
        ("🍎 Mara 🍎: Nine coins.", "Nine coins."),
        ("Mara says: Nine coins.\nJon replies: Too much!", "Nine coins."),
        ("Mara to Jon: Nine coins.\nJon to everyone: Too much!", "Nine coins."),
        ("Mara -> Jon: Nine coins.\nJon, to Mara: Too much!", "Nine coins."),
        ("Mara's response: Nine coins.", "Nine coins."),
        ("**Mara**\nNine coins.\n\n**Jon**\nToo much!", "Nine coins."),
        ("Assistant: Nine coins.\n\nHuman: Too much!", "Nine coins."),
        ("Nine coins.\n\n---\n\nJon: Too much!", "Nine coins."),
        ("Mara - that is me - says nine.", "Mara - that is me - says nine."),
        ("Jon - Five is all I have.", "Jon - Five is all I have."),
        ("**Jon** Take it.", "**Jon** Take it."),
        ("[nods] Nine, Jon.", "[nods] Nine, Jon."),
        ("Jon's price: nine.", "Jon's price: nine."),
        ("Jon said to me: nine.", "Jon said to me: nine."),
        ("Jon says to the point: nine.", "Jon says to the point: nine."),
        ("I say to Jon: nine.", "I say to Jon: nine."),
        ("Dear Jon: nine coins.", "Dear Jon: nine coins."),
        ("Human: all too human.", "Human: all too human."),
        ("Nine, or less.\nThanks,\nMara - Farmer", "Nine, or less.\nThanks,\nMara - Farmer"),
        ("At 10:02 Jon came.", "At 10:02 Jon came."),
        ("I told Jon: nine coins.", "I told Jon: nine coins."),
        ("Nine.\nJonathan: who is that?", "Nine.\nJonathan: who is that?"),
        ("Farmer Mara: Nine coins.", "Nine coins."),
        ("“Mara:” Nine coins.", "Nine coins."),
        ("`Mara:` Nine coins.", "Nine coins."),
        ("Response from Mara: Nine coins.", "Nine coins."),
        ("[Mara speaking]: Nine coins.", "Nine coins."),
        ("Mara (10:02): Nine coins.\nJon [10:03]: Too much!", "Nine coins."),
        ('Mara:"Nine coins."', '"Nine coins."'),
        ("The offer (nine): take it.", "The offer (nine): take it."),
        ("Mara said: Nine coins.", "Nine coins."),
        ("[Mara]\nNine coins.\n[Jon]\nToo much!", "Nine coins."),
        ("Mara\nShe is fair.", "Mara\nShe is fair."),
        ("It helps the end-user", "It helps the end-user"),
        ("A tool for (power-user\nand) others.", "A tool for (power-user\nand) others."),
        ("--- Mara ---\nNine coins.\n--- Jon ---\nToo much!", "Nine coins."),
        ("Nine coins.assistant\n\nToo much!", "Nine coins."),
        ("assistant\nNine coins.\nuser\nToo much!", "Nine coins."),
        ("### Response: Nine coins.\n\n### Instruction:\nAgain.", "Nine coins."),
        ("Nine coins.\n\nUSER: Too much!", "Nine coins."),
        ("Mara", "Mara"),
        ("Mara\n", "Mara\n"),
        ("assistant", "assistant"),
        ("I need an assistant\nfor it.", "I need an assistant\nfor it."),
        ("Jon\nlooks at it.", "Jon\nlooks at it."),
        ("Turn 2 - Mara: Nine coins.\n[Turn 3] Jon: Too much!", "Nine coins."),
        ("“Mara: Nine coins.”", "Nine coins."),
        ("Mara dice: Nueve.\nJon говорит: Нет!", "Nueve."),
        ("Nine.\nJon说：Too much!", "Nine."),
        ("Nine.\nJon 말했다: Too much!", "Nine."),
        ("Nine.\nJon的出价：five", "Nine.\nJon的出价：five"),
        ("“Jon: five,” he wrote. I say nine.", "“Jon: five,” he wrote. I say nine."),
        ("Step 1: I look at it.", "Step 1: I look at it."),
        ("Jon said: five.", "Jon said: five."),
        ("Farmer Mara: Nine.\nBuyer Jon: Five.", "Nine."),
        ("Nine.\nAgent Jon: Five.", "Nine."),
        ("Nine.\n**Dr. Jon Smith:** Five.", "Nine."),
        ("Nine.\nJon, the buyer: Five.", "Nine."),
        ("Nine.\nJon the old apple buyer: Five.", "Nine."),
        ("Nine.\nThe buyer, Jon: Five.", "Nine."),
        ("Nine.\nJon, Buyer: Five.", "Nine."),
        ("Nine.\nJon, smiling: Five.", "Nine."),
        ("Nine.\nAgent Mara: And ten.\nMara, the farmer: Or so.", "Nine.\nAnd ten.\nOr so."),
        ("<Mara>Nine.</Mara>", "Nine."),
        ("<Mara>\nNine.\n</Mara>", "Nine."),
        ("<Mara>Nine.</Mara><Jon>Five.</Jon>", "Nine."),
        ("<Mara>Nine.</Mara>\n<Jon>Five.</Jon>\n<Mara>No.</Mara>", "Nine."),
        ("Dear Jon: five.", "Dear Jon: five."),
        ("Nine.\nPoor Jon: he has five.", "Nine.\nPoor Jon: he has five."),
        ("My vote.\nVote Jon: he is fair.", "My vote.\nVote Jon: he is fair."),
        ("Guard Jon: he is in danger.", "Guard Jon: he is in danger."),
        ("To the buyer Jon: nine.", "To the buyer Jon: nine."),
        ("Nine.\nJon, the truth: I have none.", "Nine.\nJon, the truth: I have none."),
        ("Jon, in a word: nine.", "Jon, in a word: nine."),
        ("Jon, my good neighbour: nine.", "Jon, my good neighbour: nine."),
        ("Jon is the buyer: ask him.", "Jon is the buyer: ask him."),
        ("The buyer: a man of means.", "The buyer: a man of means."),
        ("The <b>best</b> price: <jon>nine</jon>.", "The <b>best</b> price: <jon>nine</jon>."),
        ("<b>Nine</b> coins.", "<b>Nine</b> coins."),
        *((vote, vote) for vote in ("Jon", "**Jon**", "**Mara**", "## Jon", "<Jon>", "[Agent Jon]")),
        ("I vote for:\n**Jon**\nHe is fair.", "I vote for:\n**Jon**\nHe is fair."),
        ("I vote for\n\n### Mara", "I vote for\n\n### Mara"),
        *(
            (words, words)
            for words in (
                "The votes so far:\n- Jon: 2\n- Mara: 1",
                "I propose this split:\n\nMara: 60%\nJon: $40",
                "I suspect these:\n1. Jon: he is quiet\n\n2. Mara: no, that is me",
                'The note read:\n"Jon: come at noon."\nSo I came.',
                "He wrote:\n> Jon: come at noon.",
                "The roles:\nuser\nadmin",
                '{"Jon": 5, "Mara": 9}',
                '{\n  "Jon": 5,\n  "Mara": 9\n}',
                "```yaml\nJon: 5\nMara: 9\n```",
            )
        ),
        ("The split:\n- Jon: 5\n\nThat is all.\nJon: No!", "The split:\n- Jon: 5\n\nThat is all."),
        ('{"Jon": 5}\nJon: No!', '{"Jon": 5}'),
        ("```yaml\nJon: 5\n```\nJon: No!", "```yaml\nJon: 5\n```"),
        ("I say this:\nJon: Too much!", "I say this:"),
        *(
            (words, words)
            for words in (
                "The plan:\n**Jon:** brings apples\n**Mara:** brings bread",
                "The plan:\n\nJon: apples, and the cart\nMara: bread.\n\nAgreed?",
                "We share the work.\n**Jon:** brings apples\n**Mara:** brings bread\nAgreed?",
                "**Jon:** brings apples\n**Jon Smith:** takes the cart.",
                "Note: Jon is late.\nOffer: nine.\nPrice: 9\nScene: a market.",
                "The best<br>offer<br/>is nine.",
            )
        ),
        ("The plan:\nJon: yes, and the cart", "The plan:"),
        ("Nine.\nJon: sounds good to me", "Nine."),
        ("Nine.\njon: thanks a lot", "Nine."),
        ("Nine.\nJon: wants you to pay five", "Nine."),
        ("Nine.\nJon: laughs. Too much!", "Nine."),
        ("Mara: smiles and nods", "smiles and nods"),
        ("Nine.\nNarrator: Jon walks away.", "Nine."),
        ("Nine.\n\n**The Narrator:** Jon walks away.", "Nine."),
        ("Nine.\n[Narrator] Jon walks away.", "Nine."),
        ("Nine.\n(Narrator: Jon walks away.)", "Nine."),
        ("Nine.\nErzähler: Jon geht.", "Nine."),
        ("The narrator: a man of few words.", "The narrator: a man of few words."),
        ("Nine.<br>Jon: Too much!", "Nine."),
        ("Nine.<br />\n<BR>**Jon:** Too much!", "Nine."),
        ("Mara: Nine.<br>Mara: Or ten.<br><br>Jon: No!", "Nine.<br>Or ten."),
        ("Nine.\nJon [sighs] (quietly): Five.", "Nine."),
        ("Nine.\nＪｏｎ: Five.", "Nine."),
        ("Nine.\n𝐉𝐨𝐧: Five.", "Nine."),
        ("Nine.\nJonさん：五", "Nine."),
        ("Nine.\nJon-san: Five.", "Nine."),
    ],
)
def test_an_agent_speaks_for_itself(text: str, own: str) -> None:
    answer = taken(Completion(text))
    assert (answer.text, answer.raw) == (own, "" if own == text else text)
    structured = taken(Completion(json.dumps({"say": text})), WORDS.but(schema=OFFER))
    assert parse_json(structured.text)[0] == {"say": own}
    assert taken(Completion(text), WORDS.but(speaks=False)).text == text, "a narrator writes for others"


@pytest.mark.parametrize("before", ["---", "***\n\n", "```\n", "[Turn 2]\n", "> ", "(10:30)\n", "#"])
def test_what_is_no_words_before_anothers_line_is_nothing_said(before: str) -> None:
    with pytest.raises(AnswerRejected, match="it begins with a line of Jon"):
        taken(Completion(f"{before}\nJon: Five."))
    for words in ("10:30", "Day 3", "5", "\U0001f642", "..."):
        assert taken(Completion(f"{words}\nJon: Five.")).text == words


@pytest.mark.parametrize(
    "text",
    [
        *("Jon: Five.", "Mara: Jon: Five.", "\n> Jon: Five.", '{"say": "Jon: Five."}', "[Jon] Five."),
        *("Jon says: Five.", "Jon to Mara: Five.", "<Jon> Five.", "Day 2. Jon: Five.", "Jon sagt: Fünf."),
        *("Jon 说道：五", '"Jon: Five."', "Buyer Jon: Five.", "Agent Jon: Five.", "Jon, the buyer: Five."),
        *("<Jon>Five.</Jon>", "<Jon>\nFive.\n</Jon>", "Mara: Buyer Jon: Five."),
        '{"say": "<Jon>Five.</Jon>"}',
    ],
)
def test_who_begins_as_somebody_else_is_asked_again(text: str) -> None:
    request = WORDS.but(schema=OFFER) if text.startswith("{") else WORDS
    with pytest.raises(AnswerRejected, match="a line of Jon; answer as Mara"):
        taken(Completion(text), request)


@pytest.mark.parametrize(
    ("content", "text", "thoughts"),
    [
        (None, "", []),
        (["Nine", {"type": "text", "text": " coins."}], "Nine coins.", []),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hide"}]},
                {"type": "text", "text": "Nine."},
            ],
            "Nine.",
            ["hide"],
        ),
        (
            [{"type": "reasoning", "reasoning": "hide"}, {"type": "output_text", "text": "Nine."}],
            "Nine.",
            ["hide"],
        ),
        ([{"type": "thinking", "text": "hide"}, {"type": "text", "text": "Nine."}], "Nine.", ["hide"]),
        ([{"type": "reasoning_text", "text": "hide"}, {"type": "text", "text": "Nine."}], "Nine.", ["hide"]),
        ([{"type": "text", "text": "hide", "thought": True}, "Nine."], "Nine.", ["hide"]),
        ("\ud83d" + "\ude00", "\U0001f600", []),
    ],
)
def test_content_comes_in_parts(content: Any, text: str, thoughts: list[str]) -> None:
    answer = taken(odd(text=content))
    assert (answer.text, [one.text for one in answer.thinking]) == (text, thoughts)


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ("I cannot.", "I cannot."),
        (True, "Well."),
        ({"message": "I cannot."}, "I cannot."),
        ({"text": "I cannot."}, "I cannot."),
        ({"code": 3, "reason": "I cannot."}, "I cannot."),
        ({"message": {"text": "I cannot."}}, "I cannot."),
        ([{"text": "I"}, "cannot."], "I\\ncannot."),
        ({"code": 3}, "Well."),
    ],
)
def test_a_refusal_in_another_form_is_a_refusal(refusal: Any, said: str) -> None:
    """With the model's words, if there are any."""
    for part in ({"type": "refusal", "refusal": refusal}, {"refusal": refusal}):
        with pytest.raises(Refused, match="refused to answer") as caught:
            taken(odd(text=[part, {"type": "text", "text": "Well."}]))
        assert f": '{said}'" in str(caught.value)
    for nothing in (None, False, "", {}, []):
        assert taken(odd(text=[{"type": "text", "text": "Well.", "refusal": nothing}])).text == "Well."


def test_a_part_that_refuses_is_a_refusal() -> None:
    with pytest.raises(Refused, match="I cannot"):
        taken(odd(text=[{"type": "text", "text": "Well."}, {"type": "refusal", "refusal": "I cannot."}]))


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"text": {"a": 1}}, "the content is an object"),
        ({"text": 7}, "the content is a number"),
        ({"text": [7]}, "a part of the content is a number"),
        ({"text": [{"type": "image_url", "image_url": {}}]}, "of the type 'image_url'"),
        ({"text": "Nine \ud83d coins."}, "half of a character"),
        ({"tool_calls": (ToolCall("a", None, {}),)}, "a tool without a name"),
        ({"tool_calls": (ToolCall("a", "stock", '{"of": "app'),)}, "not a JSON object.*max_tokens"),
        ({"tool_calls": (ToolCall("a", "stock", '{"of": NaN}'),)}, "expected a value"),
        ({"tool_calls": (ToolCall("a", "stock", {"of": float("nan")}),)}, "not a finite number"),
        ({"tool_calls": (ToolCall("a", "stock", [1]),)}, "they are a list"),
        ({"tool_calls": (ToolCall("a", "stock", '{"of": 1, "of": 2}'),)}, "stands twice"),
        ({"text": "a" * 5_000_000}, "expected at most 4,000,000 bytes"),
    ],
)  # fmt: skip
def test_a_malformed_answer_is_asked_again(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(AnswerRejected, match=wrong):
        taken(odd(**fields), WORDS.but(tools=(STOCK,)))


def test_tool_calls_have_identities_of_ours() -> None:
    calls = tuple(
        ToolCall(one, "stock", arguments) for one, arguments in (("c", '{"of": "a"}'), ("c", None), (7, ""))
    )
    answer = taken(odd(tool_calls=calls), WORDS.but(tools=(STOCK,)))
    assert [call.id for call in answer.tool_calls] == ["call00001", "call00002", "call00003"]
    assert [call.arguments for call in answer.tool_calls] == [{"of": "a"}, {}, {}]
    later = WORDS.but(messages=(*WORDS.messages, answer.message()), tools=(STOCK,))
    assert taken(odd(tool_calls=calls[:1]), later).tool_calls[0].id == "call00004"


@pytest.mark.parametrize(
    ("reported", "known"),
    [
        (Usage(50, 10, 20, 5), Usage(50, 10, 20, 5)),
        (Usage(), Usage(30, 200, estimated=True)),
        (None, Usage(30, 200, estimated=True)),
        (Usage(0, 10), Usage(30, 10, estimated=True)),
        (Usage(50, 0), Usage(50, 200, estimated=True)),
        (Usage("50", -3), Usage(30, 200, estimated=True)),  # type: ignore[arg-type]
        (Usage(10, 10, 99), Usage(10, 10, 10)),
        (Usage(1, 10), Usage(30, 10, estimated=True)),
    ],
)
def test_usage_is_reported_or_estimated_never_zero(reported: Any, known: Usage) -> None:
    request = WORDS.but(messages=(Message.user("What do you say to these nine coins, Mara?"),))
    assert known_usage(odd(text="Nine.", usage=reported), lambda: Usage(30, 200), request) == known


def test_odd_bookkeeping_does_not_cost_an_answer() -> None:
    answer = taken(
        odd(
            text="Nine.",
            model={"name": 7},
            finish_reason="eos",
            thinking=(Thinking(None, {1: 2}), Thinking([{"text": "hm \ud83d"}])),  # type: ignore[arg-type]
        )
    )
    assert (answer.text, answer.model, answer.finish_reason) == ("Nine.", "", "stop")
    assert [(one.text, one.data) for one in answer.thinking] == [("", {}), ("hm ?", {})]


def test_a_whole_number_beyond_53_bits_is_refused_in_any_spelling() -> None:
    schema = {"type": "object", "properties": {"price": {"type": "integer", "minimum": 1}}}
    for text in ('{"price": 1e300}', '{"price": 1e16}', '{"price": 90071992547409930e-1}'):
        value, _ = parse_json(text)
        assert "expected an integer" in str(check_value(schema, value))
    assert check_value(schema, parse_json('{"price": 9e2}')[0]) is None
    assert check_value({"type": "number", "minimum": 1}, parse_json("6.02e23")[0]) is None


def test_names_that_differ_in_case_alone_are_told_apart() -> None:
    known = speakers(("Ann", "ANN", "Bo"))
    assert own_words("Ann: Nine.\nANN: Ten.", "Ann", known) == "Nine."
    assert own_words("ANN: Nine.\nAnn: Ten.\n", "ANN", known) == "Nine."
    assert own_words("bo: Nine.\nann: Ten.", "Bo", known) == "Nine."
    assert own_words("<b>Nine.</b>", "A", speakers(("A", "B"))) == "<b>Nine.</b>"


def test_a_narrator_is_nobody_unless_one_takes_part() -> None:
    """A script's teller begins what is not the agent's own; a participant of that name speaks."""
    for text in ("Narrator: It is dark.", "**Narrator:** It is dark.\nMara: Nine."):
        with pytest.raises(AnswerRejected, match="a line of a narrator; answer as Mara"):
            taken(Completion(text))
    made = AnswerPolicy()
    for agents, name in ((["Mara", "Narrator"], "Narrator"), (["Mara", "Jon"], "a narrator")):
        with pytest.raises(AnswerRejected, match=f"a line of {name};"):
            check(Completion("Narrator: It is dark."), WORDS, made, speakers(tuple(agents)))
    own = WORDS.but(position=Position("Narrator", 1, "1#1"))
    known = speakers(("Narrator", "Mara"))
    assert check(Completion("Narrator: It is dark."), own, made, known).text == "It is dark."
