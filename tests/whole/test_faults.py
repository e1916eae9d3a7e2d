"""Whole runs against vendors that fail: what can pass leaves no trace in the log, the rest ends the run."""

from __future__ import annotations

import email.utils
import hashlib
import json
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import CallRecord, NoConfig, Observer, Position, RunResult, api
from pyscrai_core.calls import retry
from pyscrai_testing.servers import Fault, FaultServer, Hang, Reply, Reset

#: What a vendor says of a fault.
WORDS = "the vendor's own words"
#: So many calls are answered before the one that meets the fault; a run has six.
BEFORE = 3
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def events(*data: dict[str, Any]) -> bytes:
    named = (f"event: {one['type']}\n" if "type" in one else "" for one in data)
    return "".join(
        f"{name}data: {json.dumps(one)}\n\n" for name, one in zip(named, data, strict=True)
    ).encode()


def words_for(body: dict[str, Any]) -> str:
    """Words that follow from all that is asked, however it is sent."""
    asked = {key: value for key, value in body.items() if not key.startswith("stream")}
    return f"Word {hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]}, I say."


class OpenAI:
    """What OpenAI's chat interface answers."""

    use, base = "openai", "/v1"
    unknown = {"type": "invalid_request_error", "code": "model_not_found", "message": "no model m-7"}
    unpaid = {"type": "insufficient_quota", "code": "insufficient_quota"}
    too_long = {"type": "invalid_request_error", "code": "context_length_exceeded"}
    too_long["message"] = "This model's maximum context length is 8192 tokens."

    def body(self, text: str) -> bytes:
        choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 4}
        return json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()

    def _chunk(self, text: str, finish: str | None = None) -> dict[str, Any]:
        return {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}

    def stream(self, text: str) -> bytes:
        usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
        pieces = [self._chunk(text[:6]), self._chunk(text[6:]), self._chunk("", "stop"), usage]
        return events(*pieces) + b"data: [DONE]\n\n"

    def stream_error(self) -> bytes:
        return events(self._chunk("Word "), {"error": {"message": WORDS, "type": "server_error"}})

    def error(self, **said: Any) -> bytes:
        return json.dumps({"error": {"message": WORDS, **said}}).encode()


