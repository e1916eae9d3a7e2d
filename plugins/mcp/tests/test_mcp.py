"""The tools of real servers, over standard input and output and over HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from pyscrai_core import ConfigError, ToolFailed
from pyscrai_mcp.server import McpConfig, McpServer, Secret

SERVER = str(Path(__file__).with_name("server.py"))
STDIO = {"command": [sys.executable, SERVER, "stdio"]}


@pytest.fixture
def served() -> Iterator[tuple[str, Any]]:
    """A server's address, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, SERVER, str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(6000):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/mcp", process
        finally:
            process.kill()


def using(options: dict[str, Any], *calls: tuple[str, dict[str, Any]]) -> tuple[dict[str, Any], list[Any]]:
    """The tools of a server by name, and what the calls come to or how they fail."""

    async def used() -> Any:
        server, told = McpServer(McpConfig(**options)), []
        await server.aopen()
        try:
            tools = {tool.name: tool for tool in await server.list()}
            turn: Any = None
            for name, arguments in calls:
                try:
                    told.append(await tools[name].call(arguments, turn))
                except ToolFailed as error:
                    told.append(str(error))
        finally:
            # By another task than the one that opened it.
            await asyncio.create_task(server.aclose())
        return tools, told

    result: tuple[dict[str, Any], list[Any]] = asyncio.run(used())
    return result


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_over_standard_input_and_output(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setenv("MINE", "secret-of-mine")
    monkeypatch.setenv("OTHER", "x")
    logged: list[str] = []
    logger.remove()
    logger.add(lambda line: logged.append(str(line)), level="DEBUG", format="{message}")
    options = {**STDIO, "env": {"TOKEN": "MINE"}, "prefix": "a-"}
    calls = [("a-weather", {"city": "Rome"}), ("a-words", {"count": 2}), ("a-fail", {}), ("a-pid", {})]
    tools, told = using(options, *calls)
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    assert list(tools) == ["a-weather", "a-words", "a-fail", "a-town_die", "a-pid"]
    assert told[:2] == [{"city": "Rome", "sky": "clear"}, "word\nword"]
    assert told[2] == "tool a-fail: Error executing tool fail: the mill is broken"
    assert not alive(told[3]["result"])
    assert [tool.repeatable for tool in tools.values()] == [True, True, False, False, False]
    assert tools["a-weather"].description == "The weather of a city."
    assert tools["a-weather"].parameters["required"] == ["city"]
    assert any("asked for Rome secret-of-mine" in line for line in logged)
    assert capfd.readouterr() == ("", "")


def test_a_server_that_dies() -> None:
    _, (died, after, listed) = using(
        {**STDIO, "tools": ("town/die", "weather")},
        ("town_die", {}), ("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"}),
    )  # fmt: skip
    assert died.startswith("tool town_die: the server: ")
    for error in (died, after, listed):
        assert "it has stopped, and is not started again in this run" in error


def test_over_http(served: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    url, process = served
    monkeypatch.setenv("MINE", "secret-of-mine")
    options = {"url": url, "tools": ("weather",), "headers": {"Authorization": Secret("MINE", "Bearer ")}}
    tools, told = using(options, ("weather", {"city": "Rome"}))
    assert list(tools) == ["weather"]
    assert told == [{"city": "Rome", "sky": "clear"}]
    _, told = using({"url": url}, ("town_die", {}), ("weather", {"city": "Rome"}))
    assert [error.startswith("tool ") for error in told] == [True, True], told
    process.wait(10)
    with pytest.raises(ConfigError, match="cannot be used"):
        using({"url": url})


@pytest.mark.parametrize(
    "options, words",
    [
        ({"command": ["no-such-program"]}, "no-such-program cannot be used: FileNotFoundError"),
        ({"command": [sys.executable, "-c", "print('hello')"]}, "cannot be used: Connection closed"),
        ({**STDIO, "tools": ("wether",)}, "no 'wether'; the tools are: weather, words"),
        ({**STDIO, "env": {"TOKEN": "NOT_SET"}}, "NOT_SET"),
    ],
)
def test_what_cannot_be_used(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        using(options)


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "either `command`"),
        ({**STDIO, "url": "http://x.test"}, "either `command`"),
        ({"url": "http://x.test", "env": {"A": "B"}}, "env: "),
        ({**STDIO, "headers": {"A": "b"}}, "headers: "),
        ({**STDIO, "prefix": "a b"}, "prefix: "),
    ],
)
def test_mistakes(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        McpConfig(**options)


def test_opening_can_be_cancelled() -> None:
    async def opened() -> None:
        server = McpServer(McpConfig(command=[sys.executable, "-c", "import time; time.sleep(99)"]))
        opening = asyncio.create_task(server.aopen())
        await asyncio.sleep(0.2)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(opened())
