"""An HTTP API, an MCP server and a Python function, used by the agents of one scenario."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import api

SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("library")

@server.tool()
def borrow(title: str) -> str:
    "Borrow a book."
    return f"{title} is yours until Friday."

server.run("stdio")
"""
FUNCTION = """
from typing import Literal

def stock(of: Literal["apples", "pears"]) -> int:
    "How many are left."
    return {"apples": 40, "pears": 0}[of]
"""


@pytest.fixture
def weather() -> Iterator[str]:
    """An API on loopback; its address."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            town = self.path.rpartition("/")[2]
            body = json.dumps({"now": {"town": town, "sky": "rain"}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def write(folder: Path, weather: str, provider: dict[str, object]) -> Path:
    (folder / "library.py").write_text(SERVER)
    (folder / "mine.py").write_text(FUNCTION)
    path = folder / "town.json"
    tools = {
        "Mara": ["./mine.py:stock"],
        "Jon": [
            {
                "use": "http",
                "name": "weather",
                "description": "The weather in a town.",
                "url": f"{weather}/weather/{{town}}",
                "private": True,
                "parameters": {"town": {"type": "string", "enum": ["Bonn", "Berlin"]}},
                "response": "now.sky",
            }
        ],
        "Ada": [{"use": "mcp", "command": [sys.executable, "./library.py"]}],
    }
    persona = "You use your tool, then speak."
    scenario = {
        "scenario": "town",
        "providers": {"default": provider},
        "agents": {name: {"persona": persona, "tools": used} for name, used in tools.items()},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    path.write_text(json.dumps(scenario))
    return path


def test_every_call_and_answer_is_in_the_log(tmp_path: Path, weather: str) -> None:
    def uses(name: str, **arguments: str) -> list[object]:
        return [{"tool_calls": [{"name": name, "arguments": arguments}], "then": "So it is."}]

    replies = {
        "Mara": uses("stock", of="apples"),
        "Jon": uses("weather", town="Bonn"),
        "Ada": uses("borrow", title="Faust"),
    }
    path = write(tmp_path, weather, {"use": "scripted", "replies": replies})
    result = pyscrai_core.run(path, trust=True, store="runs.db")
    assert result.status == "completed", result.error
    log = CliRunner().invoke(cli, ["log", "last", "--text", "--store", "runs.db"]).stdout.splitlines()
    assert log == [
        "(Mara used stock(of: apples): 40)",
        "Mara: So it is.",
        "(Jon used weather(town: Bonn): rain)",
        "Jon: So it is.",
        '(Ada used borrow(title: Faust): {"result":"Faust is yours until Friday."})',
        "Ada: So it is.",
    ]
    with api.Store.open("runs.db") as store:
        calls = [(call["kind"], call["target"]) for call in store.run("last").calls()]
    assert [target for kind, target in calls if kind == "tool"] == ["stock", "weather", "borrow"]
    assert ("tools", "mcp") in calls
    # Neither the API, nor the server's program, nor the module is needed again.
    for name in ("library.py", "mine.py", "town.json"):
        (tmp_path / name).unlink()
    assert api.replay(store="runs.db").fingerprint == result.fingerprint


@pytest.mark.slow
def test_a_small_model_uses_each_kind_of_tool(tmp_path: Path, weather: str) -> None:
    model = {"use": "llamacpp", "model": "smollm2", "slots": 1, "temperature": 0.3, "max_tokens": 120}
    result = pyscrai_core.run(write(tmp_path, weather, model), trust=True, store="runs.db", seed=2)
    assert result.status == "completed", result.error
    used = {(event.source, event.payload["name"]) for event in result.events if event.kind == "tool"}
    assert used == {("Mara", "stock"), ("Jon", "weather"), ("Ada", "borrow")}
    assert [event.source for event in result.events if event.kind == "say"] == ["Mara", "Jon", "Ada"]
    assert api.replay(store="runs.db").fingerprint == result.fingerprint
