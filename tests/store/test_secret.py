"""Keys stay secret, whatever fails: a planted one is looked for in all that is printed and written."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pyscrai_core import ConfigError, Provider, read_secret
from pyscrai_core.plugins import Host
from pyscrai_core.scenario.plan import provider_of
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.secret import redact, redact_bytes
from pyscrai_testing.servers import FaultServer, Hang, Reply

COMMAND = [sys.executable, "-m", "pyscrai_cli.main"]
VARIABLES = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_KEY")
PROVIDERS: dict[str, dict[str, Any]] = {
    "openai": {"use": "openai", "base": "/v1", "api_key": "OPENAI_API_KEY"},
    "named": {"use": "openai", "base": "/v1", "api_key": "MY_KEY"},
    "anthropic": {"use": "anthropic", "base": "", "api_key": "ANTHROPIC_API_KEY"},
    "ollama": {"use": "ollama", "base": "", "api_key": "MY_KEY"},
}

PLUGIN = """
import os
from pyscrai_core import Completion, Extension, Provider, hookimpl, read_secret
from attrs import frozen

pyscrai_api = 1

@hookimpl
def pyscrai_providers():
    return [Extension("clumsy", "clumsy:Clumsy")]

@frozen
class Config:
    at: str

class Clumsy(Provider):
    "Raises errors that hold its key."
    Config = Config

    def fail(self, at):
        if at == self.config.at:
            try:
                raise ValueError(f"Authorization: Bearer {os.environ['MY_KEY']}")
            except ValueError as error:
                raise RuntimeError(f"cannot use {os.environ['MY_KEY']}") from error

    async def aopen(self):
        read_secret("MY_KEY", "this test")
        self.fail("aopen")

    async def aclose(self):
        self.fail("aclose")

    async def complete(self, request, sink=None):
        self.fail("complete")
        return Completion("Hello.", model="m")

    async def probe(self):
        read_secret("MY_KEY", "this test")
        self.fail("probe")
"""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The planted keys, by their variables; their characters are those that keys have."""
    planted = {name: f"sk-{secrets.token_urlsafe(24)}+/={secrets.token_hex(4)}" for name in VARIABLES}
    for name, key in planted.items():
        monkeypatch.setenv(name, key)
    monkeypatch.setenv("PYSCRAI_DEBUG", "1")  # with tracebacks
    return planted


