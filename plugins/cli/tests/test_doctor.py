"""`pyscrai doctor` on providers in all their states, and what a person is told of bad input."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyscrai_cli import plugins
from pyscrai_cli.main import cli
from pyscrai_core import api
from pyscrai_testing.servers import FaultServer

COMMAND = [sys.executable, "-m", "pyscrai_cli.main"]
#: Each vendor's address below the server's, and the variable with its key.
VENDORS = {
    "openai": ("/v1", "OPENAI_API_KEY"),
    "anthropic": ("", "ANTHROPIC_API_KEY"),
    "ollama": ("", "OLLAMA_KEY"),
}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first probe of a vendor imports its SDK, which can take long on a busy machine."""
    monkeypatch.setattr(plugins, "PROBE_SECONDS", 300.0)


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, variable in VENDORS.values():
        monkeypatch.delenv(variable, raising=False)


def execute(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def configure(**providers: dict[str, Any]) -> None:
    lines: list[str] = []
    for name, given in providers.items():
        lines += [f"[providers.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in given.items())]
    Path("pyscrai.toml").write_text("\n".join(lines))


def vendor(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    """A server that has the model `known`, in the ways of all three vendors."""
    if path == "/v1/models":
        return 200, {}, b'{"data": [{"id": "known"}]}'
    if path == "/api/version":
        return 200, {}, b'{"version": "0.40.2"}'
    if path == "/v1/models/known" or body.get("model") == "known":
        return 200, {}, b'{"id": "known", "type": "model", "capabilities": ["tools"]}'
    return 404, {}, json.dumps({"error": f"model '{body.get('model')}' not found"}).encode()


def refusing(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    return 401, {}, b'{"error": {"type": "authentication_error", "message": "who are you?"}}'


def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return "http://{}:{}".format(*taken.getsockname())


@pytest.mark.parametrize("use", VENDORS)
@pytest.mark.parametrize("state", ["no key", "server down", "wrong key", "unknown model", "fine"])
@pytest.mark.slow
def test_doctor_tells_what_is_wrong_with_a_vendor(
    use: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, variable = VENDORS[use]
    if state != "no key":
        monkeypatch.setenv(variable, "planted-key-1234")
    with FaultServer(answer=refusing if state == "wrong key" else vendor) as server:
        url = {"no key": "https://models.example", "server down": closed()}.get(state, server.url)
        model = "strange" if state == "unknown model" else "known"
        configure(mine={"use": use, "model": model, "base_url": url + base, "api_key": variable})
        shown = CliRunner().invoke(cli, ["doctor", "--trust"], prog_name="pyscrai")
    told = shown.stdout.partition("providers of pyscrai.toml\n")[2]
    assert told.splitlines()[0].split() == ["mine", model]
    # Others that speak Anthropic's interface need not have its list of models.
    good = state == "fine" or (use, state) == ("anthropic", "unknown model")
    assert shown.exit_code == (0 if good else 1), told
    assert (re.search(r"^ +\w+ +no ", told, re.MULTILINE) is None) is good, told
    expected = {
        "no key": rf"key +no +{variable}: the environment variable is not set, .*export {variable}=",
        "server down": rf"server +no +.*no connection to {url}",
        "wrong key": rf"(key|server) +no +.*(who are you|does not accept the key in {variable})",
        "unknown model": r"server +yes.*\(status 404\)" if good else "model +no +.*strange",
        "fine": r"server +yes.*\(status 200\)" if use == "anthropic" else "model +yes +.*known",
    }[state]
    assert re.search(expected, told), told
    assert bool(server.requests) is (state not in ("no key", "server down"))


@pytest.mark.slow
def test_doctor_on_four_vendors_and_offline() -> None:
    keys = {variable: "planted-key-1234" for _, variable in VENDORS.values()}
    with FaultServer(answer=vendor) as server:
        chosen = {
            use: {"use": use, "model": "known", "base_url": server.url + base, "api_key": variable}
            for use, (base, variable) in VENDORS.items()
        }
        configure(**chosen, local={"use": "llamacpp"})
        refused = execute("doctor", **keys)
        assert (refused.returncode, server.requests) == (1, [])
        assert "1. read the secret in the environment variable: OPENAI_API_KEY" in refused.stdout
        fine = execute("doctor", "--trust", **keys)
        assert fine.returncode == 0, fine.stdout
        assert len(server.requests) == 4
        told = fine.stdout.partition("providers of pyscrai.toml\n")[2]
        assert re.search(r"local.*\n +weights +yes +SmolLM2", told), told
        configure(**chosen, local={"use": "llamacpp", "model": "missing.gguf"})
        broken = execute("doctor", "--trust", **keys)
        assert broken.returncode == 1
        assert re.search("local.*\n +weights +no .*missing.gguf", broken.stdout), broken.stdout
        asked = len(server.requests)
        offline = execute("doctor", "--offline")
        assert (offline.returncode, len(server.requests)) == (0, asked)
        for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
            assert f"{variable} is not set" in offline.stdout


def test_doctor_on_a_scenario() -> None:
    with FaultServer(answer=vendor) as server:
        given = {"use": "openai", "base_url": f"{server.url}/v1"}
        for model, status in (("known", 0), ("strange", 1)):
            scenario = {"providers": {"default": {**given, "model": model}}, **TALK}
            Path("talk.json").write_text(json.dumps(scenario))
            shown = CliRunner().invoke(cli, ["doctor", "talk.json"], prog_name="pyscrai")
            assert shown.exit_code == status, shown.output


def test_doctor_shows_settings_and_no_secrets() -> None:
    shown = execute("doctor", PYSCRAI_STORE="my.db", PYSCRAI_LAB_KEY="planted-key-1234").stdout
    assert re.search(r"PYSCRAI_STORE +my\.db", shown)
    assert "planted" not in shown


TALK: dict[str, Any] = {
    "scenario": "talk",
    "agents": {"Mara": {}},
    "schedule": {"use": "round-robin", "rounds": 1},
}
NO_KEY = r"^error: %s_API_KEY: the environment variable is not set, expected .*; set it with: export "
SCRIPTED = {"use": "scripted", "replies": ["Hello."], "max_tokens": 20}


@pytest.mark.parametrize(
    "more, settings, status, told",
    [
        ({"providers": {"default": {"use": "openai", "model": "gpt-4.1"}}}, "", 2, NO_KEY % "OPENAI"),
        ({"providers": {"default": {"use": "anthropic", "model": "claude-m"}}}, "", 2, NO_KEY % "ANTHROPIC"),
        (
            {"limits": {"calls": 0}},
            "",
            2,
            r"^error: talk.json:20:12: limits\.calls: expected more than 0, got 0",
        ),
        (
            {"limits": {"money": 0}},
            "",
            2,
            r"^error: talk.json:20:12: limits\.money: expected more than 0, got 0",
        ),
        (
            {"limits": {"tokens": 10}},
            "",
            3,
            r"^stopped: agents\.Mara, step 1: limits\.tokens: the budget of 10 tokens is too small: one call "
            r"alone is estimated at .*pyscrai resume \S+ --set limits\.tokens=",
        ),
        (
            {},
            '[prices."gpt-4.1"]\ninput = -1\noutput = 2\n',
            2,
            r'^error: .*pyscrai\.toml:1: prices\."gpt-4\.1"\.input: expected US dollars .*0 or more, got -1',
        ),
    ],
    ids=["no key", "no key for anthropic", "no calls", "no money", "too small a budget", "negative price"],
)
def test_bad_input(more: dict[str, Any], settings: str, status: int, told: str) -> None:
    Path("talk.json").write_text(json.dumps({"providers": {"default": SCRIPTED}, **TALK, **more}, indent=1))
    if settings:
        Path("pyscrai.toml").write_text(settings)
    ended = CliRunner().invoke(cli, ["run", "talk.json"], prog_name="pyscrai")
    assert ended.exit_code == status, ended.stderr
    assert re.search(told, ended.stderr, re.MULTILINE), ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    if status == 2 and Path(".pyscrai/runs.db").exists():
        with api.Store.open(".pyscrai/runs.db") as store:
            assert store.runs() == []


PROBES = """
import asyncio, signal, time

from pyscrai_core import Completion, Provider

class Hangs(Provider):
    async def complete(self, request, sink=None):
        return Completion("x")

    async def probe(self):
        {begin}
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
"""


@pytest.mark.parametrize(
    ("begin", "status"), [("pass", 1), ("time.sleep(3600)", 1), ("signal.raise_signal(signal.SIGINT)", 130)]
)
def test_a_provider_that_never_ends_its_probe_is_left(tmp_path: Path, begin: str, status: int) -> None:
    (tmp_path / "hangs.py").write_text(PROBES.format(begin=begin))
    scenario = {
        "scenario": "x",
        "providers": {"default": "./hangs.py:Hangs"},
        "agents": {"A": {"persona": "p"}},
        "schedule": "round-robin",
    }
    (tmp_path / "x.json").write_text(json.dumps(scenario))
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import pyscrai_cli.plugins as p; p.PROBE_SECONDS = 2; "
        "import pyscrai_records.base.time_limit as t; t.AGAIN, t.GRACE = 0.1, 0.5; "
        "from pyscrai_cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "doctor", "x.json", "--trust"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == status, done.stderr
    assert ("no result after" in done.stdout) == (status == 1)
    assert ("interrupted" in done.stderr) == (status == 130)
