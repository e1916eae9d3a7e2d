"""What plugins implement. Each class's docstring is the tutorial for its authors.

All of them share one base, `Component`. Its class attribute `Config` (a frozen attrs class) declares which
options a scenario may set. The kernel checks them, reports mistakes with line numbers, and passes the result
to the constructor. Options may have the types that attrs and cattrs support (`int`, `float`, `bool`, `str`,
`Literal[…]`, unions with None, lists, tuples, dictionaries, nested attrs classes), with the kernel's own
`Prompt`, `FilePath`, `HubFile`, `Url`, `Listen`, `SecretName` and `JsonSchema`, and with a contract of this
module: a field `inner: Reasoning` takes a nested `{use: …}` and receives the constructed object.

Components live as long as the run. They may keep state, but it must depend only on what they are given
through their contract: a run is executed again from its start when it is resumed or replayed. Use the methods
of the turn for everything else, such as clocks, files, networks and random numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NewType, TypeAlias

from attrs import frozen

from pyscrai_answers.bounded_answers import MAX_ANSWER_BYTES
from pyscrai_answers.options import Scorer
from pyscrai_records.canonical import Json
from pyscrai_records.messages import Message
from pyscrai_records.records import (
    Completion,
    Event,
    Position,
    Request,
    RunResult,
    RunStatus,
    Sampling,
    Sink,
    Usage,
)
from pyscrai_records.stored_run import StoredRun

from .base.progress import CallRecord, Execution, ToolRecord, TurnRecord
from .turn import Stage, Turn

# -- types for options that the kernel checks further --

#: A file, as an absolute path. In a scenario, it is relative to the scenario's folder. A file outside of that
#: folder needs your approval.
FilePath = NewType("FilePath", str)

#: A file on the Hugging Face Hub, `hf:ORG/REPO/FILE` or `hf:ORG/REPO@REVISION/FILE`. Its download needs your
#: approval.
HubFile = NewType("HubFile", str)

#: An address to connect to. It needs your approval, unless it is loopback or the vendor's own default.
Url = NewType("Url", str)

#: Where to listen: a port of this machine, or HOST:PORT. A host that others can reach needs your approval.
Listen = NewType("Listen", str)

#: The name of an environment variable that holds a secret. Naming one needs your approval.
SecretName = NewType("SecretName", str)

#: A program to start, with its arguments: `[python, ./server.py]`. A part that begins with `./` is a file in
#: the scenario's folder. The program and the files that it names need your approval.
Program = NewType("Program", list[str])

#: A JSON Schema (draft 2020-12), checked when the scenario is loaded.
JsonSchema = NewType("JsonSchema", dict[str, Any])


#: Asks the person who plays an agent: an async function of the agent's name and the question. It may be
#: cancelled.
Ask: TypeAlias = Callable[[str, str], Awaitable[str]]


@frozen
class NoConfig:
    """The Config of a component without options."""


class Component:
    """The base of all contracts: configured, and opened and closed with the run."""

    Config: ClassVar[type] = NoConfig
    #: Variables with secrets that a library reads by itself, and sends to the address in the options. To name
    #: an address then needs your approval for these too.
    reads: ClassVar[tuple[str, ...]] = ()
    #: Its kind, name, distribution and version, as messages name them. The kernel sets it.
    origin: str = ""
    #: Where an option is in the scenario, for messages: `self.place_of("rules", 0)`. The kernel sets it.
    place_of: Callable[..., str] = staticmethod(lambda *option: "scenario")

    def __init__(self, config: Any) -> None:
        #: An instance of `Config`. Read it when you need it: a fork may replace it.
        self.config = config

    @classmethod
    def check_names(cls, config: Any, names: Any) -> None:
        """Check the names in the options against the scenario, before it runs. Optional.

        Call the methods of `names`, a `ScenarioNames`, for each option that names agents, groups or kinds of
        events, or holds an expression, and for each change of the state. It may be called several times.
        """

    async def aopen(self) -> None:
        """Called once before first use, in the run's event loop."""

    async def aclose(self) -> None:
        """Called once at the end of the run, also after a failure, if `aopen` was called."""


@frozen
class Probe:
    """A check of a provider: `what` (`key`, `server`, `model`, `weights`), if it is `ok`, and `detail`."""

    what: str
    ok: bool
    detail: str


