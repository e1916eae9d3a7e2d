"""The suites that every vendor's provider passes: against llama.cpp with SmolLM2, and against faults."""

from __future__ import annotations

import json
from typing import Any

from pyscrai_core import SecretName, Url
from pyscrai_openai.provider import OpenAIProvider
from pyscrai_testing.providers import VendorSuite


def events(*data: dict[str, Any], done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(one)}\n\n" for one in data]
    return "".join([*lines, *(["data: [DONE]\n\n"] if done else [])]).encode()


class OpenAISuite(VendorSuite):
    key_variable = "OPENAI_API_KEY"
    options: dict[str, Any] = {}

    def provider_at(self, url: str) -> OpenAIProvider:
        # SmolLM2's template leaves tools out; what the server makes of them is tested all the same.
        options = {"api_key": SecretName(self.key_variable), **self.options}
        return OpenAIProvider(OpenAIProvider.Config(model="smollm2", base_url=Url(f"{url}/v1"), **options))

    def error_body(self, status: int, message: str) -> bytes:
        return json.dumps({"error": {"message": message, "type": "some_error", "code": None}}).encode()


class TestChat(OpenAISuite):
    path = "/chat/completions"

    def answer(self) -> bytes:
        message = {"role": "assistant", "content": "Good day."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3}
        return json.dumps({"model": "smollm2", "choices": [choice], "usage": usage}).encode()

    def chunk(self, finish: str | None = None, **delta: str) -> dict[str, Any]:
        return {"model": "smollm2", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    def stream(self) -> bytes:
        usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
        return events(self.chunk(content="Good "), self.chunk(content="day."), self.chunk("stop"), usage)

    def stream_error(self, message: str) -> bytes:
        error = {"error": {"message": message, "type": "server_error"}}
        return events(self.chunk(content="Good "), error, done=False)


class TestResponses(OpenAISuite):
    path = "/responses"
    # llama.cpp passes over the schema here, and the interface has no `stop`.
    options = {"api": "responses", "schema": False}
    obeys = frozenset({"max_tokens"})

    def whole(self) -> dict[str, Any]:
        content = [{"type": "output_text", "text": "Good day."}]
        return {
            "model": "smollm2",
            "status": "completed",
            "error": None,
            "output": [{"type": "message", "role": "assistant", "content": content}],
            "usage": {"input_tokens": 9, "output_tokens": 3},
        }

    def answer(self) -> bytes:
        return json.dumps(self.whole()).encode()

    def words(self, text: str) -> dict[str, Any]:
        return {"type": "response.output_text.delta", "delta": text}

    def stream(self) -> bytes:
        end = {"type": "response.completed", "response": self.whole()}
        return events({"type": "response.created"}, self.words("Good "), self.words("day."), end, done=False)

    def stream_error(self, message: str) -> bytes:
        error = {"type": "error", "code": "server_error", "message": message, "param": None}
        return events(self.words("Good "), error, done=False)
