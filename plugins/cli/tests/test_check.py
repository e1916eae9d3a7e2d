"""`pyscrai plugins --check`: what a plugin offers and cannot be used, with the place of the fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = """
from pyscrai_core import Extension, hookimpl
pyscrai_api = 1

@hookimpl
def pyscrai_commands():
    return [
        Extension("greet", "faulty_parts:not_a_command", ""),
        Extension("later", "faulty_parts:not_a_command", ""),
        Extension("show", "faulty_parts:show", ""),
    ]

@hookimpl
def pyscrai_engines():
    return [
        Extension("plain", "faulty_parts:Plain", ""),
        Extension("gone", "faulty_gone:Engine", ""),
        Extension("typed", "faulty_parts:Typed", ""),
        Extension("nested", "faulty_parts:Nested", ""),
        Extension("shut", "faulty_parts:Shut", ""),
        Extension("unmade", "faulty_parts:Unmade", ""),
        Extension("synchronous", "faulty_parts:Synchronous", ""),
        Extension("hung", "faulty_parts:Hung", ""),
        Extension("shared", "faulty_parts:Shared", ""),
        Extension("sound", "faulty_parts:Sound", ""),
    ]

@hookimpl
def pyscrai_memories():
    return [Extension("synchronous", "faulty_parts:Forgetful", "")]

@hookimpl
def pyscrai_tools():
    return [
        Extension("synchronous", "faulty_parts:Hammer", ""),
        Extension("shed", "faulty_parts:Shed", ""),
        Extension("number", "faulty_parts:Number", ""),
        Extension("nonsense", "faulty_parts:Nonsense", ""),
        Extension("many", "faulty_parts:Many", ""),
        Extension("blank", "faulty_parts:Blank", ""),
    ]

@hookimpl
def pyscrai_providers():
    return [
        Extension("synchronous", "faulty_parts:Echo", ""),
        Extension("wrapped", "faulty_parts:Wrapped", ""),
    ]

@hookimpl
def pyscrai_schedules():
    return [Extension("synchronous", "faulty_parts:Turns", "")]

@hookimpl
def pyscrai_observers():
    return [Extension("asynchronous", "faulty_parts:Watcher", "")]

@hookimpl
def pyscrai_executors():
    return [Extension("asynchronous", "faulty_parts:Workers", "")]
"""
PARTS = """
import datetime
import pathlib
import attrs
import click
import asyncio
import functools
from pyscrai_core import Engine, Executor, Memory, Observer, Provider, Schedule, Tool, Toolset
not_a_command = 3

@click.command()
def show(): ...

class Shut(Engine):
    async def run(self, turn): ...
    async def aopen(self):
        return {}["door"]

class Synchronous(Engine):
    def run(self, turn): ...

class Hung(Engine):
    async def run(self, turn): ...
    async def aopen(self):
        await asyncio.Event().wait()

class Forgetful(Memory):
    async def observe(self, events, turn): ...
    def recall(self, turn):
        return []

class Hammer(Tool):
    @staticmethod
    def call(arguments, turn): ...

class Shed(Toolset):
    def list(self):
        return []

class Nonsense(Tool):
    name, description = "nonsense", ""
    parameters = {"type": "object", "properties": {"a": {"type": "intger"}}}
    async def call(self, arguments, turn): ...

class Many(Nonsense):
    parameters = {"type": "string"}
    for _ in range(20):
        parameters = {"anyOf": [parameters, parameters]}

class Blank(Nonsense):
    name, parameters = "look up/x", {"type": "object"}

class Number(Tool):
    call = 3

class Echo(Provider):
    async def complete(self, request, sink=None):
        yield 1
    def aclose(self): ...

def logged(function):
    @functools.wraps(function)
    def call(*given, **named):
        return function(*given, **named)
    return call

class Wrapped(Provider):
    @logged
    async def complete(self, request, sink=None): ...

class Turns(Schedule):
    def next(self, stage): ...

class Watcher(Observer):
    async def on_event(self, event): ...

class Workers(Executor):
    async def run(self, blocks, runner, concurrency): ...

class Unmade(Engine):
    def __init__(self, config):
        super().__init__(config)
        self.door = {}["door"]
    async def run(self, turn): ...

@attrs.frozen
class Part:
    when: dict[str, list[datetime.date]] = attrs.field(factory=dict)
    parts: "list[Part]" = attrs.field(factory=list)

class Typed(Engine):
    @attrs.frozen
    class Config:
        option: pathlib.Path | None = None
    async def run(self, turn): ...

class Nested(Engine):
    @attrs.frozen
    class Config:
        part: list[Part] = attrs.field(factory=list)
    async def run(self, turn): ...

class Shared(Engine):
    @attrs.frozen
    class Config:
        names: list[str] = []
    async def run(self, turn): ...

class Sound(Engine):
    @attrs.frozen
    class Config:
        names: list[str] = attrs.field(factory=list)
        pair: tuple[int, ...] = ()
    async def run(self, turn): ...