class Provider(Component, Scorer, ABC):
    """Sends requests to a model.

    `complete` sends one request and returns the whole answer. The answer must depend only on the request:
    keep no state that affects answers and no cache, do not retry (disable the SDK's own retries), and do not
    wait for rate limits. The kernel does that for all vendors. Map the vendor's errors to the kernel's
    (`RateLimited(retry_after)`, `Overloaded`, `TimedOut`, `Unreachable`, `AuthenticationFailed`,
    `RequestRejected`, `ContextTooLong`) and do not handle them further; `pyscrai_core.vendors` has helpers
    for HTTP. Use `request.sampling`, `request.seed` if the vendor supports it, and `request.schema` and
    `request.tools` if `capabilities` has them. With a `sink`, write the text of the answer to it as it
    arrives; the completion is the same.

    Return what the model answered as it came (see `Completion`), with a `finish_reason` and the usage that
    the vendor reports: the kernel checks it, and asks the model again if it is malformed. Set `usage` on an
    error if the failed request was paid for.

    `Config` checks the options. Read a key with `read_secret` in `aopen`; it raises `ConfigError` if the key
    is missing. Send the key of `vendor_key` to the vendor's own server alone: a scenario may name another.

    ::

        class EchoProvider(Provider):
            async def complete(self, request, sink=None):
                return Completion(text=request.messages[-1].text, model="echo")
    """

    #: Which of `tools`, `schema`, `seed`, `stop`, `stream`, `embed`, `options` (`score`) the vendor supports
    #: natively. If `tools` or `schema` is missing, the kernel emulates it as text in the prompt.
    capabilities: frozenset[str] = frozenset()
    #: The variable with the key that the vendor's own server gets, if the options name no other.
    vendor_key: ClassVar[str] = ""
    #: The maximum number of simultaneous requests; None: no limit.
    concurrency: int | None = None
    #: The size of the largest answer to read, in bytes after decompression. The kernel sets it.
    max_answer_bytes: int = MAX_ANSWER_BYTES

    @property
    def account(self) -> str:
        """The account to which the vendor's rate limits apply, such as an address, a model and a key's hash.

        Providers with the same account share its limits, in all runs of the process. Empty: the limits are
        not shared. The account is never stored.
        """
        return ""

    def refuses(self, sampling: Sampling) -> Mapping[str, str]:
        """The options of `sampling` that the model does not accept: `{"temperature": "not supported; …"}`.

        Called when a scenario is loaded, before `aopen`, and again before each request.
        """
        return {}

    def cost(self, usage: Usage, model: str = "") -> float | None:
        """The cost of a call with this usage, in US dollars; None: unknown.

        `model` is the model as served; empty: the configured one, for an estimate.
        """
        return None

    async def probe(self) -> Sequence[Probe]:
        """Check whether the provider is usable, for `pyscrai doctor`, without requesting a completion.

        Called without `aopen`. Leave out what cannot be checked, such as the server if the key is missing.
        """
        return ()

    @abstractmethod
    async def complete(self, request: Request, sink: Sink | None = None) -> Completion: ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text. Optional."""
        raise NotImplementedError(f"{type(self).__name__} has no embeddings")


class Engine(Component, ABC):
    """Plays one agent's turn: reads what the agent observed, and drafts events.

    `run` reads `turn` (`agent`, `observed`, `log`, `state`). It may call `await turn.recall()` for what the
    agent remembers and `await turn.think(prompt)` to query the model. It acts through `turn.say`, `turn.emit`
    and `turn.change`. The drafts are added to the log when the turn ends. If the turn raises, they are
    discarded.

    ::

        class Parrot(Engine):
            async def run(self, turn):
                if turn.observed:
                    turn.say(turn.observed[-1].payload.get("text", "…"))
    """

    #: The kinds of events that this engine drafts beside `say` and actions, with the JSON Schema of each.
    emits: ClassVar[Mapping[str, dict[str, Any]]] = {}
    #: Whether its answers may contain lines of other agents, like those of a narrator. Otherwise the kernel
    #: takes such lines out of the answers of `turn.think`.
    narrates: ClassVar[bool] = False

    @abstractmethod
    async def run(self, turn: Turn) -> None: ...


class Reasoning(Component, ABC):
    """Turns a request into an answer: at its simplest `return await turn.complete(request)`.

    A strategy may send several requests (`request.but(…)` makes a changed copy), concurrently with
    `turn.gather`, and record private thoughts as events (`turn.emit("thought", {"text": …}, audience=())`).
    `request.tools` are the agent's tools; `turn.converse(request)` runs those that the model calls. If
    `request.schema` is set, the returned completion must have `parsed`.
    """

    emits: ClassVar[Mapping[str, dict[str, Any]]] = {}

    @abstractmethod
    async def reason(self, request: Request, turn: Turn) -> Completion: ...


class Memory(Component, ABC):
    """What an agent remembers.

    When an engine calls `turn.recall()`, the kernel first calls `observe` with all events that became visible
    to the agent since the last time, its own included, in order. Then it calls `recall` for the messages of
    the prompt's history. As the history grows, return the same `Message` objects again and only append new
    ones: long runs stay fast, and the vendors' prefix caches can be used. Count tokens with
    `estimate_tokens`.
    """

    emits: ClassVar[Mapping[str, dict[str, Any]]] = {}

    @abstractmethod
    async def observe(self, events: Sequence[Event], turn: Turn) -> None: ...

    @abstractmethod
    async def recall(self, turn: Turn) -> list[Message]: ...


class Tool(Component, ABC):
    """Something an agent can call.

    With `external = False`, the tool is pure: it acts only through `turn`, and a resumed run executes it
    again. An external tool may access the outside. Its result and the events that it drafted are journaled,
    and a resumed run does not call it again. Set `repeatable = False` if a second call would do harm. `call`
    returns plain JSON of at most one megabyte. An exception becomes `ToolFailed`, and the agent is told. The
    scenario sets timeouts and rate limits, and the kernel applies them. All agents share one instance of an
    external tool with the same options.
    """

    name: str = ""
    description: str = ""
    #: JSON Schema of the arguments, an object.
    parameters: Mapping[str, Any] = {"type": "object"}
    external: bool = True
    repeatable: bool = True

    @abstractmethod
    async def call(self, arguments: dict[str, Any], turn: Turn) -> Json: ...


class Toolset(Component, ABC):
    """Several tools at once, such as those of a server or a file.

    An external toolset gets its tools from outside. The list is journaled, all of its tools are external, and
    a replay does not open it. With `external = False`, the list must depend only on the options.
    """

    external: bool = True

    @abstractmethod
    async def list(self) -> list[Tool]: ...


class Schedule(Component, ABC):
    """Determines who acts next, and who acts at the same time.

    `next` returns the names of the agents that act together in the next step; an empty sequence ends the
    run. `stage.agents` are the agents that it may choose from (those that act `scheduled`), in the
    scenario's order. Draw from `stage.random`.

    Agents with `acts: {on: …}` react to events after the group has acted. If a schedule sets
    `schedules_reactions`, they act only when it names them; `stage.pending` lists those that have an event to
    react to.
    """

    schedules_reactions: ClassVar[bool] = False

    @classmethod
    def most_steps(cls, config: Any, agents: Sequence[str]) -> int | None:
        """How many steps it makes at most with these `agents`, so that progress can be shown. Optional.

        None: it cannot be known. `agents` are those that the schedule may choose from.
        """
        return None

    @abstractmethod
    async def next(self, stage: Stage) -> Sequence[str]: ...


class Exporter(Component, ABC):
    """Writes runs in some format: one or more of them, which may be very long, so read them as iterators."""

    @abstractmethod
    def export(self, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
        """Write `runs` below the folder `destination` (it exists), all or nothing; return the files."""


class Observer(Component):
    """Observes a run without changing it. An observer that raises is reported and no longer called.

    The methods are called in the run's event loop and must return quickly. One observer may watch several
    runs at the same time. The methods are called in the context (`contextvars`) of the task that executes the
    run, so a variable that `on_begin` sets tells which run it is.
    """

    def on_begin(self, execution: Execution) -> None:
        """An execution begins; `on_run` follows."""

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        """The run started or continues (`status` is `running`, no result), is `paused`, or ended."""

    def on_event(self, event: Event) -> None:
        """An event was added to the log."""

    def on_call(self, call: CallRecord) -> None:
        """A call was started, is retried, was answered, or failed."""

    def on_turn(self, turn: TurnRecord) -> None:
        """A turn began or ended. Its events follow when those of its group are added to the log."""

    def on_tool(self, tool: ToolRecord) -> None:
        """A tool is used, or has answered or failed."""

    def on_words(self, position: Position, text: str) -> None:
        """A part of what an agent says arrived. Answers are streamed only if an observer implements this.

        Discard the parts if the call is retried.
        """


@frozen
class Trial:
    """What the runner has as `plan`, or `run` resumed. It takes over answers of the runs `reuse`."""

    plan: str
    seed: int
    labels: dict[str, str]
    run: str = ""
    reuse: tuple[str, ...] = ()


@frozen
class TrialResult:
    """How a trial ended. `asked` calls were made now, which cost `dollars`, as far as that is known."""

    trial: Trial
    run: str
    status: RunStatus
    error: str
    asked: int
    dollars: float


class Executor(Component, ABC):
    """Runs the trials of an experiment: in this process, in others, or on other machines.

    Pass blocks to `run` of the runner, a `pyscrai_core.runtime.trials.Trials`, at most `concurrency` at a
    time; yield each result at once, in any order.
    """

    @abstractmethod
    def run(
        self, blocks: Sequence[Sequence[Trial]], runner: Any, concurrency: int
    ) -> AsyncIterator[TrialResult]: ...


#: The contract behind each kind of extension that a scenario can name with `use:`.
CONTRACTS: dict[str, type[Component]] = {
    "provider": Provider,
    "engine": Engine,
    "reasoning": Reasoning,
    "tool": Tool,
    "memory": Memory,
    "schedule": Schedule,
    "exporter": Exporter,
    "observer": Observer,
    "executor": Executor,
}
