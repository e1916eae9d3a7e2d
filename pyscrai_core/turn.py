"""What plugins work with: a `Turn` (engines, reasoning, memories, tools) or a `Stage` (schedules).

Both are scopes. Use a scope for everything that is not a pure function of the run's log: the kernel journals
it, so that a resume or a replay gets the same answer. Each scope has a position in the run, and numbers its
calls, draws random numbers and keeps drafts separately, so that scopes do not affect each other.

The kernel implements these classes in `pyscrai_core.runtime.turn`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from pyscrai_records.canonical import Json
from pyscrai_records.messages import Message
from pyscrai_records.records import EVERYONE, Completion, Event, Request

from .agent import Action, Agent

#: A read-only view of a part of the state.
View: TypeAlias = Mapping[str, Any]

Result = TypeVar("Result")
Self = TypeVar("Self", bound="Scope")


class Scope(ABC):
    """The base of turns and stages."""

    @abstractmethod
    async def complete(self, request: Request) -> Completion:
        """Send a request to the model, without the agent's reasoning.

        Missing values (provider, sampling) are filled in. Raises `CallFailed` or a subclass, such as
        `AnswerRejected` if the answer still does not fit `request.schema` after two repairs.
        """

    @abstractmethod
    async def embed(self, texts: Sequence[str], provider: str = "") -> list[list[float]]:
        """Return one vector for each text, from `provider` (default: the agent's own)."""

    @abstractmethod
    async def ask(self, question: str, patience: float | None = None) -> str:
        """Ask a person and wait up to `patience` seconds (None: no limit).

        Raises `NoAnswer` after that time, and `NobodyToAsk` if the run was started without a way to ask.
        """

    @abstractmethod
    def now(self) -> float:
        """The time in seconds since 1970. It is journaled, so that a replay gets the same time."""

    @property
    @abstractmethod
    def random(self) -> random.Random:
        """A random generator for this scope, seeded from the run's seed and the scope's position."""

    @abstractmethod
    async def gather(self: Self, *parts: Callable[[Self], Awaitable[Result]]) -> list[Result]:
        """Run `parts` concurrently, each with a child of this scope. Return their results in order.

        If parts fail, the first failure, in order, is raised after all parts have finished.
        """

    @property
    @abstractmethod
    def step(self) -> int:
        """The number of the step, from 1 (0: before the first). For a stage: the step about to begin."""

    @property
    @abstractmethod
    def log(self) -> Sequence[Event]:
        """The events so far: for a turn those that the agent may see, for a stage all. Read-only."""

    @property
    @abstractmethod
    def premise(self) -> str:
        """The scenario's `world.premise`, which is told to every agent."""

    @property
    @abstractmethod
    def state(self) -> View:
        """The public state of the world, read-only."""


class Turn(Scope):
    """One agent's turn, as its engine, reasoning, memory and tools see it."""

    @property
    @abstractmethod
    def agent(self) -> Agent:
        """The agent that acts: name, persona, goals, actions, …"""

    @property
    @abstractmethod
    def others(self) -> tuple[str, ...]:
        """The names of the other agents, in the scenario's order."""

    @property
    @abstractmethod
    def number(self) -> int:
        """The number of turns that this agent has taken before."""

    @property
    @abstractmethod
    def observed(self) -> list[Event]:
        """The events that became visible to the agent since its last turn, its own included."""

    @property
    @abstractmethod
    def own(self) -> View:
        """The agent's private state, read-only."""

    @property
    @abstractmethod
    def groups(self) -> View:
        """The states of the agent's groups by name, read-only."""

    @property
    @abstractmethod
    def actions(self) -> list[str]:
        """The names of the agent's actions that are possible now.

        Their guard holds, or may hold with the right arguments.
        """

    @abstractmethod
    def action_of(self, event: Event) -> Action | None:
        """The action that an event is, as its source declares it; None if it is not an action."""

    @abstractmethod
    async def recall(self) -> list[Message]:
        """Return what the agent remembers, as messages; empty if it has no memory."""

    @abstractmethod
    async def think(
        self, prompt: str | Sequence[Message], schema: dict[str, Any] | None = None
    ) -> Completion:
        """Answer `prompt` with the agent's reasoning and tools. Only for engines."""

    @abstractmethod
    async def converse(self, request: Request) -> Completion:
        """Send a request and run the tools that the model calls, until it answers with text.

        The model gets the tools' results and errors. After 8 rounds of calls, one more request is sent,
        without tools and with the conversation so far as plain text. Raises `AnswerRejected` if the model
        still calls tools.
        """

    @abstractmethod
    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Json:
        """Call the agent's tool `name` and return its answer. An event records it, visible to the agent.

        Raises `ToolFailed` if the tool does not exist, if the arguments do not fit its schema, or if the tool
        fails.
        """

    @abstractmethod
    def emit(
        self, kind: str, payload: dict[str, Any] | None = None, audience: str | Sequence[str] | None = None
    ) -> None:
        """Draft an event.

        If `kind` is one of the agent's actions, the payload is its arguments, and the audience is the
        action's. Raises `ContractError` if the payload is not I-JSON or does not fit the kind's schema, or if
        the audience does not exist.
        """

    def say(self, text: str, to: str | Sequence[str] = EVERYONE) -> None:
        """Draft the event `say`, visible to `to` (names of agents and groups)."""
        self.emit("say", {"text": text}, audience=to)

    @abstractmethod
    def change(self, path: str, value: Json, op: Literal["set", "add"] = "set") -> None:
        """Draft a change of the state.

        `path` is dotted: a key of the world's state, `self.KEY` for the agent's own state, or
        `groups.NAME.KEY` for the state of one of its groups. `add` adds to a number or appends to a list.
        """


class Stage(Scope):
    """What a schedule uses to choose who acts next."""

    @property
    @abstractmethod
    def agents(self) -> tuple[str, ...]:
        """The names of the agents that may be scheduled, in the scenario's order."""

    @property
    @abstractmethod
    def everyone(self) -> tuple[str, ...]:
        """The names of all agents, in the scenario's order."""

    @property
    @abstractmethod
    def pending(self) -> list[str]:
        """The agents with an event to react to (`acts: {on: …}`), in the scenario's order."""