def execute(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    shown.append(f"{done.stdout}\n{done.stderr}")
    return done


shown: list[str] = []


@pytest.fixture(autouse=True)
def nothing_shows(keys: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """Whatever a test did: no key in what was printed and in the files that are there now."""
    shown.clear()
    yield
    texts = {f"output {number}": text.encode() for number, text in enumerate(shown)}
    texts |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name, key in keys.items():
        encoded = base64.b64encode(key.encode()).decode().rstrip("=")
        every = "".join(f"%{byte:02x}" for byte in key.encode())
        for form in (key, encoded, quote(key, safe=""), every, every.upper(), key[:16], key[-16:]):
            for where, data in texts.items():
                at = data.find(form.encode())
                assert at < 0, f"{name} shows in {where}: …{data[max(0, at - 200) : at + 60]!r}"


def openai_form(text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}


def anthropic_form(text: str) -> dict[str, Any]:
    content, usage = [{"type": "text", "text": text}], {"input_tokens": 9, "output_tokens": 4}
    return {"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage}


def ollama_form(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}, "done": True, "done_reason": "stop"}


FORMS = {"openai": openai_form, "named": openai_form, "anthropic": anthropic_form, "ollama": ollama_form}
#: How the server repeats what it was sent.
FAULTS = ("401", "400", "404", "429", "502", "page", "error", "text", "model", "broken", "call")


class Echo:
    """Answers to `/FAULT/VENDOR/…` with the request's headers, in all places that there are."""

    def __init__(self, padding: int) -> None:
        self.padding = "." * padding
        self.server = FaultServer(answer=self.answer)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        received = self.server.requests[-1].headers
        told = self.padding + "; ".join(
            f"{name}: {received[name]}" for name in ("authorization", "x-api-key") if name in received
        )
        fault, vendor = path.split("/")[1:3]
        if fault == "page":
            return 502, {"Content-Type": "text/html", "X-Echo": told}, f"<p>{told}</p>".encode()
        if fault == "broken":
            return 200, {}, f"{told} is no JSON".encode()
        error: Any = {"type": told, "code": told, "message": told, "param": told}
        if vendor == "ollama":
            error = told
        if fault.isdigit():
            return int(fault), {"X-Echo": told}, json.dumps({"error": error, told: told}).encode()
        if fault == "error":
            return 200, {}, json.dumps({"type": "error", "error": error}).encode()
        form = {"model": told if fault == "model" else "m", **FORMS[vendor](told)}
        if fault == "call" and vendor != "anthropic":
            function = {"name": told, "arguments": {"a": told} if vendor == "ollama" else told}
            message = form["message"] if vendor == "ollama" else form["choices"][0]["message"]
            message["tool_calls"] = [{"id": told, "function": function}]
        return 200, {}, json.dumps(form).encode()


def write(providers: dict[str, dict[str, Any]], **agents: Any) -> str:
    """A scenario in which each provider is asked once, each by an agent of its own."""
    scenario = {
        "scenario": "leaks",
        "providers": providers,
        "agents": {f"Of_{name}": {"provider": name, "memory": None, **agents} for name in providers},
        "schedule": {"use": "simultaneous", "rounds": 1},
        "limits": {"concurrency": 1},
    }
    Path("leaks.json").write_text(json.dumps(scenario))
    return "leaks.json"


def options(url: str, fault: str, vendor: str) -> dict[str, Any]:
    given = dict(PROVIDERS[vendor])
    address = f"{url}/{fault}/{vendor}{given.pop('base')}"
    return {**given, "base_url": address, "model": "m", "retry": {"tries": 1}}


def look() -> None:
    """Read what was recorded in every way there is."""
    for arguments in (("show",), ("show", "--json"), ("log",), ("runs",)):
        assert execute(*arguments).returncode == 0
    for form in ("jsonl", "csv", "html", "graphml"):
        assert execute("export", "--format", form, "--out", form).returncode == 0


def toml(name: str, given: dict[str, Any]) -> str:
    lines = (f"{key} = {json.dumps(value)}" for key, value in given.items() if key != "retry")
    return "\n".join([f"[providers.{name}]", *lines, "", ""])


@pytest.mark.parametrize("padding", [0, 38, 78, 258, 458])
@pytest.mark.slow
def test_servers_that_repeat_the_key(padding: int, keys: dict[str, str]) -> None:
    """With `padding` 20 of its characters stand before the 80th, 120th, 300th, 500th: where words are cut."""
    with Echo(padding).server as server:
        given = {f"{v}_{fault}": options(server.url, fault, v) for v in PROVIDERS for fault in FAULTS}
        file = write(given, on_error="skip")
        if not padding:
            ended = execute("run", file, "--trust", "--set", "agents.Of_openai_401.on_error=fail")
            assert ended.returncode == 1, ended.stderr
            assert "check the key in OPENAI_API_KEY" in ended.stderr
            Path("pyscrai.toml").write_text("".join(toml(name, one) for name, one in given.items()))
            assert execute("doctor").returncode == 1
        ended = execute("run", file, "--trust", "--json", "--log-file", "log.jsonl")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["status"] == "completed"
    sent = {value for received in server.requests for value in received.headers.values()}
    assert all(any(key in value for value in sent) for key in keys.values()), "the keys were not sent"
    log = execute("log").stdout
    assert all(f"[{name}]" in log for name in VARIABLES), "their names stand where they would"
    if padding:
        return
    for form in ("jsonl", "csv", "html", "graphml"):
        assert execute("export", "--format", form, "--out", form).returncode == 0
    for arguments in (("show",), ("show", "--json"), ("runs", "--json"), ("replay",)):
        assert execute(*arguments).returncode == 0


@pytest.mark.parametrize(
    "at, status, said",
    [
        ("aopen", 1, "raised RuntimeError: cannot use [MY_KEY]; tell its author"),
        ("complete", 1, "RuntimeError: cannot use [MY_KEY]; an error that its plugin does not explain"),
        ("aclose", 0, "could not be closed"),
        ("probe", 1, "RuntimeError: cannot use [MY_KEY]; tell its author"),
    ],
)
def test_plugins_whose_errors_hold_the_key(
    at: str, status: int, said: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path_factory.mktemp("site")
    info = site / "clumsy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clumsy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyscrai]\nclumsy = clumsy\n")
    (site / "clumsy.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    given = {"use": "clumsy", "at": at}
    if at == "probe":
        Path("pyscrai.toml").write_text(toml("default", given))
        ended = execute("doctor")
    else:
        ended = execute("run", write({"default": given}), "--log-file", "log.jsonl")
    assert ended.returncode == status, ended.stderr
    assert said in ended.stdout + ended.stderr
    if at in ("aopen", "aclose"):
        assert "Traceback (most recent call last)" in ended.stderr
        assert "Authorization: Bearer [MY_KEY]" in ended.stderr


def test_what_is_said_on_a_terminal(keys: dict[str, str]) -> None:
    """The words of a stream, as they come; it hangs, so that they stay for a while."""
    texts = ("It is ", keys["OPENAI_API_KEY"], " now")
    chunks = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    words = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode()
    stream = Reply(200, words, {"Content-Type": "text/event-stream"}, length=len(words) + 1)
    with FaultServer(Hang(stream)) as server:
        given = {"use": "openai", "base_url": server.url, "model": "m", "timeout": 2, "retry": {"tries": 1}}
        given["split_thoughts"] = False  # which the first answer is waited for
        command = [*COMMAND, "run", write({"default": given})]
        program = f"import pty, sys; sys.exit(pty.spawn({command}))"
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    shown.append(done.stdout)
    assert "It is [OPENAI_API_KEY] " in done.stdout


def test_representations(keys: dict[str, str]) -> None:
    async def look(provider: Provider) -> None:
        await provider.aopen()
        shown.append(provider.account)
        for part in (provider, *vars(provider).values()):
            if not isinstance(part, str):
                shown.append(repr(part))
        await provider.aclose()

    for given in PROVIDERS.values():
        use = {**{key: value for key, value in given.items() if key != "base"}, "model": "m"}
        asyncio.run(
            look(provider_of("default", {**use, "base_url": "http://127.0.0.1:1"}, Host(), Gate(trust=True)))
        )


@pytest.mark.parametrize("mark", [" ", '"', "\\", "\n", "é"])
def test_a_key_that_would_look_otherwise_in_json(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f"secret{mark}secret")
    with pytest.raises(
        ConfigError, match="MY_KEY: its value has spaces or characters that no key has"
    ) as caught:
        read_secret("MY_KEY", "this test")
    assert "secret" not in str(caught.value)


def test_a_key_that_is_cut_off(keys: dict[str, str]) -> None:
    first, second = keys["OPENAI_API_KEY"], keys["MY_KEY"]
    for name in VARIABLES:
        read_secret(name, "this test")
    assert redact(f"{first}{second[:20]}…") == "[OPENAI_API_KEY][MY_KEY]…"
    assert redact(f"{first[:12]}-{second[:11]}-{second}") == f"{first[:12]}-{second[:11]}-[MY_KEY]"
    assert redact_bytes(f"é{second[:30]}".encode()) == "é[MY_KEY]".encode()
