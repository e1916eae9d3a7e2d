"""A web API on loopback that also misbehaves, and tools that are called without a run."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pyscrai_http.tool import HttpConfig, HttpTool


class Api(BaseHTTPRequestHandler):
    """Tells what it was asked; some paths do something else."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name, _, rest = self.path.partition("?")[0].lstrip("/").partition("/")
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
        getattr(self, f"on_{name}", self.on_echo)(rest)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def reply(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        fields = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def on_echo(self, rest: str) -> None:
        method, path, headers, body = self.server.seen[-1]
        told = {
            "method": method,
            "path": path,
            "body": json.loads(body or "null"),
            "key": headers.get("X-Key"),
        }
        self.reply(200, json.dumps({**told, "data": [{"temp": 21.5, "id": 2**60}]}).encode())

    def on_status(self, rest: str) -> None:
        self.reply(int(rest), b'{"why": "no such city"}' if int(rest) != 204 else b"")

    def on_to(self, rest: str) -> None:
        self.reply(302, b"", Location=self.server.target or f"/{rest}")

    def on_busy(self, rest: str) -> None:
        times = sum(path == self.path for _, path, _, _ in self.server.seen)
        if times < 3:
            self.reply(int(rest), b"busy", "text/plain", Retry_After="0")
        else:
            self.on_echo(rest)

    def on_cut(self, rest: str) -> None:
        if sum(path == self.path for _, path, _, _ in self.server.seen) < 2:
            self.close_connection = True  # without a word
        else:
            self.on_echo(rest)

    def on_huge(self, rest: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(100 * 2**20))
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"x" * 2**20)
                self.server.sent += 1
        except OSError:
            self.close_connection = True

    def on_slow(self, rest: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        try:
            while not self.server.over.wait(0.02):  # each byte in time, the whole never
                self.wfile.write(b"x")
        except OSError:
            self.close_connection = True

    def on_text(self, rest: str) -> None:
        self.reply(200, "Grüße".encode("latin-1"), f"text/plain; charset={rest}")

    def on_nojson(self, rest: str) -> None:
        self.reply(200, b"<html>", "application/json")

    def on_cookie(self, rest: str) -> None:
        self.reply(200, b"{}", Set_Cookie="who=Mara; Path=/")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class ApiServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.target, self.sent, self.over = "", 0, threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.seen]


@pytest.fixture
def serve() -> Iterator[Callable[[], ApiServer]]:
    """Makes servers, which end with the test."""
    servers: list[ApiServer] = []

    def make() -> ApiServer:
        server = ApiServer()
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    yield make
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def api(serve: Callable[[], ApiServer]) -> ApiServer:
    return serve()


async def using(tool: Any, *calls: dict[str, Any]) -> list[Any]:
    """What the calls of a tool come to."""
    await tool.aopen()
    try:
        return [await tool.call(arguments, None) for arguments in calls]
    finally:
        await tool.aclose()


@pytest.fixture
def ask() -> Callable[..., Any]:
    """The answer of a tool `http` with these options to one call."""

    def call(url: str, arguments: dict[str, Any] | None = None, **options: Any) -> Any:
        config = HttpConfig(**{"name": "t", "description": "d", "private": True, **options, "url": url})
        return asyncio.run(using(HttpTool(config), arguments or {}))[0]

    return call
