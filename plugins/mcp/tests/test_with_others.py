"""In whole runs, with the plugins that a scenario usually has: skipped where those are not installed."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

import pyscrai_core
from pyscrai_core import (
    Completion,
    Extension,
    Program,
    Reasoning,
    Request,
    RunResult,
    TrustRequired,
    Turn,
    hookimpl,
)
from pyscrai_core.api import prepare, replay, resume
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.scenario.options import option_hooks
from pyscrai_core.scenario.source import Source
from pyscrai_core.scenario.trust import Gate
from pyscrai_mcp.server import McpConfig
from pyscrai_testing import check_resume

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SERVER = str(Path(__file__).with_name("server.py"))


class Once(Reasoning):
    """Lets the model call its tools once."""

    async def reason(self, request: Request, turn: Turn) -> Completion:
        completion = await turn.complete(request)
        for call in completion.tool_calls:
            await turn.call_tool(call.name, call.arguments)
        return Completion("Done.", model=completion.model)


class Parts:
    pyscrai_api = 1
    __name__ = "parts"

    @hookimpl
    def pyscrai_reasoning(self) -> list[Extension]:
        return [Extension("once", f"{__name__}:Once")]


HOST = Host(extra=[Parts()])


def scenario(server: str, provider: dict[str, Any], **agent: Any) -> dict[str, Any]:
    tool = {"use": "mcp", "command": [sys.executable, server, "stdio"], "timeout": 30}
    return {
        "scenario": "town",
        "providers": {"default": provider},
        "agents": {name: {"persona": "A person.", "tools": [tool], **agent} for name in ("Ann", "Ben")},
        "schedule": {"use": "simultaneous", "rounds": 2},
    }


def calls(*called: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    tool_calls = [{"name": name, "arguments": arguments} for name, arguments in called]
    return {"use": "scripted", "replies": [{"tool_calls": tool_calls, "then": "I see."}]}


def uses(result: RunResult) -> list[dict[str, Any]]:
    return [event.payload for event in result.events if event.kind == "tool"]


def play(document: dict[str, Any], folder: Path) -> RunResult:
    file = folder / "scenario.json"
    file.write_text(json.dumps(document))
    return pyscrai_core.run(file, store=folder / "runs.db", trust=True, host=HOST)


def test_the_readmes_example_runs(tmp_path: Path) -> None:
    (server,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (text,) = re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)
    (tmp_path / "clock.py").write_text(server)
    file = tmp_path / "harbour.yaml"
    file.write_text(text.replace("[python,", f"[{sys.executable},"))
    with pytest.raises(TrustRequired, match="start the program"):
        pyscrai_core.run(file, store=tmp_path / "runs.db")
    result = pyscrai_core.run(file, store=tmp_path / "runs.db", trust=True)
    assert result.status == "completed", result.error
    assert [json.loads(use["result"]) for use in uses(result)] == [{"result": "high"}]


def test_each_option_is_in_the_readme() -> None:
    for option in attrs.fields(McpConfig):
        assert f"| `{option.name}` |" in README


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(tmp_path: Path) -> None:
    provider = calls(("weather", {"city": "Rome"}), ("words", {"count": 2}))
    whole = check_resume(scenario(SERVER, provider), tmp_path, kills=[1, 8])
    used = [json.loads(line)["payload"] for line in whole.log if json.loads(line)["kind"] == "tool"]
    assert len(used) == 8
    assert not [use for use in used if "error" in use]


def test_a_server_killed_in_the_midst_of_a_run(tmp_path: Path) -> None:
    document = scenario(SERVER, calls(("pid", {}), ("town_die", {}), ("weather", {"city": "Rome"})))
    del document["agents"]["Ben"]
    result = play(document, tmp_path)
    assert result.status == "completed", result.error
    errors = [use.get("error", "") for use in uses(result)]
    assert [bool(error) for error in errors] == [False, True, True, True, True, True]
    assert "is not started again" in errors[-1]
    assert replay(store=tmp_path / "runs.db", host=HOST).fingerprint == result.fingerprint


def test_the_approval_is_for_the_program_s_file_as_it_was(tmp_path: Path) -> None:
    """A replay starts no program, so that it asks for none."""
    server, file, asked = tmp_path / "server.py", tmp_path / "scenario.json", list[str]()
    server.write_text(Path(SERVER).read_text())
    document = scenario("./server.py", calls(("weather", {"city": "Rome"})))
    file.write_text(json.dumps({**document, "limits": {"steps": 1}}))
    options: Any = {"store": tmp_path / "runs.db", "host": HOST}

    plan = prepare(file, settings=load_settings(store=options["store"]), host=HOST)
    gate = Gate(confirm=lambda question: asked.append(question) is None)
    gate.approve(str(file), plan.content, plan.demands)
    result = pyscrai_core.run(file, **options)
    assert result.status == "stopped", result.error
    (question,) = asked
    assert re.search(
        rf"\d\. let a program use the file with the SHA-256 [0-9a-f]{{64}}: {re.escape(str(server))}\n",
        question,
    )
    server.write_text(server.read_text() + "# and more\n")
    with pytest.raises(TrustRequired, match="let a program use the file with the SHA-256"):
        pyscrai_core.run(file, **options)
    with pytest.raises(TrustRequired, match="let a program use the file with the SHA-256"):
        resume(set={"limits.steps": 5}, **options)
    assert replay(**options).fingerprint == result.fingerprint
    server.unlink()
    assert replay(**options).fingerprint == result.fingerprint


@pytest.mark.parametrize(
    ("command", "files"),
    [
        (["python", "server.py"], ["server.py"]),
        (["bash", "server"], ["server", "server.py"]),
        (["python", "-u", "notes.txt"], ["notes.txt"]),
        (["env", "A=1", "timeout", "5", "python", "notes.txt"], ["notes.txt"]),
        (["bash", "-c", "cd . && exec python server.py"], ["server.py"]),
        (["python", "-c", "exec(open('notes.txt').read())"], ["notes.txt"]),
        (["python", "-m", "server", "x"], ["server", "server.py"]),
        (["python", "-m", "package.tool"], ["package/tool.py"]),
        (["python", "package"], ["package/__main__.py"]),
        (["node", "--require=./linked.js", "notes.txt"], ["linked.js", "notes.txt"]),
        (["package/run", "notes.txt"], ["package/run", "notes.txt"]),
        (["node", "-i", "data.db"], ["data.db"]),
        (["python", "server.py", "--db", "data.db", "--log=./data.db"], ["server.py"]),
        (["python", "data.db"], ["data.db"]),
        (["npx", "-y", "server-filesystem", "."], []),
        (["python", "pipe.py", "x" * 5000, "none.py"], []),
    ],
)
def test_the_files_that_a_command_runs(
    command: list[str], files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    for name in (
        "server", "server.py", "notes.txt", "data.db", "package/tool.py", "package/__main__.py", "package/run"
    ):  # fmt: skip
        (tmp_path / name).write_text(name)
    (tmp_path / "linked.js").symlink_to("data.db")
    os.mkfifo(tmp_path / "pipe.py")
    source = Source(tmp_path)
    option_hooks(source)[Program](command, Program)
    found = [path.relative_to(tmp_path).as_posix() for path in source.used.values()]
    assert sorted(found) == sorted(files)
    before = list(source.demands)
    source.check_files(before)
    for name in files:
        kept = (tmp_path / name).read_text()
        (tmp_path / name).write_text("other")
        with pytest.raises(TrustRequired, match="it was changed after it was approved"):
            source.check_files(before)
        (tmp_path / name).write_text(kept)


def test_a_file_that_is_changed_while_a_person_thinks_is_not_run(tmp_path: Path) -> None:
    server, file = tmp_path / "server.py", tmp_path / "scenario.json"
    server.write_text(Path(SERVER).read_text())
    file.write_text(json.dumps(scenario("./server.py", calls(("weather", {"city": "Rome"})))))

    def think(question: str) -> bool:
        server.write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
        return True

    settings = load_settings(store=tmp_path / "runs.db")
    plan = prepare(file, settings=settings, host=HOST)
    approval = Gate(confirm=think).approve(str(file), plan.content, plan.demands)
    with pytest.raises(TrustRequired, match=r"server\.py: it was changed after it was approved"):
        plan.tools["Ann"][0].make(approval)


@pytest.mark.slow
def test_a_model_calls_it_and_a_replay_needs_no_server(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="needs pyscrai-llamacpp")
    said = json.dumps({"next": {"tool": "weather", "arguments": {"city": "Rome"}}})
    server = tmp_path / "server.py"
    server.write_text(Path(SERVER).read_text())
    provider = {"use": "llamacpp", "exact": True, "max_tokens": 60, "temperature": 0}
    document = scenario(str(server), provider, persona=f"You say {said}", reasoning="once")
    del document["agents"]["Ben"]
    document["agents"]["Ann"]["tools"][0]["tools"] = ["weather"]
    document["schedule"]["rounds"] = 1
    result = play(document, tmp_path)
    assert result.status == "completed", result.error
    assert [use["name"] for use in uses(result) if "result" in use] == ["weather"]
    server.unlink()
    assert replay(store=tmp_path / "runs.db", host=HOST).fingerprint == result.fingerprint
