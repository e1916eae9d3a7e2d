"""What plugins implement. Each class's docstring is the tutorial for its authors.

All of them share one base, `Component`: a class attribute `Config` (a frozen attrs class) says which
options a scenario may set; the kernel checks them, with line numbers, and hands the result to the
constructor. Options may be typed with what attrs and cattrs understand (`int`, `float`, `bool`, `str`,
`Literal[…]`, unions with None, lists, tuples, dictionaries, nested attrs classes), with the kernel's own
`Prompt`, `FilePath`, `Url`, `SecretName` and `JsonSchema`, and with a contract of this module: a field
`inner: Reasoning` takes a nested `{use: …}` and receives the constructed object.

Components live as long as the run. They may keep state, and that state must follow from what they were
given through their contract alone: a run is executed again from its start when it is resumed or
replayed, so anything else (clocks, files, networks, `random`) comes from the methods of the turn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NewType, Protocol, TypeAlias

from attrs import frozen

from .canonical import Json
from .messages import Message
from .records import CallRecord, Completion, Event, Position, Request, RunResult, RunStatus, Sampling, Usage
from .stored_run import StoredRun
from .turn import Stage, Turn

# -- types for options that mean more than their plain value: the kernel checks them --

#: A file, as an absolute path; a scenario gives it relative to its own folder. Outside of that folder it
#: needs your approval.
FilePath = NewType("FilePath", str)

#: An address that is connected to. One that is neither loopback nor the vendor's own default needs your
#: approval.
Url = NewType("Url", str)

#: The name of an environment variable that holds a secret. Naming one needs your approval.
SecretName = NewType("SecretName", str)

#: A program that is started, with its arguments: `[python, ./server.py]`. What begins with `./` is a file in
#: the scenario's folder. It needs your approval.
Program = NewType("Program", list[str])

#: A JSON Schema (draft 2020-12), checked when the scenario is loaded.
JsonSchema = NewType("JsonSchema", dict[str, Any])


#: Asks a person for an agent: an async function of the agent's name and the question. It may be cancelled.
Ask: TypeAlias = Callable[[str, str], Awaitable[str]]


@frozen
class NoConfig:
    """The Config of a component without options."""


class Component:
    """The base of all contracts: configured, and opened and closed with the run."""

    Config: ClassVar[type] = NoConfig

    def __init__(self, config: Any) -> None:
        #: An instance of `Config`. Look at it when it is needed: a fork may put another one there.
        self.config = config

    async def aopen(self) -> None:
        """Called once before first use, in the run's event loop."""

    async def aclose(self) -> None:
        """Called once at the end of the run, also after a failure, if `aopen` was."""


@frozen
class Probe:
    """A check of a provider: `what` (`key`, `server`, `model`, `weights`), if it is `ok`, and details."""

    what: str
    ok: bool
    detail: str


class Sink(Protocol):
    """Takes the words of an answer while they come, for a person who watches."""

    def write(self, text: str) -> None: ...


