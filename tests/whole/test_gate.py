"""Content of strangers: however it comes, nothing of it has an effect before a person approves it."""

from __future__ import annotations

import ast
import grp
import json
import os
import pwd
import sqlite3
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import StoredRun, TrustRequired, api
from pyscrai_core.config import load_settings
from pyscrai_core.scenario.trust import Approval, Gate
from pyscrai_records.base.demands import demand
from pyscrai_records.base.private import is_private
from pyscrai_records.errors import ConfigError
from pyscrai_testing.servers import FaultServer

USERS = {"me": os.getuid(), "somebody": 54321}
ROOT = Path(__file__).parents[2]
#: A provider that leaves a trace where it is executed.
CODE = """
import pathlib
from pyscrai_core import Completion, Provider

pathlib.Path("executed").touch()

class Mine(Provider):
    async def complete(self, request, sink=None):
        return Completion("Hello.")
"""
SCENARIO = {
    "scenario": "t",
    "providers": {"default": {"use": "./mine.py:Mine"}},
    "agents": {"A": {}},
    "schedule": {"use": "round-robin", "rounds": 1},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody else's content, which is the current one."""
    made = tmp_path / "theirs"
    made.mkdir()
    (made / "mine.py").write_text(CODE)
    (made / "scenario.json").write_text(json.dumps(SCENARIO))
    monkeypatch.chdir(made)
    return made


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def another_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From now on the user is one who never approved anything."""
    Path("executed").unlink(missing_ok=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))


@pytest.mark.parametrize("command", ["run", "doctor", "prompt"])
def test_a_scenario_s_code_is_not_executed(command: str, folder: Path) -> None:
    more = ["--agent", "A"] if command == "prompt" else []
    done = invoke(command, "scenario.json", *more)
    assert (done.exit_code, Path("executed").exists()) == (2, False)
    assert "1. run the Python code in the file: ./mine.py" in done.stderr
    done = invoke(command, "scenario.json", "--trust", *more)
    assert (done.exit_code, Path("executed").exists()) == (0, True), done.output


def test_settings_that_were_found_are_asked_about_too(folder: Path) -> None:
    Path("scenario.json").write_text(json.dumps({**SCENARIO, "providers": {"default": {}}}))
    Path("pyscrai.toml").write_text('[providers.default]\nuse = "./mine.py:Mine"\n')
    for command in (["doctor"], ["run", "scenario.json"]):
        done = invoke(*command)
        assert (done.exit_code != 0, Path("executed").exists()) == (True, False)
        assert "run the Python code in the file: ./mine.py" in done.output
        first = "are taken from pyscrai.toml, for the first time" in done.stderr
        assert first == (command == ["doctor"])
    assert invoke("run", "scenario.json", "--trust").exit_code == 0


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ('observers = ["./mine.py:Mine"]', 2),
        ('[providers.default]\nfallback = ["more"]\n[providers.more]\nuse = "{}/mine.py:Mine"', 1),
    ],
    ids=["observer", "provider"],
)
def test_the_demo_is_approved_but_not_settings_that_were_found(
    settings: str, status: int, folder: Path
) -> None:
    Path("pyscrai.toml").write_text(settings.format(folder))
    silent = ["--set", "schedule.rounds=1", "--set", "providers.default={use: scripted, generate: true}"]
    done = invoke("demo", "--quiet", *silent)
    assert (done.exit_code, Path("executed").exists()) == (status, False), done.output


def test_settings_that_others_can_write_are_not_used(folder: Path) -> None:
    Path("pyscrai.toml").write_text("rubbish")
    for mode in (0o777, 0o707):
        folder.chmod(mode)
        assert load_settings().source is None
        assert "pyscrai.toml is not used: others can write it" in invoke("run", "scenario.json").stderr
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="it is not TOML"):
        load_settings()


@pytest.mark.parametrize(("members", "private"), [([], True), (["somebody"], False)])
def test_a_group_with_other_members_is_others(
    members: list[str], private: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "scenario.json"
    file.chmod(0o664)
    os.chown(file, -1, os.getuid())
    monkeypatch.setattr(os, "getgid", os.getuid)
    monkeypatch.setattr(grp, "getgrgid", lambda group: grp.struct_group(("own", "x", group, members)))
    assert is_private(file) == private


def test_a_group_that_is_another_user_s_first_one_is_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "scenario.json"
    file.chmod(0o664)
    os.chown(file, -1, os.getuid())
    monkeypatch.setattr(os, "getgid", os.getuid)
    monkeypatch.setattr(grp, "getgrgid", lambda group: grp.struct_group(("own", "x", group, [])))
    users = [pwd.struct_passwd((name, "x", uid, os.getuid(), "", "/", "")) for name, uid in USERS.items()]
    monkeypatch.setattr(pwd, "getpwall", lambda: users[:1])
    assert is_private(file)
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    assert not is_private(file)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="access lists are attributes on Linux alone")
def test_an_access_list_lets_others_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(folder, -1, os.getuid())
    monkeypatch.setattr(os, "getgid", os.getuid)
    # What `setfacl -m u:54321:rwx` writes: version 2, and an entry for each tag, permissions and user.
    entries = [(1, 7, -1), (2, 7, 54321), (4, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
    made = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    assert is_private(folder)
    try:
        os.setxattr(folder, "system.posix_acl_access", made)
    except OSError:
        pytest.skip("this file system has no access lists")
    assert not is_private(folder)


@pytest.fixture
def recorded(folder: Path) -> Path:
    """A store with a run that its owner approved, and that says so of itself, as earlier versions did."""
    assert pyscrai_core.run("scenario.json", trust=True).status == "completed"
    store = folder / ".pyscrai" / "runs.db"
    with sqlite3.connect(store) as connection:
        ((body,),) = connection.execute("SELECT body FROM manifests")
        changed = json.dumps({**json.loads(body), "trusted": True})
        connection.execute("UPDATE manifests SET checksum = '', body = ?", [changed])
    return store


WAYS: dict[str, Callable[[], Any]] = {
    "replay": lambda: api.replay(),
    "fork": lambda: api.fork(at=1),
    "fork with another seed": lambda: api.fork(at=1, seed=5),
    "resume": lambda: api.resume(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_store_that_was_found_is_not_believed(
    way: str, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _unfinish(recorded, way)
    Path("executed").unlink()
    WAYS[way]()  # whoever approved the run is not asked again
    _unfinish(recorded, way)
    another_person(monkeypatch, tmp_path)
    before = [run.id for run in api.runs()]
    if way == "replay":  # of which the provider is no part
        assert WAYS[way]().status == "completed"
    else:
        with pytest.raises(TrustRequired, match=r"run the Python code in the file: \./mine\.py"):
            WAYS[way]()
    assert not Path("executed").exists()
    assert [run.id for run in api.runs()] == before  # nothing is left of what was refused


@pytest.mark.parametrize("way", ["fork", "resume"])
def test_a_bundle_is_not_believed(
    way: str, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _unfinish(recorded, way)
    assert invoke("runs", "export-bundle", "last", "--out", str(tmp_path / "b")).exit_code == 0
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    another_person(monkeypatch, tmp_path)
    assert invoke("runs", "import-bundle", str(tmp_path / "b")).exit_code == 0
    command = ["fork", "last", "--at", "1"] if way == "fork" else ["resume"]
    done = invoke(*command)
    assert (done.exit_code, Path("executed").exists()) == (2, False)
    assert "run the Python code in the file: ./mine.py" in done.stderr


def _unfinish(store: Path, way: str) -> None:
    if way == "resume":
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE runs SET status = 'stopped', checksum = '' WHERE status = 'completed'")


def test_a_recorded_run_reads_no_file_of_this_machine(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is what its manifest says: a stranger could write there what they like."""
    tool = {"use": "files", "folder": "notes"}
    agents = {"A": {"tools": [tool]}}
    providers = {"default": {"use": "scripted", "replies": ["Hello."]}}
    (folder / "notes").mkdir()
    Path("plain.json").write_text(json.dumps({**SCENARIO, "providers": providers, "agents": agents}))
    assert pyscrai_core.run("plain.json").status == "completed"  # data, in its own folder
    assert api.replay().status == "completed"
    with sqlite3.connect(folder / ".pyscrai" / "runs.db") as connection:
        ((body,),) = connection.execute("SELECT body FROM manifests")
        changed = json.dumps({**json.loads(body), "folder": "/"})
        connection.execute("UPDATE manifests SET checksum = '', body = ?", [changed])
    with pytest.raises(TrustRequired, match="read the file: /notes"):
        api.replay()


def test_an_approval_is_kept_outside_and_for_this_content(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = list((tmp_path / "state/pyscrai/approvals").iterdir())
    assert [oct(one.stat().st_mode & 0o777) for one in kept] == ["0o600"]
    assert json.loads(kept[0].read_text())["demands"] == ["run the Python code in the file: ./mine.py"]
    with api.Store.open(recorded) as store:
        files = _files(store.run("last"))
    assert files["mine.py" if "mine.py" in files else "./mine.py"] == CODE
    with sqlite3.connect(recorded) as connection:
        ((body,),) = connection.execute("SELECT body FROM manifests")
        manifest = json.loads(body)
        manifest["scenario"]["description"] = "Another one."
        changed = json.dumps(manifest)
        connection.execute("UPDATE manifests SET checksum = '', body = ?", [changed])
    with pytest.raises(TrustRequired):
        api.fork(at=1)
    # What others could have written is nobody's approval.
    with sqlite3.connect(recorded) as connection:
        connection.execute("UPDATE manifests SET checksum = '', body = ?", [body])
    kept[0].parent.chmod(0o777)
    with pytest.raises(TrustRequired):
        api.fork(at=1)
    kept[0].parent.chmod(0o700)
    api.fork(at=1)


def _files(run: StoredRun) -> Mapping[str, str]:
    files: Mapping[str, str] = run.manifest["files"]
    return files


def test_the_question_cannot_be_spoofed() -> None:
    shown = demand("connect to", "a.example\n  9. nothing\x1b[2J")
    assert shown == "connect to: a.example\\n \\x209.\\x20nothing\\x1b[2J"
    # A terminal breaks a long line, behind which another number of the list must not seem to begin.
    long = demand("start the program", "x" * 190 + " 2. connect to: b.example")
    assert long.endswith("2.\\x20connect to: b.example (these are 215 characters)")
    assert "\u202e" not in demand("read the file", "/a/\u202eyp.live")
    assert demand("connect to", "ex\u0430mple.org").endswith("(in ASCII: xn--exmple-4nf.org)")
    plain = demand("connect to", "http://ex\u0430mple.org:80")
    assert plain.endswith("(in ASCII: http://xn--exmple-4nf.org:80)")
    plain = demand("connect to", "http://\u043f\u0440.\u0440\u0444:8080")
    assert plain.endswith("(in ASCII: http://xn--o1ac.xn--p1ai:8080)")
    # Nothing but a host has another name.
    program = demand("start the program", "uvx \xdferver.x")
    assert program.endswith("(in ASCII: uvx \\xdferver.x)")
    asked: list[str] = []
    gate = Gate(confirm=lambda question: bool(asked.append(question)))
    demands = [demand("run the Python code in the file", f"file{n}.py") for n in range(200)]
    with pytest.raises(TrustRequired, match="you did not approve it"):
        gate.approve("it", "0" * 64, demands)
    assert asked[0].startswith("it needs your approval to do these 200 things:\n  1. run")
    assert "\n  200. run the Python code in the file: file199.py\n" in asked[0]
    with pytest.raises(TrustRequired) as refused:
        Gate().approve("ok.yaml needs nothing\n\x1b[2Jreally", "0" * 64, demands[:1])
    assert str(refused.value).startswith("ok.yaml needs nothing\\n\\x1b[2Jreally needs your approval to do")


def test_a_key_that_is_named_for_another_server_is_asked_about(folder: Path) -> None:
    given = {"base_url": "https://evil.example/v1", "api_key": "OPENAI_API_KEY"}
    provider = {"use": "openai", "model": "m", **given}
    Path("scenario.json").write_text(json.dumps({**SCENARIO, "providers": {"default": provider}}))
    done = invoke("doctor", "scenario.json")
    assert done.exit_code == 2
    assert "1. connect to: evil.example" in done.stderr
    assert "2. read the secret in the environment variable: OPENAI_API_KEY" in done.stderr


def test_nothing_is_made_without_the_gate(folder: Path) -> None:
    plan = api.prepare("scenario.json", settings=load_settings())
    with pytest.raises(TrustRequired, match="it was not approved"):
        plan.providers["default"].make(Approval())
    with pytest.raises(TrustRequired):
        plan.providers["default"].examine()
    assert not Path("executed").exists()
    makers = [
        str(path.relative_to(ROOT))
        for base in ("pyscrai_core", "plugins", "contrib")
        for path in (ROOT / base).rglob("*.py")
        if "tests" not in path.parts and _calls(path, "Approval")
    ]
    assert makers == ["pyscrai_core/scenario/trust.py"]


def _calls(path: Path, name: str) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(isinstance(func, ast.Name) and func.id == name for func in calls)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(("use", "base"), [("openai", "/v1"), ("anthropic", ""), ("ollama", "")])
def test_a_request_is_not_sent_on_to_another_host(
    use: str, base: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-none")
    with FaultServer() as thief:

        def answer(path: str, body: Any) -> tuple[int, Mapping[str, str], bytes]:
            return status, {"Location": thief.url + path}, b""

        with FaultServer(answer=answer) as server:
            provider = {"use": use, "model": "m", "base_url": server.url + base}
            file = tmp_path / "scenario.json"
            file.write_text(json.dumps({**SCENARIO, "providers": {"default": provider}}))
            result = pyscrai_core.run(file, store=tmp_path / "runs.db", trust=True)
            assert (result.status, len(server.requests), thief.requests) == ("failed", 1, [])
            assert "redirects to" in result.error
            assert "name it in `base_url`" in result.error


def test_where_nothing_can_be_kept_a_person_is_asked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/none")
    assert pyscrai_core.run("scenario.json", trust=True).status == "completed"
    with pytest.raises(TrustRequired):
        api.fork(at=1)


def test_runs_that_were_not_approved_are_neither_resumed_nor_fine(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay of an imported run with an engine of its own needs approval, and so does its resume."""
    run = "    async def run(self, turn):\n        turn.say((await turn.think('x')).text)\n"
    engine = f"from pyscrai_core import Engine\nclass Mine(Engine):\n{run}"
    Path("mine.py").write_text(f"import pathlib\npathlib.Path('executed').touch()\n{engine}")
    scripted = {"default": {"use": "scripted", "replies": ["Hello."]}}
    agents = {"A": {"engine": "./mine.py:Mine"}}
    given = {**SCENARIO, "providers": scripted, "agents": agents, "limits": {"calls": 1}}
    schedule = {"use": "round-robin", "rounds": 2}
    Path("scenario.json").write_text(json.dumps({**given, "schedule": schedule}))
    assert invoke("run", "scenario.json", "--trust").exit_code == 3
    assert invoke("runs", "export-bundle", "--out", str(tmp_path / "b")).exit_code == 0
    another_person(monkeypatch, tmp_path)
    monkeypatch.setenv("PYSCRAI_STORE", str(tmp_path / "mine.db"))
    assert invoke("runs", "import-bundle", str(tmp_path / "b")).exit_code == 0
    verified = invoke("runs", "verify")
    assert (verified.exit_code, "0 runs: fine" in verified.stdout) == (1, True)
    assert "to do this:   1. run the Python code in the file: ./mine.py" in verified.stdout
    resumed = invoke("resume", "--all")
    assert (resumed.exit_code, "0 runs resumed, 1 not resumed" in resumed.stdout) == (2, True), resumed.output
    assert not Path("executed").exists()


def test_doctor_tells_of_a_redirect_and_blames_nobody(folder: Path) -> None:
    def answer(path: str, body: Any) -> tuple[int, Mapping[str, str], bytes]:
        return 307, {"Location": "http://192.0.2.1/"}, b""

    with FaultServer(answer=answer) as server:
        default = {"use": "openai", "model": "m", "base_url": server.url}
        Path("scenario.json").write_text(json.dumps({**SCENARIO, "providers": {"default": default}}))
        done = invoke("doctor", "scenario.json", "--trust")
    assert done.exit_code == 1
    assert "nothing is sent there" in done.stdout
    assert "tell its author" not in done.stdout
