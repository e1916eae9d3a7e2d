"""The toolset `mcp`: the tools of a Model Context Protocol server."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import threading
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import httpx2
import mcp
from attrs import field, frozen
from loguru import logger
from mcp.client.streamable_http import streamable_http_client

from pyscrai_core import (
    ConfigError,
    NoConfig,
    Program,
    SecretName,
    Tool,
    ToolFailed,
    Toolset,
    Turn,
    Url,
    read_secret,
)

#: Seconds in which a server must start, and stop.
START_TIMEOUT, STOP_TIMEOUT = 60.0, 15.0


@frozen
class Secret:
    """The value of the environment variable `secret`, after a `prefix` such as `"Bearer "`."""

    secret: SecretName
    prefix: str = ""


@frozen(kw_only=True)
class McpConfig:
    """The options of `mcp`: either `command` with `env`, or `url` with `headers`."""

    command: Program | None = None
    env: dict[str, SecretName] = field(factory=dict)
    url: Url | None = None
    headers: dict[str, str | Secret] = field(factory=dict)
    tools: tuple[str, ...] | None = None
    prefix: str = ""

    def __attrs_post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise ValueError("expected either `command`, a program to start, or `url`; set one of them")
        if self.env and self.command is None:
            raise ValueError("env: it is for a program; use `headers` for a server at a `url`")
        if self.headers and self.url is None:
            raise ValueError("headers: they are for a server at a `url`; use `env` for a program")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,30}", self.prefix):
            raise ValueError(
                f"prefix: expected up to 30 characters of A-Z, a-z, 0-9, _ and -, got {self.prefix!r}"
            )


class McpServer(Toolset):
    """The tools of a server, which starts and stops with the run.

    The session runs in a task of its own, because the task that opens it must also close it.
    """

    Config: ClassVar[type] = McpConfig
    config: McpConfig
    _client: mcp.Client
    _ready: asyncio.Future[str]
    _session: asyncio.Task[None] | None = None

    async def aopen(self) -> None:
        config = self.config
        self._where = config.url or shlex.join(config.command or ())
        purpose = f"the MCP server {self._where}"
        self._env = {name: read_secret(secret, purpose) for name, secret in config.env.items()}
        self._headers = {
            name: one if isinstance(one, str) else one.prefix + read_secret(one.secret, purpose)
            for name, one in config.headers.items()
        }
        self._ready, self._stopped = asyncio.get_running_loop().create_future(), asyncio.Event()
        self._session = asyncio.create_task(self._run_session(), name=f"mcp {self._where}")
        failure = f"no answer within {START_TIMEOUT:g} s"
        try:
            if (await asyncio.wait((self._ready,), timeout=START_TIMEOUT))[0]:
                failure = self._ready.result()
        finally:
            if failure:
                await self.aclose()  # the kernel only closes what was opened
        if failure:
            raise ConfigError(f"mcp: {self._where} cannot be used: {failure}; test the server separately")

    async def aclose(self) -> None:
        if self._session is not None:
            self._stopped.set()
            if not self._ready.done():
                self._session.cancel()
            _, late = await asyncio.wait((self._session,), timeout=STOP_TIMEOUT)
            for task in late:
                task.cancel()
                await asyncio.wait((task,))

    async def _run_session(self) -> None:
        try:
            async with self._transport() as transport, mcp.Client(transport, cache=None) as self._client:
                self._ready.set_result("")
                await self._stopped.wait()
        except Exception as error:  # noqa: BLE001  any error of the server; calls and `aopen` report it
            # As text: handlers of loguru would print the values of variables, which may hold a key.
            text = "".join(traceback.format_exception(error))
            logger.bind(traceback=text).info("mcp {}: {}", self._where, _message(error))
            if not self._ready.done():
                self._ready.set_result(_message(error))

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[Any]:
        if self.config.url is not None:
            timeout = httpx2.Timeout(30, read=300)
            async with httpx2.AsyncClient(headers=self._headers, timeout=timeout, trust_env=False) as http:
                yield streamable_http_client(self.config.url, http_client=http)
            return
        command: list[str] = self.config.command or []
        parameters = mcp.StdioServerParameters(command=command[0], args=command[1:], env=self._env)
        source, target = os.pipe()
        # A thread, because not every event loop can read a pipe. It ends when the pipe is closed.
        threading.Thread(target=_log_lines, args=(source, self._where), daemon=True).start()
        with os.fdopen(target, "w") as errors:
            yield mcp.stdio_client(parameters, errlog=errors)

    async def list(self) -> list[Tool]:
        found: dict[str, Any] = {}
        cursor = None
        while True:
            page = await self._client.list_tools(cursor=cursor)
            found.update((tool.name, tool) for tool in page.tools)
            if (cursor := page.next_cursor) is None:
                break
        wanted = self.config.tools
        for name in wanted or ():
            if name not in found:
                known = ", ".join(found) or "none"
                raise ConfigError(f"mcp: {self._where}: tools: there is no {name!r}; the tools are: {known}")
        return [RemoteTool(self, found[name]) for name in (found if wanted is None else wanted)]

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The answer of a tool. Raises `ToolFailed`."""
        try:
            result = await self._client.call_tool(name, dict(arguments))
        except (mcp.MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError, RuntimeError) as error:
            gone = " (it has stopped, and is not started again in this run)" if self._is_gone(error) else ""
            raise ToolFailed(f"the server: {_message(error)}{gone}") from error
        text = "\n".join(map(_as_text, result.content))
        if result.is_error:
            raise ToolFailed(text or "the server reported an error without a message")
        return text if result.structured_content is None else result.structured_content

    def _is_gone(self, error: Exception) -> bool:
        ended = self._session is None or self._session.done()
        return ended or getattr(error, "code", None) == mcp.types.CONNECTION_CLOSED


class RemoteTool(Tool):
    """One tool of a server."""

    def __init__(self, server: McpServer, offered: mcp.types.Tool) -> None:
        super().__init__(NoConfig())
        self._server, self._name = server, offered.name
        self.name = re.sub(r"[^A-Za-z0-9_-]", "_", server.config.prefix + offered.name)[:64]
        self.description = offered.description or offered.title or offered.name
        self.parameters = {"type": "object", **offered.input_schema}
        hints = offered.annotations
        self.repeatable = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)

    async def call(self, arguments: dict[str, Any], turn: Turn) -> Any:
        try:
            return await self._server.call_tool(self._name, arguments)
        except ToolFailed as error:
            raise ToolFailed(f"tool {self.name}: {error}") from error


def _as_text(block: Any) -> str:
    """A part of an answer as text. Parts that are not text are described by their type."""
    if block.type == "text":
        return str(block.text)
    if block.type == "resource" and hasattr(block.resource, "text"):
        return str(block.resource.text)
    place = getattr(block, "uri", None) or getattr(getattr(block, "resource", None), "uri", "")
    return f"[{block.type} {getattr(block, 'mime_type', None) or ''} {place}".rstrip() + "]"


def _message(error: BaseException) -> str:
    """An error's message. Of a group, that of the first error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if not isinstance(error, mcp.MCPError) else str(error)


def _log_lines(source: int, where: str) -> None:
    with os.fdopen(source, errors="replace") as lines:
        for line in lines:
            logger.debug("mcp {}: {}", where, line.rstrip()[:2000])


class _LogForwarder(logging.Handler):
    """Forwards the library's log messages, which would otherwise go to the terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.debug("mcp: {}", record.getMessage())


logging.getLogger("mcp").addHandler(_LogForwarder())
