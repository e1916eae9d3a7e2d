"""What plugins work with: a `Turn` (engines, reasoning, memories, tools) or a `Stage` (schedules).

Both are scopes. Whatever is not a pure function of the run's log goes through a scope: the kernel journals
it, so that a resume or a replay gives the same answer again. A scope has a place in the run, its own
numbering of calls, its own random stream and its own drafts, so that what happens in one scope shifts nothing
in another.

The kernel implements these classes (in `pyscrai_core.runtime.turn`); plugins only use them.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from .agent import Agent
from .canonical import Json
from .messages import Message
from .records import EVERYONE, Completion, Event, Request

#: A read-only view of a part of the state.
View: TypeAlias = Mapping[str, Any]

Result = TypeVar("Result")
Self = TypeVar("Self", bound="Scope")


class Scope(ABC):
    """What turns and stages share."""

    @abstractmethod
    async def complete(self, request: Request) -> Completion:
        """Ask the model directly.

        What the request leaves open (provider, sampling) is filled in. Raises `CallFailed` and its
        kinds; `AnswerRejected` if the answer does not fit `request.schema` after a bounded number of repairs.
        """

    @abstractmethod
    async def embed(self, texts: Sequence[str], provider: str = "") -> list[list[float]]:
        """One vector for each text, from `provider` (default: the agent's own)."""

    @abstractmethod
    async def ask(self, question: str, patience: float | None = None) -> str:
        """Ask a person and wait up to `patience` seconds (None: without a limit).

        Raises `NoAnswer` when the time is over, `NobodyToAsk` if the run has nobody to ask.
        """

    @abstractmethod
    def now(self) -> float:
        """The run's clock: seconds since 1970, journaled, so that a replay sees the same time."""

    @property
    @abstractmethod
    def random(self) -> random.Random:
        """A random stream of this scope, seeded by the run's seed and the scope's place."""

    @abstractmethod
    async def gather(self: Self, *parts: Callable[[Self], Awaitable[Result]]) -> list[Result]:
        """Run `parts` concurrently, each with a child of this scope; results in the parts' order.

        All parts finish before the first failure, in the parts' order, is raised.
        """

    @property
    @abstractmethod
    def step(self) -> int:
        """The number of the step, from 1 (0: before the first). For a stage: the step about to begin."""

    @property
    @abstractmethod
    def log(self) -> Sequence[Event]:
        """The events so far: for a turn those that the agent may see, for a stage all. Not to be changed."""

    @property
    @abstractmethod
    def premise(self) -> str:
        """What the scenario tells everyone about the world."""

    @property
    @abstractmethod
    def state(self) -> View:
        """The public state of the world, read-only."""


class Turn(Scope):
    """One agent's turn, as its engine, reasoning, memory and tools see it."""

    @property
    @abstractmethod
    def agent(self) -> Agent:
        """Who acts: name, persona, goals, actions, …"""

    @property
    @abstractmethod
    def others(self) -> tuple[str, ...]:
        """The names of the other agents, in the scenario's order."""

    @property
    @abstractmethod
    def number(self) -> int:
        """How many turns this agent has taken before."""

    @property
    @abstractmethod
    def observed(self) -> list[Event]:
        """The events that became visible to the agent since its last turn, its own among them."""

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
        """The names of the agent's actions whose guard holds now."""

    @abstractmethod
    async def recall(self) -> list[Message]:
        """What the agent remembers, as messages; empty if it has no memory."""

    @abstractmethod
    async def think(
        self, prompt: str | Sequence[Message], schema: dict[str, Any] | None = None
    ) -> Completion:
        """Answer `prompt` through the agent's reasoning, with its tools. Only engines call it."""

    @abstractmethod
    async def converse(self, request: Request) -> Completion:
        """Ask the model and run the tools that it calls, until it answers with text.

        The tools' results go back to the model, errors too. After 8 rounds of calls the model is asked once
        more, without tools and with the conversation so far as plain text.
        """

    @abstractmethod
    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Json:
        """The answer of the agent's tool `name`. The use is an event, for the agent and the researcher.

        Raises `ToolFailed` if there is no such tool, if the arguments do not fit its schema, or if the tool
        itself fails.
        """

    @abstractmethod
    def emit(
        self, kind: str, payload: dict[str, Any] | None = None, audience: str | Sequence[str] | None = None
    ) -> None:
        """Draft an event.

        If `kind` is one of the agent's actions, the payload is its arguments and the audience its own.
        Raises `ContractError` if the payload is not I-JSON or does not fit the kind's schema, or if the
        audience does not exist.
        """

    def say(self, text: str, to: str | Sequence[str] = EVERYONE) -> None:
        """Draft the event `say`: `text` is heard by `to` (names of agents and groups)."""
        self.emit("say", {"text": text}, audience=to)

    @abstractmethod
    def change(self, path: str, value: Json, op: Literal["set", "add"] = "set") -> None:
        """Draft a change of the state.

        `path` is dotted: a key of the world's state, `self.KEY` for the agent's own, `groups.NAME.KEY`
        for that of one of its groups. `add` adds to a number or appends to a list.
        """


class Stage(Scope):
    """What a schedule sees when it chooses who acts next."""

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
        """The agents that an event waits for (`acts: {on: …}`), in the scenario's order."""
