"""Roads to code, keys and ports beside a scenario's own: experiments, observers, programs, exports."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import TrustRequired, Url, api
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.session import configured_observers
from pyscrai_core.scenario.trust import Gate
from pyscrai_experiments.registry import RegistrationRow
from pyscrai_records.errors import ScenarioError
from pyscrai_records.store.store import Store
from pyscrai_testing.servers import FaultServer, Reply

ROOT = Path(__file__).parents[2]
#: A provider and a tool that leave a trace where they are executed, and print in two ways.
CODE = """
import os, pathlib
from pyscrai_core import Completion, Provider, ToolCall

pathlib.Path("executed").touch()
print("imported")

class Mine(Provider):
    async def complete(self, request, sink=None):
        print("printed")
        os.system("echo printed by another program")
        return Completion("Hello.")
"""
MINE = {"default": {"use": "./mine.py:Mine"}}
SCRIPTED = {"default": {"use": "scripted", "replies": ["Hello.", "Bye."]}}
SCENARIO: dict[str, Any] = {
    "scenario": "t",
    "providers": SCRIPTED,
    "agents": {"A": {}},
    "schedule": {"use": "round-robin", "rounds": 2},
    "outcomes": {"events": "len(events)"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of somebody else's content, which is the current one."""
    made = tmp_path / "theirs"
    made.mkdir()
    (made / "mine.py").write_text(CODE)
    monkeypatch.chdir(made)
    write()
    return made


def write(**changes: Any) -> None:
    Path("scenario.json").write_text(json.dumps({**SCENARIO, **changes}))


def write_experiment(executor: str) -> None:
    experiment = {
        "experiment": "e", "scenario": "scenario.json", "replicates": 1, "executor": executor,
        "arms": {"a": {}, "b": {"schedule.rounds": 3}},
    }  # fmt: skip
    Path("experiment.json").write_text(json.dumps(experiment))


def pyscrai(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyscrai_cli.main", *arguments], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=120, check=False,
    )  # fmt: skip


def demands(**provider: Any) -> list[str]:
    write(providers={"default": provider})
    return list(api.prepare("scenario.json", settings=load_settings()).demands)