class Plain(Engine):
    class Config:
        option = 3
    async def run(self, turn): ...
"""


def checked(folder: Path, monkeypatch: pytest.MonkeyPatch, plugin: str) -> dict[str, str]:
    """The errors of the plugin `faulty`, by what has them."""
    info = folder / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyscrai]\nfaulty = faulty\n")
    (folder / "faulty.py").write_text(plugin)
    (folder / "faulty_parts.py").write_text(PARTS)
    (folder / "faulty_gone.py").write_text("\n\nimport nothing_of_this_name\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYSCRAI_PLUGINS", "faulty")
    code = "import pyscrai_cli.plugins as p; p.PROBE_SECONDS = 0.5; from pyscrai_cli.main import main; main()"
    command = [sys.executable, "-c", code, "plugins", "--check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    (found,) = [one for one in json.loads(done.stdout)["plugins"] if one["name"] == "faulty"]
    words = {f"{one['kind']} {one['name']}": one["error"] for one in found["extensions"]}
    return {"": found["error"], **{one["name"]: one["error"] for one in found["extensions"]}, **words}


def test_each_fault_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = checked(tmp_path, monkeypatch, PLUGIN)
    assert "is of the class int, expected a click.Command" in errors["greet"]
    assert "command 'show': offered by more than one plugin" in errors["show"]
    assert "expected a frozen class of attrs" in errors["plain"]
    assert "Config.option: an option has the type Path, expected one" in errors["typed"]
    assert "Config.part: faulty_parts.Part.when: an option has the type date" in errors["nested"]
    assert "faulty_gone.py:3" in errors["gone"]
    assert "--debug" in errors["gone"]
    assert "it cannot be opened: KeyError: 'door'; tell its author" in errors["shut"]
    assert "it cannot be opened: KeyError: 'door'; tell its author" in errors["unmade"]
    assert "it was not opened and closed within 0.5 s; tell its author" in errors["hung"]
    assert "Config.names: the default is a list that all components share" in errors["shared"]
    assert "its `parameters`: properties.a.type: not a JSON Schema: expected one of" in errors["nonsense"]
    assert "there are more than 500,000 values in it" in errors["many"]
    assert "its `name` is 'look up/x', expected ASCII letters, digits, _ and -" in errors["blank"]
    assert errors.pop("provider wrapped") == errors.pop("wrapped") == ""
    assert errors.pop("engine sound") == errors.pop("sound") == ""
    assert all("faulty 1.0" in error for name, error in errors.items() if name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("engine synchronous", "`run`: expected `async def run(self, turn)`"),
        ("memory synchronous", "`recall`: expected `async def recall(self, turn)`"),
        ("tool synchronous", "`call`: expected `async def call(self, arguments, turn)`"),
        ("tool shed", "`list`: expected `async def list(self)`"),
        ("tool number", "`call` is no method, expected `async def call(self, arguments, turn)`"),
        ("provider synchronous", "`complete`: expected `async def complete(self, request, sink)`"),
        ("schedule synchronous", "`next`: expected `async def next(self, stage)`"),
        ("observer asynchronous", "`on_event`: expected `def on_event(self, event)` that is not async"),
        (
            "executor asynchronous",
            "`run`: expected `def run(self, blocks, runner, concurrency)` that is an async",
        ),
    ],
)
def test_a_method_of_the_other_kind(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert expected in checked(tmp_path, monkeypatch, PLUGIN)[name]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def x(:", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_told_with_its_place(
    line: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = checked(tmp_path, monkeypatch, f"\n\n{line}\n")[""]
    assert told.startswith(what)
    assert f"({tmp_path / 'faulty.py'}:3)" in told


def test_a_plugin_whose_import_takes_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = f"import time\ntime.sleep(1.1)\n{PLUGIN}"
    checked(tmp_path, monkeypatch, plugin)
    done = subprocess.run(
        [sys.executable, "-m", "pyscrai_cli.main", "plugins"], capture_output=True, text=True, check=True
    )
    assert "slow: plugin faulty (faulty 1.0) takes 1." in done.stderr


@pytest.mark.parametrize("name", ["a/b", "a b", " x", "ä\\n"])
def test_a_name_that_is_no_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plugin = PLUGIN.replace('"plain"', f'"{name}"')
    assert "expected letters, digits" in checked(tmp_path, monkeypatch, plugin)[""]


def test_one_fault_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = PLUGIN.replace('"show", "faulty', '"sh/ow", "faulty').replace(
        '"unmade", "faulty_parts:', '"unmade", "'
    )
    errors = checked(tmp_path, monkeypatch, plugin)
    assert "pyscrai_commands: an extension has the name 'sh/ow'" in errors[""]
    assert "pyscrai_engines: 'unmade' has the target 'Unmade'; expected 'module:attribute'" in errors[""]
    assert "is of the class int, expected a click.Command" in errors["later"]
    assert "it cannot be opened: KeyError: 'door'" in errors["shut"]
