"""What is redacted: secrets in all their forms, and values of variables that are named like keys."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner

from pyscrai_cli.main import cli
from pyscrai_core import Completion, Engine, Message, Provider, api
from pyscrai_records.secret import redact, redact_bytes

KEY = "sk-Proj+0123/456=789abcdef"


@pytest.mark.parametrize("name", ["MY_API_KEY", "HF_TOKEN", "client_secret", "DB_PASSWORD", "OPENAI_APIKEY"])
def test_variables_named_like_keys(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, KEY)
    encoded = base64.b64encode(KEY.encode()).decode()
    forms = [
        KEY, KEY.lower(), KEY.upper(), quote(KEY, safe=""), quote(KEY, safe="").replace("%2B", "%2b"),
        encoded, encoded.replace("+", "-").replace("/", "_"),
        "".join(f"%{byte:02x}" for byte in KEY.encode()), "".join(f"%{byte:02X}" for byte in KEY.encode()),
        *(base64.b64encode(f"{user}:{KEY}".encode()).decode() for user in ("a", "ab", "abc")),
    ]  # fmt: skip
    for form in forms:
        text = redact(f"before {form} after")
        assert f"[{name}]" in text
        assert form[4:-4] not in text
        assert redact_bytes(f"é{form}".encode()).decode() == redact(f"é{form}")
    monkeypatch.delenv(name)
    assert redact(KEY) == KEY


def test_a_key_of_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "\n".join(base64.b64encode(bytes(range(start, start + 48))).decode() for start in (0, 48, 96))
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    monkeypatch.setenv("APP_PRIVATE_KEY", f"{pem}\n")
    encoded = base64.b64encode(pem.encode()).decode()
    for form in (pem, json.dumps(pem), repr(pem), quote(pem, safe=""), encoded):
        text = redact(f"before {form} after")
        assert "[APP_PRIVATE_KEY]" in text
        assert redact_bytes(f"before {form} after".encode()).decode() == text
        assert len(text) < len("before [APP_PRIVATE_KEY] after") + 8


@pytest.mark.parametrize("safe", ["", "/", "!'()*", ";,/?:@&=+$#!'()*"])
@pytest.mark.parametrize("encode", [quote, quote_plus])
def test_a_password_in_an_address(monkeypatch: pytest.MonkeyPatch, safe: str, encode: Any) -> None:
    """The parts of an address leave different characters as they are."""
    password = "pa/55 W0rd&more=(1?ok)%ü"
    monkeypatch.setenv("DB_PASSWORD", password)
    written = encode(password, safe)
    for form in (written, re.sub("%..", lambda code: code[0].lower(), written)):
        assert redact(f"http://h.test/{form}?x") == "http://h.test/[DB_PASSWORD]?x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MY_KEY", "true"),
        ("MY_KEY", "12345"),
        ("MY_TOKEN", "disabled"),
        ("SSH_KEY", "/home/somebody/.ssh/id_rsa"),
        ("SSH_KEY", "~/.ssh/id_rsa_2026"),
        ("TOKEN_URL", "https://example.org/token1"),
        ("KEYBOARD", "us-international-1"),
        ("MONKEY_ISLAND", "guybrush-threepwood-1"),
    ],
)
def test_ordinary_values_stay(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert redact(f"it is {value}.") == f"it is {value}."


def test_a_run_writes_no_key_and_an_old_one_is_read_without(
    play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Parrot(Provider):
        async def complete(self, request: Any, sink: Any = None) -> Completion:
            return Completion(f"you said {request.messages[-1].text}")

    class Says(Engine):
        async def run(self, turn: Any) -> None:
            turn.emit("did", {"with": [KEY]})
            turn.change("key", KEY)
            turn.say((await turn.think([Message.user(KEY)])).text)

    scenario = {
        "providers": {"default": {"use": "parrot"}},
        "world": {"state": {"key": None}},
        "agents": {"A": {"engine": "says", "memory": None}},
        "schedule": {"use": "round-robin", "rounds": 1},
        "outcomes": {"key": "state.key"},
    }
    given = {"provider__parrot": Parrot, "engine__says": Says}
    before = play(scenario, store=tmp_path / "before.db", **given)
    assert KEY in str(before.events)
    monkeypatch.setenv("MY_KEY", KEY)
    seen: list[Any] = []
    after = play(scenario, store=tmp_path / "after.db", **given)
    assert after.status == "completed", after.error
    assert KEY not in str(after)
    assert after.outcomes == {"key": "[MY_KEY]"}
    written = b"".join(file.read_bytes() for file in tmp_path.glob("after.db*") if file.is_file())
    assert KEY.encode() not in written
    from pyscrai_records.store.store import Store

    with Store.open(tmp_path / "before.db") as store:
        run = store.run("last")
        seen += [*run.events(), *run.calls(), run.outcomes, run.messages(1)]
    with Store.open(tmp_path / "after.db") as store:
        seen += [store.run("last").messages(1)]
    assert KEY not in str(seen)
    assert "[MY_KEY]" in str(seen)


@pytest.mark.parametrize(("mask", "file", "folder"), [("", 0o600, 0o700), ("027", 0o640, 0o750)])
def test_stores_are_their_owners_alone(
    play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: str, file: int, folder: int
) -> None:
    if mask:
        monkeypatch.setenv("PYSCRAI_UMASK", mask)
    old = os.umask(0)
    try:
        play(
            {"agents": {"A": {"engine": "quiet"}}, "schedule": {"use": "round-robin", "rounds": 1}},
            engine__quiet=type("Quiet", (Engine,), {"run": lambda self, turn: _nothing()}),
            store=tmp_path / "deep" / "er" / "runs.db",
        )
    finally:
        os.umask(old)
    made = [*(tmp_path / "deep").rglob("*"), tmp_path / "deep"]
    assert {path.name for path in made} >= {"deep", "er", "runs.db"}
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == (folder if path.is_dir() else file), path


async def _nothing() -> None: ...


def test_a_key_in_a_prompt_damages_nothing_and_an_older_record_stays_as_it_is(
    play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = {
        "providers": {"default": {"use": "scripted", "replies": [f"my key is {KEY}, ok"]}},
        "world": {"premise": f"The key is {KEY}."},
        "agents": {"A": {}, "B": {}},
        "schedule": {"use": "round-robin", "rounds": 2},
        "limits": {"calls": 3},
    }
    play(scenario, store=tmp_path / "before.db")
    monkeypatch.setenv("MY_KEY", KEY)
    play(scenario, store=tmp_path / "after.db")
    for name in ("before.db", "after.db"):
        for known in (True, False):
            if not known:
                monkeypatch.delenv("MY_KEY")
            verified = CliRunner().invoke(cli, ["runs", "verify", "--store", str(tmp_path / name)])
            assert (verified.exit_code, verified.stdout) == (0, "1 run: fine\n"), verified.output
            assert api.replay(store=tmp_path / name).status == "stopped"
            monkeypatch.setenv("MY_KEY", KEY)
        resumed = api.resume(store=tmp_path / name, set={"limits.calls": 9})
        assert resumed.status == "completed", resumed.error
        assert KEY not in resumed.events[-1].payload["text"]
        assert api.replay(store=tmp_path / name).fingerprint == resumed.fingerprint