@pytest.mark.parametrize("executor", ["local", "processes", "dask"])
def test_an_experiment_s_recorded_trials_are_not_believed(
    executor: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was found has unfinished trials of an experiment, which are not what its file says."""
    write_experiment("local")
    assert (
        pyscrai("experiment", "run", "experiment.json", "--store", str(tmp_path / "plain.db")).returncode == 0
    )
    write(providers=MINE, limits={"calls": 1})
    assert pyscrai("experiment", "run", "experiment.json", "--trust").returncode != 0
    with Store.open(tmp_path / "plain.db") as plain, Store.open(".pyscrai/runs.db") as theirs:
        rows = list(RegistrationRow.select().bind(plain.database).dicts())
        RegistrationRow.delete().bind(theirs.database).execute()
        RegistrationRow.insert_many(rows).bind(theirs.database).execute()
    write()
    write_experiment(executor)
    Path("executed").unlink()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another person"))
    done = pyscrai("experiment", "run", "experiment.json")
    assert (done.returncode, Path("executed").exists()) == (2, False), done.stderr
    assert "1. run the Python code in the file: ./mine.py" in done.stderr
    assert "runs are kept in .pyscrai/runs.db, which was there, for the first time" in done.stderr
    pyscrai("experiment", "run", "experiment.json", "--trust")
    assert Path("executed").exists()


def test_nobody_trusts_for_a_person() -> None:
    found = []
    for path in (one for base in ("pyscrai_core", "plugins") for one in (ROOT / base).rglob("*.py")):
        if {"tests", ".venv"}.isdisjoint(path.parts):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Gate":
                    given = [*node.args, *(one.value for one in node.keywords)]
                    found += [path for one in given if isinstance(one, ast.Constant) and one.value is True]
    assert found == []


@pytest.mark.parametrize(
    ("use", "base", "key"), [("openai", "/v1", "OPENAI_API_KEY"), ("anthropic", "", "ANTHROPIC_API_KEY")]
)
def test_a_vendor_s_key_goes_to_the_vendor_alone(
    use: str, base: str, key: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, "sk-0123456789")
    read = f"read the secret in the environment variable: {key}"
    assert demands(use=use, model="m", base_url=f"http://192.0.2.1{base}") == ["connect to: http://192.0.2.1"]
    assert demands(use=use, model="m", api_key=key) == [read]
    assert demands(use=use, model="m") == []  # the vendor's own
    with FaultServer(Reply(401, b'{"error": {"message": "who are you?"}}')) as server:
        given = {"use": use, "model": "m", "base_url": f"{server.url}{base}"}
        assert demands(**given) == []
        assert demands(**given, api_key=key) == [read]
        write(providers={"default": given})
        done = pyscrai("run", "scenario.json")
    assert f"this server got no key, as {key} goes to" in done.stderr
    (asked,) = server.requests
    assert "sk-0123456789" not in json.dumps(dict(asked.headers))


@pytest.mark.parametrize(
    ("use", "host", "key"),
    [("openai", "api.openai.com", "OPENAI_API_KEY"), ("anthropic", "api.anthropic.com", "ANTHROPIC_API_KEY")],
)
def test_what_is_not_the_vendor_s_own_server(use: str, host: str, key: str) -> None:
    def gets(url: str) -> Any:
        return Host().load("provider", use).Config("m", Url(url)).key_variable

    assert gets(f"https://{host}") == gets(f"https://{host.upper()}:443/x") == key
    assert (gets(f"https://eu.{host}") == key) == (use == "openai")
    for url in (
        f"http://{host}", f"https://{host}.evil.example", f"https://{host}@evil.example",
        f"https://{host}:443@evil.example", f"https://evil.example/{host}", f"https://evil.example#.{host}",
        f"https://evil.example?.{host}", f"https://x{host}", f"https://{host}.", f"https://evil.example:1.{host}",
        f"https://evil.example\u3002{host}", f"https://\u0430{host[1:]}", f"https://[::1].{host}",
        "http://127.0.0.1", "https://[::ffff:127.0.0.1]",
    ):  # fmt: skip
        assert gets(url) is None, url


def test_an_observer_that_a_folder_s_settings_name_listens_and_sends_nothing_unasked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(options: str) -> str:
        Path("pyscrai.toml").write_text(f'observers = [{{use = "telemetry", {options}}}]\n')
        with pytest.raises(TrustRequired) as caught:
            configured_observers(load_settings(), Host(), Gate())
        return str(caught.value)

    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0"):
        told = f"1. listen for connections from other machines at: {address}"
        assert told in asked(f'prometheus = "{address}"')
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=secret-0123456789")
    told = "read the secret in the environment variable: OTEL_EXPORTER_OTLP_TRACES_HEADERS"
    assert f"2. {told}" in asked('endpoint = "http://192.0.2.1:9"')
    assert f"1. {told}" in asked('endpoint = "http://127.0.0.1:9"')


@pytest.mark.parametrize(
    "address",
    ["http://evil.example\\@127.0.0.1/v1", "http://127.0.0.1\\.evil.example", "http://localhost /v1"],
)
def test_an_address_that_can_be_read_in_two_ways_is_refused(address: str, folder: Path) -> None:
    with pytest.raises(ScenarioError, match="characters that are not read alike"):
        demands(use="openai", model="m", base_url=address)


@pytest.mark.parametrize("executor", ["local", "processes"])
def test_what_a_plugin_prints_does_not_get_into_an_experiment_s_json(executor: str, folder: Path) -> None:
    write(providers=MINE)
    write_experiment(executor)
    for command in (["run"], ["plan", "--pilot", "1"]):
        done = pyscrai("experiment", *command, "experiment.json", "--json", "--trust")
        assert done.returncode == 0, done.stderr
        assert isinstance(json.loads(done.stdout), dict)
        if command == ["run"]:
            assert "imported" in done.stderr
            assert "printed by another program" in done.stderr


def test_what_plugins_print_when_they_are_looked_for_is_no_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the command is another plugin's own, and not one of `pyscrai-cli`."""
    info = folder / "loud-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyscrai]\nloud = loud\n")
    (folder / "loud.py").write_text(
        'import atexit, os\nprint("imported", flush=True)\nos.system("echo printed")\npyscrai_api = 1\n'
        'atexit.register(lambda: print("ended", flush=True))\natexit.register(os.system, "echo gone")\n'
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    run = pyscrai_core.run("scenario.json").run
    for command in (
        ["runs", "verify"], ["runs", "export-bundle", run, "--out", "b"],
        ["runs", "import-bundle", "b", "--store", "other.db"], ["runs"], ["show", run], ["replay", run],
        ["plugins"],
    ):  # fmt: skip
        done = pyscrai(*command, "--json")
        assert isinstance(json.loads(done.stdout), (dict, list)), command
        if command[1:2] in (["verify"], ["export-bundle"]):
            assert "imported\nprinted" in done.stderr, command
            assert "gone\nended" in done.stderr, command


def test_an_export_is_its_user_s_alone_in_a_folder_of_others_too(folder: Path) -> None:
    pyscrai_core.run("scenario.json")
    before = os.umask(0o022)
    try:
        for format in ("csv", "jsonl", "graphml", "html", "parquet", "duckdb", "inspect"):
            (folder / format).mkdir()
            files = pyscrai_core.export(format=format, out=format)
            assert files
            assert {oct(one.stat().st_mode & 0o777) for one in files} == {"0o600"}, format
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it needs /dev/full")
def test_a_full_stdout_is_said_in_one_line_by_the_commands_of_plugins(folder: Path) -> None:
    write_experiment("local")
    pyscrai_core.run("scenario.json")
    for command in (
        "experiment run experiment.json --json",
        "experiment report experiment.json",
        "measure last",
        "runs verify",
    ):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "pyscrai_cli.main", *command.split()], stdout=full,
                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=120, check=False,
            )  # fmt: skip
        said = [line for line in done.stderr.splitlines() if "rror" in line]
        assert (done.returncode, len(said)) == (1, 1), command
        assert said[0].startswith("error: stdout: it cannot be written (No space left on device)"), command
