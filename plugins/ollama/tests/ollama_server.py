"""A server that speaks Ollama's interface over a real model, for machines without Ollama.

Requests, answers and errors have the forms that docs.ollama.com/api describes, and docs/api.md, api/types.go
and server/routes.go of github.com/ollama/ollama; what they ask for is computed by llama.cpp's HTTP server.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from pyscrai_testing.servers import model_server

MODELS = ("smollm2", "smollm2:latest", "smollm2:135m")
#: Ollama's options that the server of the model knows, under its names.
OPTIONS = {name: name for name in ("seed", "temperature", "top_p", "top_k", "stop")}
OPTIONS["num_predict"] = "max_tokens"
DURATIONS = dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), 1000)


class Refused(Exception):
    """A status and Ollama's words."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: str
    tools: bool
    version: str

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        known = {
            "/api/version": {"version": self.version},
            "/api/tags": {"models": [{"name": name, "model": name} for name in MODELS]},
        }
        self.answer(200, known[self.path]) if self.path in known else self.missing()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        work = {"/api/chat": self.chat, "/api/show": self.show, "/api/embed": self.embed}.get(self.path)
        try:
            if work is None:
                return self.missing()
            asked = json.loads(body)
            if asked.get("model") not in MODELS:
                raise Refused(404, f"model '{asked.get('model')}' not found")
            work(asked)
        except Refused as error:
            self.answer(error.args[0], {"error": error.args[1]})
        except OSError:  # the client has gone
            self.close_connection = True

    def missing(self) -> None:
        self.send(404, "text/plain", b"404 page not found")

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.send(status, "application/json; charset=utf-8", json.dumps(body).encode())

    def send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # -- what Ollama does --

    def show(self, asked: dict[str, Any]) -> None:
        able = ["completion", *(["tools"] if self.tools else [])]
        self.answer(200, {"model_info": {"llama.context_length": 8192}, "capabilities": able})

    def embed(self, asked: dict[str, Any]) -> None:
        # The server of the model makes no vectors; how often tokens occur does for their form.
        tokens = [self.ask("/tokenize", {"content": text})["tokens"] for text in asked["input"]]
        if asked.get("truncate") is False and any(len(one) > 512 for one in tokens):
            raise Refused(400, "the input length exceeds the context length")
        vectors = [[sum(token % 8 == place for token in one) / 8 for place in range(8)] for one in tokens]
        self.answer(200, {"model": asked["model"], "embeddings": vectors, **DURATIONS})

    def chat(self, asked: dict[str, Any]) -> None:
        if asked.get("tools") and not self.tools:
            raise Refused(400, f"registry.ollama.ai/library/{asked['model']} does not support tools")
        if asked.get("think"):
            raise Refused(400, f'"{asked["model"]}" does not support thinking')
        options = asked.get("options", {})
        body: dict[str, Any] = {new: options[old] for old, new in OPTIONS.items() if old in options}
        body |= {"messages": messages(asked["messages"]), "tools": asked.get("tools", [])}
        if asked.get("format"):
            schema = {"name": "format", "schema": asked["format"]}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        cut = self.fit(asked, body, options.get("num_ctx"))
        streamed, begun = asked.get("stream", True), False
        message: dict[str, Any] = {"content": ""}
        calls: dict[int, dict[str, str]] = {}
        end: dict[str, Any] = {"done": True, "done_reason": "stop", **DURATIONS}
        for chunk in self.stream(body):
            if usage := chunk.get("usage"):
                end["prompt_eval_count"] = cut or usage["prompt_tokens"]
                end["prompt_eval_cached_count"] = usage["prompt_tokens_details"]["cached_tokens"]
                end["eval_count"] = usage["completion_tokens"]
            for choice in chunk.get("choices", ()):
                if choice["finish_reason"] == "length":
                    end["done_reason"] = "length"
                for call in choice["delta"].get("tool_calls") or ():
                    kept = calls.setdefault(call["index"], {"name": "", "arguments": ""})
                    for key in kept:
                        kept[key] += call["function"].get(key) or ""
                if text := choice["delta"].get("content"):
                    message["content"] += text
                    if streamed:
                        begun = begun or self.begin()
                        self.line(asked, {"content": text}, {"done": False})
        if calls:  # with ids that are drawn at random
            message["tool_calls"] = [
                {"id": secrets.token_hex(4), "function": {**call, "arguments": json.loads(call["arguments"])}}
                for call in calls.values()
            ]
        if not streamed:
            message["role"] = "assistant"
            self.answer(200, {"model": asked["model"], "message": message, **end})
        else:
            if not begun:
                self.begin()
            self.line(asked, {**message, "content": ""}, {"done": False})
            self.line(asked, {"content": ""}, end)
            self.wfile.write(b"0\r\n\r\n")

    def begin(self) -> bool:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return True

    def line(self, asked: dict[str, Any], message: dict[str, Any], rest: dict[str, Any]) -> None:
        made = {"model": asked["model"], "message": {"role": "assistant", **message}, **rest}
        line = json.dumps(made).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    def fit(self, asked: dict[str, Any], body: dict[str, Any], context: int | None) -> int:
        """Refuse or cut a prompt that is longer than `context`; the count to report if it was cut, else 0."""
        if context is None:
            return 0
        old = tuple(map(int, self.version.split("."))) < (0, 12, 6)
        cut = 0
        while (count := self.tokens(body)) >= context:
            if asked.get("truncate") is False and not old:
                words = f"request ({count} tokens) exceeds the available context size ({context} tokens)"
                kind = {"type": "exceed_context_size_error", "n_prompt_tokens": count, "n_ctx": context}
                raise Refused(400, json.dumps({"error": {"code": 400, "message": words, **kind}}))
            cut = context
            del body["messages"][0]
        if asked.get("shift") is False and not old:
            body["max_tokens"] = min(body.get("max_tokens", context), context - count)
        return cut

    def tokens(self, body: dict[str, Any]) -> int:
        prompt = self.ask("/apply-template", {"messages": body["messages"], "tools": body["tools"]})
        return len(self.ask("/tokenize", {"content": prompt["prompt"]})["tokens"])

    # -- the model --

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        return json.loads(b"".join(self.lines(path, body)))

    def stream(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        for line in self.lines("/v1/chat/completions", body):
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])

    def lines(self, path: str, body: dict[str, Any]) -> Iterator[bytes]:
        connection = HTTPConnection(urlsplit(self.upstream).netloc, timeout=300)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                raise Refused(response.status, response.read().decode())
            yield from response
        finally:
            connection.close()


def messages(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ollama's messages in OpenAI's form: calls with a type, and arguments as text."""
    made = [{key: one[key] for key in one if key != "tool_name"} for one in history]
    for message in made:
        for call in message.get("tool_calls", ()):
            call["type"] = "function"
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return made


@contextmanager
def ollama_server(*, upstream: str = "", template: str = "", version: str = "0.40.2") -> Iterator[str]:
    """Yields the base URL of a server with the model `smollm2` (also `smollm2:135m`).

    `upstream` is the base URL of a running `model_server`; without one it is started. `template` is the chat
    template of that server, which takes tools (the model's own does not). Like Ollama, a `version` below
    0.12.6 cuts long prompts and says nothing.
    """
    with nullcontext(upstream) if upstream else model_server(template=template) as url:
        parts = {"upstream": url, "tools": bool(template), "version": version}
        with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), parts)) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