class Provider(Component, ABC):
    """Asks a model.

    `complete` sends one request and returns the whole answer. It is a function of its request: no state
    that affects answers, no retry (switch the SDK's own off), no waiting on rate limits, no cache of its
    own; the kernel does that for every vendor alike. Map the vendor's errors to ours
    (`RateLimited(retry_after)`, `Overloaded`, `TimedOut`, `Unreachable`, `AuthenticationFailed`,
    `RequestRejected`, `ContextTooLong`) and do nothing else about them; `pyscrai_core.vendors` helps with
    what vendors that speak HTTP share. Obey `request.seed` where the vendor can, `request.sampling`, and, if
    `capabilities` says so, `request.schema` and `request.tools`. With a `sink`, write the words of the
    answer to it as they come; the completion is the same.

    Options are checked by `Config`; a key is read with `read_secret`, in `aopen`, which raises
    `ConfigError` if there is none.

    ::

        class EchoProvider(Provider):
            async def complete(self, request, sink=None):
                return Completion(text=request.messages[-1].text, model="echo")
    """

    #: Of `tools`, `schema`, `seed`, `stream`, `embed`: what the vendor does natively. Where `tools` or
    #: `schema` is missing, the kernel puts them into words before it asks.
    capabilities: frozenset[str] = frozenset()
    #: How many requests it can work on at the same time; None: as many as come.
    concurrency: int | None = None

    @property
    def account(self) -> str:
        """What the vendor's rate limits are counted for, such as an address, a model and a key's hash.

        Providers with the same account share its limits, in all runs of the process. Empty: shared with
        nobody. It stays in memory.
        """
        return ""

    def refuses(self, sampling: Sampling) -> Mapping[str, str]:
        """Why the model would refuse options of `sampling`: `{"temperature": "this model takes none; …"}`.

        Asked when a scenario is loaded, before `aopen`, and again before each request.
        """
        return {}

    def cost(self, usage: Usage, model: str = "") -> float | None:
        """What a call with this usage costs, in US dollars; None: unknown.

        `model` is the model as served; empty: the configured one, for an estimate.
        """
        return None

    async def probe(self) -> Sequence[Probe]:
        """Look whether the provider could answer, for `pyscrai doctor`; asks for no completion.

        Called without `aopen`. What cannot be known (the key is missing, so the server was not asked) is
        left out.
        """
        return ()

    @abstractmethod
    async def complete(self, request: Request, sink: Sink | None = None) -> Completion: ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text. Optional."""
        raise NotImplementedError(f"{type(self).__name__} has no embeddings")


class Engine(Component, ABC):
    """Plays one agent's turn: from what the agent observed to events.

    `run` looks at `turn` (`agent`, `observed`, `log`, `state`), may `await turn.recall()` for what the
    agent remembers and `await turn.think(prompt)` to reason with a model, and acts through `turn.say`,
    `turn.emit` and `turn.change`. What it drafts becomes part of the log when the turn ends without an
    error; a turn that raises leaves nothing.

    ::

        class Parrot(Engine):
            async def run(self, turn):
                if turn.observed:
                    turn.say(turn.observed[-1].payload.get("text", "…"))
    """

    #: The kinds of events that this engine drafts beside `say` and actions, with the JSON Schema of each.
    emits: ClassVar[Mapping[str, dict[str, Any]]] = {}

    @abstractmethod
    async def run(self, turn: Turn) -> None: ...


class Reasoning(Component, ABC):
    """Turns a request into an answer: at its simplest `return await turn.complete(request)`.

    A strategy may ask several times (`request.but(…)` varies a request), side by side with
    `turn.gather`, and record private thoughts as events (`turn.emit("thought", {"text": …}, audience=())`).
    `request.tools` are the agent's; `turn.converse(request)` asks and runs those that the model calls.
    If `request.schema` is set, the completion that it returns must have `parsed`.
    """

    emits: ClassVar[Mapping[str, dict[str, Any]]] = {}

    @abstractmethod
    async def reason(self, request: Request, turn: Turn) -> Completion: ...


class Memory(Component, ABC):
    """What an agent remembers.

    When an engine recalls, the kernel first hands over all events that became visible to the agent since
    the last time (its own among them, in order), then asks for the messages of the prompt's history.
    Return the same `Message` objects again as the history grows, and append only: that keeps long runs
    fast and the vendors' prefix caches warm. Count tokens with `estimate_tokens`.
    """

    emits: ClassVar[Mapping[str, dict[str, Any]]] = {}

    @abstractmethod
    async def observe(self, events: Sequence[Event], turn: Turn) -> None: ...

    @abstractmethod
    async def recall(self, turn: Turn) -> list[Message]: ...


class Tool(Component, ABC):
    """Something an agent can call.

    With `external = False` it is pure: it acts only through `turn` and is simply executed again. An
    external one reaches outside; its result and the events that it drafted are journaled, and a resumed
    run does not call it again. `repeatable = False` says that calling twice does harm.
    `call` returns plain JSON, of a megabyte at most; whatever it raises becomes `ToolFailed`, which is told
    to the agent. Timeouts and rate limits are the kernel's, and the scenario's to set. All agents share an
    external one that has the same options.
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
    """Several tools at once: what a server or a file offers.

    An external one asks for its tools outside: what it lists is journaled, all of its tools are external, and
    a replay neither opens nor asks it. With `external = False` it follows from its options alone.
    """

    external: bool = True

    @abstractmethod
    async def list(self) -> list[Tool]: ...


class Schedule(Component, ABC):
    """Says who acts next, and who acts at the same time.

    `next` returns the names of the agents that act together in the next step; an empty sequence ends the
    run. `stage.agents` are the agents that it may choose from (those that act `scheduled`), in the
    scenario's order. Draw from `stage.random`.

    Agents that `acts: {on: …}` react to events in a wave of their own behind the group. A schedule that
    sets `schedules_reactions` decides that itself: they act only when it names them, and `stage.pending`
    are those that have something to react to.
    """

    schedules_reactions: ClassVar[bool] = False

    @abstractmethod
    async def next(self, stage: Stage) -> Sequence[str]: ...


class Exporter(Component, ABC):
    """Writes a run in some format."""

    @abstractmethod
    def export(self, run: StoredRun, destination: Path) -> list[Path]:
        """Write `run` below the folder `destination` (it exists); return the files written."""


class Observer(Component):
    """Watches a run, and never changes it. One that raises is reported, then left out.

    The methods are called in the run's event loop and must return quickly.
    """

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        """The run started or goes on (`status` is `running`, no result), is `paused`, or ended."""

    def on_event(self, event: Event) -> None:
        """An event was added to the log."""

    def on_call(self, call: CallRecord) -> None:
        """A call was started, is tried again, was answered, or failed."""

    def on_words(self, position: Position, text: str) -> None:
        """Words of an answer came in, before it is whole. Answers are streamed only if an observer has this.

        What came is void if the call is tried again.
        """


@frozen
class Trial:
    """One run of an experiment: a resolved scenario `document`, its `seed`, and a label."""

    label: str
    document: dict[str, Any]
    seed: int


@frozen
class TrialResult:
    """What became of a trial: `result`, or `error` if it could not be run at all."""

    trial: Trial
    result: RunResult | None
    error: str = ""


class Executor(Component, ABC):
    """Runs the trials of an experiment somewhere: here, in processes, on other machines.

    Yields each result as soon as it is there, in any order.
    """

    @abstractmethod
    def run(self, trials: Sequence[Trial]) -> AsyncIterator[TrialResult]: ...


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