class Anthropic:
    """What Anthropic's Messages API answers."""

    use, base = "anthropic", ""
    unknown = {"type": "not_found_error", "message": "model: m-7"}
    unpaid = {"type": "rate_limit_error", "details": {"error_code": "workspace_spend_limit_reached"}}
    too_long = {"type": "invalid_request_error", "message": "prompt is too long: 9000 tokens > 8192 maximum"}

    def _message(self, content: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
        usage = {"input_tokens": 9, "output_tokens": 4}
        return {"model": "m", "content": content, "stop_reason": stop, "usage": usage}

    def body(self, text: str) -> bytes:
        return json.dumps(self._message([{"type": "text", "text": text}], "end_turn")).encode()

    def _stream(self, text: str, *end: dict[str, Any]) -> bytes:
        pieces = [{"type": "text_delta", "text": part} for part in (text[:6], text[6:])]
        return events(
            {"type": "message_start", "message": self._message([], None)},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({"type": "content_block_delta", "index": 0, "delta": piece} for piece in pieces),
            *end,
        )

    def stream(self, text: str) -> bytes:
        return self._stream(
            text,
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        )

    def stream_error(self) -> bytes:
        return self._stream(
            "Word ", {"type": "error", "error": {"type": "overloaded_error", "message": WORDS}}
        )

    def error(self, **said: Any) -> bytes:
        return json.dumps({"type": "error", "error": {"message": WORDS, **said}}).encode()


Vendor = OpenAI | Anthropic
VENDORS = [OpenAI(), Anthropic()]
STREAM, PAGE = {"Content-Type": "text/event-stream"}, {"Content-Type": "text/html"}


class Watcher(Observer):
    """Keeps what it is told of calls."""

    def __init__(self) -> None:
        super().__init__(NoConfig())
        self.calls: list[CallRecord] = []
        self.text = ""

    def on_call(self, call: CallRecord) -> None:
        self.calls.append(call)


class Listener(Watcher):
    """With one there, providers are asked for streams."""

    def on_words(self, position: Position, text: str) -> None:
        self.text += text


def answering(vendor: Vendor, path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    """What the vendor answers when nothing is wrong."""
    if body.get("stream"):
        return 200, STREAM, vendor.stream(words_for(body))
    return 200, {}, vendor.body(words_for(body))


def scenario(vendor: Vendor, url: str, place: Path, **options: Any) -> Path:
    provider = {"use": vendor.use, "model": "m", "base_url": url + vendor.base, "max_tokens": 40, **options}
    path = place / "talk.json"
    path.write_text(
        json.dumps(
            {
                "scenario": "talk",
                "seed": 3,
                "providers": {"default": provider},
                "agents": {"Mara": {"persona": "A farmer."}, "Jon": {"persona": "A buyer."}},
                "schedule": {"use": "round-robin", "rounds": 3},
            }
        )
    )
    return path


def log_of(result: RunResult) -> bytes:
    return b"\n".join(event.line() for event in result.events)


@pytest.fixture(scope="module", params=VENDORS, ids=lambda vendor: vendor.use)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return request.param


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(scope="module")
def undisturbed(
    vendor: Vendor, streamed: bool, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, list[Reply]]:
    """The log of the run in which nothing goes wrong, and what the vendor answered."""
    place = tmp_path_factory.mktemp("undisturbed")
    good: list[Reply] = []

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        status, headers, answered = answering(vendor, path, body)
        good.append(Reply(status, answered, headers))
        return status, headers, answered

    listeners = [Listener()] if streamed else []
    with FaultServer(answer=answer) as server:
        path = scenario(vendor, server.url, place)
        result = pyscrai_core.run(path, store=place / "runs.db", observers=listeners)
    assert (result.status, len(good)) == ("completed", 6), result.error
    assert all((reply.headers == STREAM) is streamed for reply in good)
    texts = [event.payload["text"] for event in result.events]
    assert len(set(texts)) == 6, "each request has words of its own"
    assert all(listener.text == "".join(texts) for listener in listeners)
    return log_of(result), good


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is tried again at once."""
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0.01)


def passing(vendor: Vendor, good: Reply) -> dict[str, tuple[Fault, str]]:
    """What can pass, in the place of the answer `good`, and the error that the attempt is recorded with."""

    def refused(status: int, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status, vendor.error(type=TYPES.get(status, "api_error")), named)

    half, whole = good.body[: len(good.body) // 2], len(good.body)
    date = email.utils.formatdate(time.time(), usegmt=True)
    return {
        "429, wait 0.02 s": (refused(429, Retry_After="0.02"), "RateLimited"),
        "429, wait until": (refused(429, Retry_After=date), "RateLimited"),
        "429": (refused(429), "RateLimited"),
        "500": (refused(500), "Overloaded"),
        "502, a proxy's page": (Reply(502, b"<html>Bad gateway</html>", PAGE), "Overloaded"),
        "529": (refused(529), "Overloaded"),
        "hang": (Hang(), "TimedOut"),
        "hang midway": (Hang(Reply(200, half, good.headers, whole)), "TimedOut"),
        "reset": (Reset(), "Overloaded"),
        "reset midway": (Reset(Reply(200, half, good.headers, whole)), "Overloaded"),
        "cut off": (Reply(200, half, good.headers, whole), "Overloaded"),
        "cut off, and its length says so": (Reply(200, half, good.headers), "Overloaded"),
        "another type": (Reply(200, b"<html>Hello</html>", PAGE), "Overloaded"),
        "200 with an error": (Reply(200, vendor.error(type="overloaded_error")), "Overloaded"),
        "an error in the stream": (Reply(200, vendor.stream_error(), STREAM), "Overloaded"),
    }


@pytest.mark.parametrize("fault", passing(OpenAI(), Reply()))
def test_what_passes_leaves_no_trace_in_the_log(
    fault: str, vendor: Vendor, streamed: bool, undisturbed: tuple[bytes, list[Reply]], tmp_path: Path
) -> None:
    if fault == "an error in the stream" and not streamed:
        pytest.skip("it needs a stream")
    log, good = undisturbed
    met, error = passing(vendor, good[BEFORE])[fault]
    watcher = Listener() if streamed else Watcher()
    patience = {"timeout": 1} if "hang" in fault else {}
    faults = (*good[:BEFORE], met)
    with FaultServer(*faults, answer=lambda *asked: answering(vendor, *asked)) as server:
        path = scenario(vendor, server.url, tmp_path, **patience)
        result = pyscrai_core.run(path, store="runs.db", observers=[watcher])
    assert result.status == "completed", result.error
    assert log_of(result) == log
    assert len(server.requests) == 7
    assert server.requests[BEFORE].body == server.requests[BEFORE + 1].body
    with api.Store.open("runs.db") as store:
        run = store.run("last")
        recorded = [call["attempts"] for call in run.calls()]
        assert run.attempts() == (1, 1)
    (attempt,) = recorded[BEFORE]
    assert (attempt["provider"], attempt["error"]) == ("default", error)
    assert attempt["detail"].startswith("provider 'default': ")
    assert attempt["wait"] >= (0.02 if "0.02" in fault else 0)
    told = [call for call in watcher.calls if call.status == "retrying"]
    assert [call.error for call in told] == [f"{error}: {attempt['detail']}"]
    assert api.replay(store="runs.db").fingerprint == result.fingerprint


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="pyscrai")


#: What cannot pass: a status, what the vendor says (that status's type, or words of its own), and our words.
LASTING: list[tuple[int, int | str, str]] = [
    (400, 400, WORDS),
    (401, 401, r"got no key, as \w+_API_KEY goes to"),
    (403, 403, r"got no key, as \w+_API_KEY goes to"),
    (404, 404, "check .*`base_url"),
    (404, "unknown", "check .*`model.*m-7"),
    (400, "too_long", "8192.* give the agent a `window` memory"),
    (413, 413, WORDS),
    (200, 400, WORDS),
    (200, 401, r"got no key, as \w+_API_KEY goes to"),
    (429, "unpaid", "raise (its|the) limit"),
]


@pytest.mark.parametrize("status, says, expected", LASTING)
def test_what_cannot_pass_ends_the_run_at_once(
    status: int, says: int | str, expected: str, vendor: Vendor, tmp_path: Path
) -> None:
    good = [Reply(200, vendor.body(f"Word {number}.")) for number in range(BEFORE)]
    body = vendor.error(**(getattr(vendor, says) if isinstance(says, str) else {"type": TYPES[says]}))
    with FaultServer(*good, Reply(status, body, {"Retry-After": "0"}), answer=lambda *_: None) as server:
        path = scenario(vendor, server.url, tmp_path, model="m-7")
        ended = command("run", str(path), "--json")
    assert ended.exit_code == 1, ended.output
    error = json.loads(ended.stdout)["error"]
    assert re.search(expected, error)
    assert json.loads(body)["error"]["message"] in error
    assert error.startswith("agents.Jon, step 4: provider 'default': ")
    assert f"error: {error}" in ended.stderr
    assert "Traceback" not in ended.output
    assert len(server.requests) == BEFORE + 1
    with api.Store.open(".pyscrai/runs.db") as store:
        run = store.run("last")
        assert (run.status, run.error, len(list(run.events()))) == ("failed", error, BEFORE)
        assert run.attempts() == (0, 0)


def test_an_address_where_nobody_listens(vendor: Vendor, tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, so that nobody else gets the port, but not listening
        taken.bind(("127.0.0.1", 0))
        address = "http://{}:{}".format(*taken.getsockname())
        ended = command("run", str(scenario(vendor, address, tmp_path)), "--json")
    assert ended.exit_code == 1, ended.output
    error = json.loads(ended.stdout)["error"]
    assert f"no connection to {address}" in error
    assert "tried 2 times; nothing has ever answered there: is the address right?" in error
    assert "Traceback" not in ended.output
