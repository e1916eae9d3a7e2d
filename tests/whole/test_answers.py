"""Whole runs on odd answers, in the forms of each vendor, whole and streamed: none passes for a result."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen
from loguru import logger

import pyscrai_core
from pyscrai_core import NoConfig, Observer, Position, RunResult, api
from pyscrai_core.calls import retry
from pyscrai_testing.servers import FaultServer

EVENTS = {"Content-Type": "text/event-stream"}
REFUSAL = "I'm sorry, I can't help with that."


@frozen
class Said:
    """What a model answers, before it is put into a vendor's form. `usage`: input and output tokens."""

    text: Any = ""
    thinking: str = ""
    calls: Sequence[tuple[Any, Any]] = ()
    finish: str | None = "stop"
    usage: Any = (50, 10)
    model: Any = "odd"
    more: Mapping[str, Any] = field(factory=dict)


def _sse(*data: Mapping[str, Any]) -> bytes:
    names = [f"event: {one['type']}\n" if isinstance(one.get("type"), str) else "" for one in data]
    return "".join(
        f"{name}data: {json.dumps(one)}\n\n" for name, one in zip(names, data, strict=True)
    ).encode()


def _halves(text: Any) -> list[Any]:
    return [text[: len(text) // 2], text[len(text) // 2 :]] if isinstance(text, str) and text else [text]


class Chat:
    use, base = "openai", "/v1"
    finish = {"stop": "stop", "length": "length", "filter": "content_filter", "refusal": "stop"}
    options: dict[str, Any] = {}

    def _usage(self, said: Said) -> dict[str, Any]:
        if said.usage is None:
            return {}
        return {"usage": dict(zip(("prompt_tokens", "completion_tokens"), said.usage, strict=True))}

    def _reason(self, said: Said) -> str | None:
        return "tool_calls" if said.calls else self.finish.get(str(said.finish), said.finish)

    def _calls(self, said: Said) -> list[dict[str, Any]]:
        return [{"id": "c1", "function": {"name": name, "arguments": text}} for name, text in said.calls]

    def whole(self, said: Said) -> bytes:
        message = {"content": said.text, "reasoning_content": said.thinking, "tool_calls": self._calls(said)}
        if said.finish == "refusal":
            message = {"content": None, "refusal": said.text}
        choice = {"index": 0, "message": message, "finish_reason": self._reason(said)}
        return json.dumps(
            {"model": said.model, "choices": [choice], **self._usage(said), **said.more}
        ).encode()

    def stream(self, said: Said) -> bytes:
        key = "refusal" if said.finish == "refusal" else "content"
        deltas: list[dict[str, Any]] = [
            {"reasoning": said.thinking},
            *({key: one} for one in _halves(said.text)),
        ]
        for name, arguments in said.calls:
            # The name in each piece, the same index for all.
            pieces = _halves(arguments)
            deltas += [
                {"tool_calls": [{"index": 0, "function": {"name": name, "arguments": one}}]} for one in pieces
            ]
        chunks = [{"model": said.model, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        end = {
            "choices": [{"index": 0, "delta": {}, "finish_reason": self._reason(said)}],
            **self._usage(said),
        }
        return _sse(*chunks, {**end, **said.more}) + b"data: [DONE]\n\n"


class Responses(Chat):
    options = {"api": "responses"}

    def _response(self, said: Said) -> dict[str, Any]:
        part = {"type": "refusal", "refusal": said.text} if said.finish == "refusal" else {"text": said.text}
        content = [part] if isinstance(said.text, str) else said.text
        output: list[dict[str, Any]] = [{"type": "message", "content": content}] if said.text else []
        if said.thinking:
            output.insert(0, {"type": "reasoning", "summary": [{"text": said.thinking}]})
        output += [
            {"type": "function_call", "call_id": "c1", "name": name, "arguments": text}
            for name, text in said.calls
        ]
        reasons = {"length": "max_output_tokens", "filter": "content_filter"}
        reason = {"reason": reasons[said.finish]} if said.finish in reasons else None
        usage = (
            None
            if said.usage is None
            else dict(zip(("input_tokens", "output_tokens"), said.usage, strict=True))
        )
        status = "incomplete" if reason else "completed"
        return {"model": said.model, "status": status, "incomplete_details": reason, "output": output,
                "usage": usage, **said.more}  # fmt: skip

    def whole(self, said: Said) -> bytes:
        return json.dumps(self._response(said)).encode()

    def stream(self, said: Said) -> bytes:
        deltas = [{"type": "response.output_text.delta", "delta": one} for one in _halves(said.text)]
        return _sse(*deltas, {"type": "response.completed", "response": self._response(said)})


class Anthropic:
    use, base = "anthropic", ""
    options: dict[str, Any] = {"schema": True}
    finish = {"stop": "end_turn", "length": "max_tokens", "filter": "content_filtered", "refusal": "refusal"}

    def _blocks(self, said: Said) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = [{"type": "text", "text": said.text}] if said.text else []
        if said.thinking:
            blocks.insert(0, {"type": "thinking", "thinking": said.thinking, "signature": "s"})
        return blocks + [
            {"type": "tool_use", "id": "c1", "name": name, "input": _decoded(text)}
            for name, text in said.calls
        ]

    def _message(self, said: Said) -> dict[str, Any]:
        usage = (
            None
            if said.usage is None
            else dict(zip(("input_tokens", "output_tokens"), said.usage, strict=True))
        )
        reason = "tool_use" if said.calls else self.finish.get(str(said.finish), said.finish)
        return {"model": said.model, "stop_reason": reason, "usage": usage, "type": "message", **said.more}

    def whole(self, said: Said) -> bytes:
        content = self._blocks(said) if isinstance(said.text, str) else said.text
        return json.dumps({"content": content, **self._message(said)}).encode()

    def stream(self, said: Said) -> bytes:
        message = self._message(said)
        usage = message["usage"] or {}
        sent: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
        ]
        for index, block in enumerate(self._blocks(said)):
            kind = block["type"]
            key, delta = {
                "text": ("text", "text_delta"),
                "thinking": ("thinking", "thinking_delta"),
                "tool_use": ("partial_json", "input_json_delta"),
            }[kind]
            full = json.dumps(block["input"]) if kind == "tool_use" else block[key]
            empty = {**block, "input": {}} if kind == "tool_use" else {**block, key: ""}
            sent.append({"type": "content_block_start", "index": index, "content_block": empty})
            sent += [
                {"type": "content_block_delta", "index": index, "delta": {"type": delta, key: one}}
                for one in _halves(full)
            ]
        end = {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"]}, "usage": usage}
        return _sse(*sent, end, {"type": "message_stop"})


class Ollama:
    use, base = "ollama", ""
    options: dict[str, Any] = {}

    def _lines(self, said: Said, texts: list[Any]) -> list[dict[str, Any]]:
        calls = [{"function": {"name": name, "arguments": text}} for name, text in said.calls]
        lines = [
            {"model": said.model, "message": {"role": "assistant", "content": one}, "done": False}
            for one in texts
        ]
        lines[0]["message"] |= {"thinking": said.thinking, "tool_calls": calls}
        counts = said.usage or ()
        reason = {"filter": "content_filter"}.get(str(said.finish), said.finish)
        lines[-1] |= {"done": True, "done_reason": reason, **said.more}
        lines[-1] |= dict(zip(("prompt_eval_count", "eval_count"), counts, strict=False))
        return lines

    def whole(self, said: Said) -> bytes:
        return json.dumps(self._lines(said, [said.text])[0]).encode()

    def stream(self, said: Said) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in self._lines(said, _halves(said.text)))


def _decoded(text: Any) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


FORMS = {"chat": Chat(), "responses": Responses(), "anthropic": Anthropic(), "ollama": Ollama()}


class Listener(Observer):
    """With one there, providers are asked for streams."""

    def __init__(self) -> None:
        super().__init__(NoConfig())
        self.text = ""

    def on_words(self, position: Position, text: str) -> None:
        self.text += text


@frozen
class Played:
    """A run, the requests that the server got, and what was shown while it was streamed."""

    result: RunResult
    requests: list[dict[str, Any]]
    shown: str

    @property
    def says(self) -> list[str]:
        return [event.payload["text"] for event in self.result.events if event.kind == "say"]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-none")


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def play(
    form: Any, streamed: bool, said: Sequence[Said | bytes], place: Path, provider: Any = (), **more: Any
) -> Played:
    """A run of two agents, in which the model gives the answers `said`, the last one again and again."""
    given = list(said)

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        one = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(one, bytes):
            return 200, {"Content-Encoding": "gzip"}, one
        if body.get("stream"):
            return 200, EVENTS, form.stream(one)
        return 200, {}, form.whole(one)

    scenario = {
        "scenario": "odd",
        "seed": 7,
        "world": {"premise": "A market at dawn.", "state": {"price": None}},
        "agents": {"Mara": {"persona": "A farmer."}, "Jon": {"persona": "A buyer."}},
        "schedule": {"use": "round-robin", "rounds": 1},
        "outcomes": {"price": "state.price"},
        **more,
    }
    listeners = [Listener()] if streamed else []
    with FaultServer(answer=answer) as server:
        options = {"use": form.use, "model": "odd", "base_url": server.url + form.base, "max_tokens": 200}
        scenario["providers"] = {"default": {**options, **form.options, **dict(provider)}}
        path = place / "odd.json"
        path.write_text(json.dumps(scenario))
        result = pyscrai_core.run(path, store=place / "runs.db", observers=listeners, trust=True)
    bodies = [json.loads(request.body) for request in server.requests]
    return Played(result, bodies, "".join(one.text for one in listeners))


OFFER = {
    "agents": {
        "Mara": {
            "persona": "A farmer.",
            "actions": {"offer": {"description": "name it", "price": {"type": "integer", "minimum": 1}}},
        }
    },
    "rules": [{"on": "offer", "set": {"price": "event.payload.price"}}],
}


OFFER_OF_TWO = {**OFFER, "agents": {**OFFER["agents"], "Jon": {"persona": "A buyer."}}}


def offer(price: str) -> str:
    return f'{{"say": "Mara: Nine!", "action": {{"offer": {{"price": {price}}}}}}}'


@pytest.mark.parametrize(
    "said",
    [
        Said("<think>hide it</think>\n\nNine coins."),
        Said("Nine coins.", thinking="hide it"),
        Said("<thinking>\nhide it\n</thinking>Nine coins.", thinking="hide it too"),
        Said("hide it\n</think>\n\nNine coins."),
    ],
    ids=["tag", "field", "both", "closed alone"],
)
def test_thoughts_are_not_words(said: Said, form: Any, streamed: bool, tmp_path: Path) -> None:
    played = play(form, streamed, [said], tmp_path)
    assert played.says == ["Nine coins.", "Nine coins."], played.result.error
    assert "hide it" not in json.dumps(played.requests)
    assert "hide" not in played.shown
    with api.Store.open(tmp_path / "runs.db") as store:
        calls = list(store.run("last").calls())
    assert all("hide it" in str(call["answer"]["thinking"]) for call in calls)


@pytest.mark.parametrize(
    "text",
    [f"```json\n{offer('9')}\n```", f"<think>{offer('1')}</think>{offer('9')}", f"Sure! {offer('9')} Deal?"],
    ids=["fence", "thoughts", "prose"],
)
def test_json_is_found(text: str, form: Any, streamed: bool, tmp_path: Path) -> None:
    played = play(form, streamed, [Said(text)], tmp_path, **OFFER)
    assert (played.result.outcomes, len(played.requests)) == ({"price": 9}, 1), played.result.error
    assert played.says == ["Nine!"]


@pytest.mark.parametrize("price", ["12345678901234567890123", '9, "price": 8'], ids=["large", "doubled"])
def test_json_that_is_ambiguous_is_asked_again(price: str, form: Any, tmp_path: Path) -> None:
    played = play(form, False, [Said(offer(price)), Said(offer("7"))], tmp_path, **OFFER)
    assert (played.result.outcomes, len(played.requests)) == ({"price": 7}, 2), played.result.error
    assert ("53 bits" if "," not in price else "stands twice") in json.dumps(played.requests[1])


@pytest.mark.parametrize("more", [{}, OFFER], ids=["words", "structured"])
@pytest.mark.parametrize("finish", ["refusal", "filter"])
def test_a_refusal_ends_the_run_or_is_skipped(
    finish: str, more: dict[str, Any], form: Any, streamed: bool, tmp_path: Path
) -> None:
    if form.use == "ollama":
        finish = "filter"  # it has no form for a refusal of the model
    said = [Said(REFUSAL, finish=finish), Said("Nine coins.")]
    played = play(form, streamed, said, tmp_path, **more)
    assert (played.result.status, played.says, len(played.requests)) == ("failed", [], 1)
    assert (REFUSAL in played.result.error, played.shown) == (True, "")
    assert ("filter" if finish == "filter" else "refused") in played.result.error
    assert played.result.usage.total == 60
    agents = {"Mara": {"on_error": "skip", "persona": "A farmer."}, "Jon": {"persona": "A buyer."}}
    skipped = play(form, streamed, said, tmp_path, agents=agents)
    assert (skipped.result.status, skipped.says) == ("completed", ["Nine coins."])
    assert skipped.result.usage.total == 120


def test_a_cut_off_answer_says_so(form: Any, streamed: bool, tmp_path: Path) -> None:
    cut, whole = Said("Well, I think that", finish="length"), Said("Nine coins.")
    kept = play(form, streamed, [cut], tmp_path)
    assert (kept.says, kept.result.truncated) == (["Well, I think that"] * 2, 2)
    assert all(event.payload["truncated"] for event in kept.result.events)
    repaired = play(form, streamed, [cut, whole], tmp_path, {"on_truncated": "repair"}.items())
    assert (repaired.says, repaired.result.truncated) == (["Nine coins."] * 2, 0)
    failed = play(form, streamed, [cut], tmp_path, {"on_truncated": "fail"}.items())
    assert "cut off after 10 tokens: raise max_tokens" in failed.result.error
    assert api.replay(store=tmp_path / "runs.db").fingerprint == failed.result.fingerprint


def test_an_agent_speaks_for_itself(form: Any, streamed: bool, tmp_path: Path) -> None:
    said = [
        Said("Mara: Nine coins.\n\nJon: Too much! Five.\n\nMara: Fine."),
        Said("Mara: You agreed to five."),
        Said("Jon (to Mara): Six."),
    ]
    played = play(form, streamed, said, tmp_path)
    assert (played.says, len(played.requests)) == (["Nine coins.", "Six."], 3), played.result.error
    with api.Store.open(tmp_path / "runs.db") as store:
        first = next(iter(store.run("last").calls()))
    assert "Too much" in first["answer"]["raw"]


@pytest.mark.parametrize(
    "text",
    [
        "[Mara] Nine coins.\n[Jon] Too much! Five.",
        "**Mara**\nNine coins.\n\n**Jon**\nToo much! Five.",
        "Mara says: Nine coins.\n\n---\nJon to Mara: Too much! Five.",
    ],
    ids=["chat", "headings", "script"],
)
def test_labels_of_speakers_are_no_words(text: str, form: Any, streamed: bool, tmp_path: Path) -> None:
    first = {"stop_when": "len(events) > 0"}
    played = play(form, streamed, [Said(text)], tmp_path, **first)
    assert (played.says, len(played.requests)) == (["Nine coins."], 1), played.result.error
    assert played.shown.replace("---", "").strip() == ("Nine coins." if streamed else "")
    answer = json.dumps({"say": text, "action": None})
    structured = play(form, streamed, [Said(answer)], tmp_path, **{**first, **OFFER_OF_TWO})
    assert structured.says == ["Nine coins."], structured.result.error
    assert "Too much" not in structured.shown
    assert "Nine coins." in structured.shown or not streamed


@pytest.mark.parametrize("begin", ["hide it</think>", "<think>hide it</think>"])
def test_thoughts_that_are_closed_again_are_not_shown(begin: str, form: Any, tmp_path: Path) -> None:
    text = f"{begin}hide more</think>Nine coins."
    played = play(form, True, [Said(text)], tmp_path)
    assert (played.says, played.shown) == (["Nine coins."] * 2, "Nine coins." * 2)


@pytest.mark.parametrize(
    ("say", "words"),
    [
        ("<think>hide it</think>Nine coins.", "Nine coins."),
        ("hide it</think>hide more</think>Nine coins.", "Nine coins."),
        ("<think>hide it", ""),
        ("**Thoughts:** hide it\n**Answer:** Nine coins.", "Nine coins."),
    ],
    ids=["tag", "closed alone", "never closed", "heading"],
)
def test_thoughts_in_a_structured_answer_are_not_shown(
    say: str, words: str, form: Any, tmp_path: Path
) -> None:
    answer = json.dumps({"say": say, "action": {"offer": {"price": 9}}})
    played = play(form, True, [Said(answer)], tmp_path, **OFFER)
    assert (played.says, played.result.outcomes) == ([words] if words else [], {"price": 9})
    assert json.loads(played.shown) == {"say": words, "action": {"offer": {"price": 9}}}


def test_what_a_reasoning_asks_for_is_not_shown(form: Any, tmp_path: Path) -> None:
    mara = {"persona": "A farmer.", "reasoning": "chain-of-thought"}
    played = play(form, True, [Said("hide it"), Said("Nine coins.")], tmp_path, agents={"Mara": mara})
    assert (played.says, played.shown) == (["Nine coins."], "Nine coins.")
    mara["reasoning"] = "react"
    step = Said(json.dumps({"thought": "hide it", "next": "answer"}))
    played = play(form, True, [step, Said("Nine coins.")], tmp_path, agents={"Mara": mara})
    assert (played.says, played.shown) == (["Nine coins."], "Nine coins.")


TOOLS = {"agents": {"Mara": {"persona": "A farmer.", "tools": ["./my_tools.py:stock"]}}}
TOOL = '''
from pyscrai_core import tool

@tool
def stock(of: str) -> str:
    """Tell the stock.

    Args:
        of: of what
    """
    return f"{of}: seven"
'''


@pytest.mark.parametrize(
    "said",
    [
        Said(calls=[("stock", '{"of": "apples"}'), ("stock", '{"of": "pears"}')]),
        Said("".join(f'<tool_call>{{"name": "stock", "arguments": {{"of": "{of}"}}}}</tool_call>'
                     for of in ("apples", "pears"))),
    ],
    ids=["calls", "text"],
)  # fmt: skip
def test_tool_calls_stay_apart(said: Said, form: Any, streamed: bool, tmp_path: Path) -> None:
    (tmp_path / "my_tools.py").write_text(TOOL)
    played = play(form, streamed, [said, Said("Done.")], tmp_path, **TOOLS)
    used = [event.payload for event in played.result.events if event.kind == "tool"]
    assert [one["arguments"] for one in used] == [{"of": "apples"}, {"of": "pears"}], played.result.error
    assert [one["result"] for one in used] == ["apples: seven", "pears: seven"]
    assert played.says == ["Done."]
    assert "call00001" in json.dumps(played.requests[1])
    assert "call00002" in json.dumps(played.requests[1])


@pytest.mark.parametrize(
    "text",
    [
        'Let me see.\n<tool_call>{"name": "stock", "arguments": {"of": "apples"}}</tool_call>',
        '[TOOL_CALLS]stock[ARGS]{"of": "apples"}',
        '{"name": "stock", "parameters": {"of": "apples"}}',
        '<|channel|>commentary to=functions.stock <|constrain|>json<|message|>{"of": "apples"}<|call|>',
    ],
    ids=["Hermes", "Mistral", "Llama", "harmony"],
)
def test_a_tool_call_as_text_is_made_and_never_said(
    text: str, form: Any, streamed: bool, tmp_path: Path
) -> None:
    (tmp_path / "my_tools.py").write_text(TOOL)
    played = play(form, streamed, [Said(text), Said("Done.")], tmp_path, **TOOLS)
    used = [event.payload for event in played.result.events if event.kind == "tool"]
    assert [one["result"] for one in used] == ["apples: seven"], played.result.error
    assert (played.says, len(played.requests)) == (["Done."], 2)
    assert played.shown.replace("Let me see.", "").strip() == ("Done." if streamed else "")
    unoffered = play(form, streamed, [Said(text), Said("Done.")], tmp_path)
    assert (unoffered.says, len(unoffered.requests)) == (["Done.", "Done."], 3), unoffered.result.error
    assert "stock" not in unoffered.shown


@pytest.mark.parametrize(
    "said",
    [
        Said(calls=[("stock", '{"of": "app')]),
        Said(calls=[("stock", '{"of": NaN}')]),
        Said(calls=[(None, "{}")]),
    ],
    ids=["cut", "NaN", "nameless"],
)
def test_a_tool_call_that_cannot_be_made_is_told_to_the_model(said: Said, form: Any, tmp_path: Path) -> None:
    (tmp_path / "my_tools.py").write_text(TOOL)
    played = play(form, False, [said, Said("Done.")], tmp_path, **TOOLS)
    assert (played.says, len(played.requests)) == (["Done."], 2), played.result.error
    assert "not a valid answer: it calls " in json.dumps(played.requests[1])
    assert played.result.usage.total == 120
    failed = play(form, False, [said], tmp_path, **TOOLS).result
    assert "agents.Mara, step 1: provider 'default': it calls " in failed.error
    assert "after 2 repairs" in failed.error


@pytest.mark.parametrize(
    "odd", [Said({"a": 1}), Said(7), Said("Nine \ud83d coins.")], ids=["object", "number", "half a character"]
)
def test_a_malformed_answer_is_asked_again(odd: Said, form: Any, streamed: bool, tmp_path: Path) -> None:
    played = play(form, streamed, [odd, Said("Nine coins.")], tmp_path)
    assert (played.says, len(played.requests)) == (["Nine coins."] * 2, 3), played.result.error
    assert played.result.usage.total == 180
    assert api.replay(store=tmp_path / "runs.db").fingerprint == played.result.fingerprint


@pytest.mark.parametrize("usage", [("many", -3), (1, 10)], ids=["no numbers", "too few"])
def test_odd_usage_is_told_once(usage: Any, form: Any, streamed: bool, tmp_path: Path) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    try:
        schedule = {"use": "round-robin", "rounds": 3}
        played = play(form, streamed, [Said("Nine coins.", usage=usage)], tmp_path, schedule=schedule)
    finally:
        logger.remove(sink)
    assert (len(played.says), played.result.usage.estimated) == (6, True)
    assert len([line for line in lines if "usage" in line]) == 1, lines


@pytest.mark.parametrize(
    "said",
    [
        Said("Nine coins.", usage=None),
        Said("Nine coins.", usage=("many", -3)),
        Said("Nine coins.", usage=(0, 0)),
        Said("Nine coins.", usage=None, more={"usage": "many"}),
        Said("Nine coins.", usage=None, more={"usage": [50, 10]}),
        Said("Nine coins.", finish=None),
        Said("Nine coins.", model=["odd"]),
    ],
    ids=["no usage", "odd usage", "zeros", "usage as text", "usage as a list", "no reason", "odd model"],
)
def test_odd_bookkeeping_does_not_cost_an_answer(
    said: Said, form: Any, streamed: bool, tmp_path: Path
) -> None:
    played = play(form, streamed, [said], tmp_path)
    assert (played.says, len(played.requests)) == (["Nine coins."] * 2, 2), played.result.error
    assert played.result.usage.estimated is (said.usage != (50, 10))
    assert played.result.usage.input_tokens > 0
    assert played.result.usage.output_tokens > 0


def test_a_budget_holds_without_usage(form: Any, streamed: bool, tmp_path: Path) -> None:
    schedule = {"use": "round-robin", "rounds": 50}
    said = [Said("Nine coins.", usage=None)]
    played = play(form, streamed, said, tmp_path, limits={"tokens": 2000}, schedule=schedule)
    assert (played.result.status, len(played.requests) < 10) == ("stopped", True)


def test_half_an_answer_that_fails_is_paid_for(tmp_path: Path) -> None:
    class Fails(Responses):
        def stream(self, said: Said) -> bytes:
            failed = {"status": "failed", "error": {"code": "content_filter", "message": "no"}, "output": []}
            end = {"type": "response.failed", "response": failed}
            return _sse({"type": "response.output_text.delta", "delta": said.text}, end)

    played = play(Fails(), True, [Said("Well")], tmp_path)
    assert played.result.status == "failed"
    assert played.result.usage.estimated
    assert played.result.usage.output_tokens > 0


def test_an_answer_with_damaged_compression_is_paid_for(form: Any, tmp_path: Path) -> None:
    damaged = gzip.compress(b'{"choices": []}')[:-12] + b"x" * 12
    played = play(form, False, [damaged, Said("Nine coins.")], tmp_path)
    assert played.says == ["Nine coins.", "Nine coins."], played.result.error
    assert played.result.usage.estimated
    assert played.result.usage.input_tokens > 100


def test_a_large_answer_is_not_read(form: Any, tmp_path: Path) -> None:
    bomb = gzip.compress(b'{"choices": "' + b" " * 60_000_000)
    played = play(form, False, [bomb], tmp_path, {"max_answer_bytes": 100_000}.items())
    assert played.result.status == "failed"
    assert "more than 100,000 bytes" in played.result.error


def test_an_answer_that_never_fits_is_counted_as_often_as_it_was_asked_for(tmp_path: Path) -> None:
    play(FORMS["chat"], False, [Said("I would say nine.")], tmp_path, **OFFER)
    with api.Store.open(tmp_path / "runs.db") as store:
        run = store.run("last")
        assert run.count_calls() == 3
        assert {agent: calls for agent, (calls, _) in run.usage_by_agent().items()} == {"Mara": 3}


def test_a_call_by_name_is_not_said_where_no_tool_can_be_used_any_more(tmp_path: Path) -> None:
    (tmp_path / "my_tools.py").write_text(TOOL)
    played = play(FORMS["chat"], False, [Said('stock{"of": "apples"}')], tmp_path, **TOOLS)
    assert (played.result.status, played.says) == ("failed", [])
    assert "keeps calling tools" in played.result.error
