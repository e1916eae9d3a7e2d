"""The door: what plugin code may do, and the only way in which it reaches anything outside.

A `Turn` (for engines, reasoning, memories and tools) and a `Stage` (for schedules) are scopes. Each has a
path in the run, its own numbering of effects, its own random stream and its own drafts, so that what
happens in one does not shift anything in another.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson
from attrs import define, field, frozen

from .. import seeds
from ..errors import (
    BudgetSpent,
    CallFailed,
    ContractError,
    Divergence,
    InputError,
    PyscraiError,
    ToolFailed,
    TransientError,
    Uncertain,
)
from ..records import (
    EVERYONE,
    Completion,
    Event,
    Json,
    Message,
    Position,
    Request,
    Sampling,
    ToolCall,
    ToolResult,
    as_audience,
)
from . import emulation
from .state import View

if TYPE_CHECKING:
    from ..agent import Agent
    from .participant import Player
    from .run import Run

#: How often in a row a model may call tools before it has to answer.
TOOL_ROUNDS = 8
#: So much of a tool's answer is told.
TOOL_CHARACTERS = 8_000

Result = TypeVar("Result")
Self = TypeVar("Self", bound="Scope")


class Exhausted(PyscraiError):
    """A replay has come to the end of what was recorded of an unfinished run."""


#: Failures that end the turn even if plugin code catches them.
STICKY = (TransientError, ContractError, Divergence, BudgetSpent, Exhausted, InputError, Uncertain)


class Stopping(BaseException):
    """Raised at the door when the run is being stopped: no new effect starts. Not for plugins to catch."""


@frozen
class Draft:
    """What a turn wants to add to the log."""

    kind: str
    payload: dict[str, Any]
    audience: tuple[str, ...]
    cause: int | None


@define
class Trouble:
    """The first sticky failure of a turn, shared by all of its scopes, and the calls that failed so."""

    error: BaseException | None = None
    calls: set[int] = field(factory=set)


class Scope:
    """The part of the door that turns and stages share."""

    def __init__(self, run: Run, who: str, step: int, path: str, trouble: Trouble) -> None:
        self._run = run
        self._who = who
        self._step = step
        self._path = path
        self._trouble = trouble
        self._effects = 0
        self._children: dict[str, int] = {}
        self._random: random.Random | None = None
        self._task = asyncio.current_task()

    # -- what a component may ask for --

    async def complete(self, request: Request) -> Completion:
        """Ask the model directly.

        What the request leaves open (provider, sampling) is filled in. Raises `CallFailed` and its
        kinds; `AnswerRejected` if the answer does not fit `request.schema` after a bounded repair.
        """
        return await self._effect(self._run.road.complete(self._complete_request(request), self._place))

    async def embed(self, texts: Sequence[str], provider: str = "") -> list[list[float]]:
        """One vector for each text, from `provider` (default: the agent's own)."""
        return await self._effect(
            self._run.road.embed(list(texts), provider or self._provider(), self._place)
        )

    async def ask(self, question: str, patience: float | None = None) -> str:
        """Ask a person, who has `patience` seconds (None: any time).

        Raises `NoAnswer` if they have passed, `NobodyToAsk` if the run has nobody.
        """
        return await self._effect(self._run.road.ask(question, patience, self._place))

    def now(self) -> float:
        """The run's clock: seconds since 1970, journaled, so that a replay sees the same time."""
        self._check()
        return self._run.road.now(self._place())

    @property
    def random(self) -> random.Random:
        """A random stream of this scope, seeded by the run's seed and the scope's place."""
        if self._random is None:
            self._random = seeds.stream(self._run.seed, self._who, self._step, self._path)
        return self._random

    async def gather(self: Self, *parts: Callable[[Self], Awaitable[Result]]) -> list[Result]:
        """Run `parts` side by side, each with a child of this scope; results in the parts' order.

        All parts finish before the first failure, in the parts' order, is raised.
        """
        self._check()
        children = [self._child("part") for _ in parts]

        async def branch(part: Callable[[Self], Awaitable[Result]], child: Self) -> Result:
            child._task = asyncio.current_task()
            return await part(child)

        tasks = [
            asyncio.ensure_future(branch(part, child)) for part, child in zip(parts, children, strict=True)
        ]
        try:
            if tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        failures = [error for task in tasks if (error := task.exception()) is not None]
        if failures:
            first = failures[0]
            if isinstance(first, CallFailed):
                # They failed together, so a resume asks them all again.
                first.calls = tuple(
                    call for error in failures if isinstance(error, CallFailed) for call in error.calls
                )
            raise first
        for child in children:
            self._adopt(child)
        return [task.result() for task in tasks]

    # -- the kernel's own --

    def _place(self) -> Position:
        self._effects += 1
        return Position(self._who, self._step, f"{self._path}#{self._effects}")

    def _child(self: Self, name: str) -> Self:
        number = self._children[name] = self._children.get(name, 0) + 1
        return self._make(f"{self._path}/{name}.{number}")

    def _make(self: Self, path: str) -> Self:
        raise NotImplementedError

    def _adopt(self: Self, child: Self) -> None:
        """Take over what a child drafted."""

    def _provider(self) -> str:
        raise NotImplementedError

    def _complete_request(self, request: Request) -> Request:
        provider = request.provider or self._provider()
        sampling = self._run.sampling(provider)
        if request.sampling != Sampling():
            given = request.sampling
            sampling = Sampling(
                given.temperature if given.temperature is not None else sampling.temperature,
                given.top_p if given.top_p is not None else sampling.top_p,
                given.max_tokens if given.max_tokens is not None else sampling.max_tokens,
                given.stop or sampling.stop,
            )
        return request.but(provider=provider, sampling=sampling)

    def _check(self) -> None:
        if asyncio.current_task() is not self._task:
            raise self._stick(
                ContractError(
                    f"{self._who}: an effect was started from a task of its own, expected the "
                    "turn's own; use `gather` to do things side by side, and leave timeouts to the kernel"
                )
            )

    def _stick(self, error: BaseException) -> BaseException:
        if self._trouble.error is None:
            self._trouble.error = error
        return error

    async def _effect(self, effect: Awaitable[Result]) -> Result:
        try:
            self._check()
        except ContractError:
            effect.close()  # type: ignore[attr-defined]
            raise
        try:
            return await effect
        except (*STICKY, Stopping) as error:
            self._stick(error)
            if isinstance(error, TransientError):
                self._trouble.calls.update(error.calls)
            raise
        except asyncio.CancelledError:
            if not self._run.stopping:
                self._stick(
                    ContractError(
                        f"{self._who}: plugin code cancelled an effect; leave timeouts to the kernel"
                    )
                )
            raise


class Turn(Scope):
    """One agent's turn, as its engine, reasoning, memory and tools see it."""

    def __init__(
        self,
        run: Run,
        player: Player,
        step: int,
        path: str,
        cause: int | None,
        trouble: Trouble,
        horizon: int,
    ) -> None:
        super().__init__(run, player.agent.name, step, path, trouble)
        self._player = player
        self._cause = cause
        self._horizon = horizon
        self._drafts: list[Draft] = []

    def _make(self, path: str) -> Turn:
        return Turn(self._run, self._player, self._step, path, self._cause, self._trouble, self._horizon)

    def _adopt(self, child: Turn) -> None:
        self._drafts.extend(child._drafts)

    def _provider(self) -> str:
        return self._player.agent.provider

    # -- what the agent is and sees --

    @property
    def agent(self) -> Agent:
        """Who acts: name, persona, goals, actions, …"""
        return self._player.agent

    @property
    def premise(self) -> str:
        """What the scenario says of the world, to everyone."""
        return self._run.scenario.premise

    @property
    def others(self) -> tuple[str, ...]:
        """The names of the agents that take part beside this one, in the scenario's order."""
        return tuple(name for name in self._run.scenario.agents if name != self._who)

    @property
    def step(self) -> int:
        """The number of the step, from 1 (0: before the first)."""
        return self._step

    @property
    def number(self) -> int:
        """How many turns this agent has taken before."""
        return self._player.turns

    @property
    def observed(self) -> list[Event]:
        """The events that became visible to the agent since its last turn, its own among them."""
        return self._player.observed

    @property
    def log(self) -> list[Event]:
        """All events that the agent may see."""
        return self._run.log.visible(self._who, until=self._horizon)

    @property
    def state(self) -> View:
        """The public state of the world, read-only."""
        return self._run.snapshot.world

    @property
    def own(self) -> View:
        """The agent's private state, read-only."""
        return self._run.snapshot.agents[self._who]

    @property
    def groups(self) -> View:
        """The states of the agent's groups by name, read-only."""
        return self._run.snapshot.of_groups(self._player.agent.groups)

    @property
    def actions(self) -> list[str]:
        """The names of the agent's actions whose guard holds now."""
        return self._run.open_actions(self._player.agent)

    # -- what the agent does --

    async def recall(self) -> list[Message]:
        """What the agent remembers, as messages; nothing if it has no memory."""
        self._check()
        memory = self._player.memory
        if memory is None:
            return []
        child = self._child("recall")
        fresh = self._player.unremembered()
        if fresh:
            await memory.observe(fresh, child)
        messages = await memory.recall(child)
        self._adopt(child)
        return messages

    async def think(
        self, prompt: str | Sequence[Message], schema: dict[str, Any] | None = None
    ) -> Completion:
        """Answer `prompt` through the agent's reasoning, with its tools. Only engines call it."""
        self._check()
        messages = (Message.user(prompt),) if isinstance(prompt, str) else tuple(prompt)
        child = self._child("think")
        request = child._complete_request(Request(messages, schema=schema, tools=self._player.specs))
        reasoning = self._player.reasoning
        if reasoning is None:
            completion = await child.converse(request)
        else:
            completion = await reasoning.reason(request, child)
        self._adopt(child)
        return completion

    async def converse(self, request: Request) -> Completion:
        """Ask the model, and run the tools that it calls, until it answers in words.

        What the tools answer goes back to the model, errors too. After `TOOL_ROUNDS` rounds of calls it is
        asked once more with what it did in words, and has no tools to call any more.
        """
        for _ in range(TOOL_ROUNDS):
            completion = await self.complete(request)
            if not completion.tool_calls:
                return completion
            results = tuple([await self._answer_call(call) for call in completion.tool_calls])
            request = request.but(
                messages=(*request.messages, completion.message(), Message("tool", results))
            )
        # Vendors refuse a history with calls of tools that are not offered, so it has none.
        last = Message.user("No more tools can be used now. Answer with what you know.")
        spoken = emulation.in_words(request.messages, emulation.spoken)
        return await self.complete(request.but(messages=(*spoken, last), tools=()))

    async def _answer_call(self, call: ToolCall) -> ToolResult:
        """The answer to a model's call, as it is told: what goes wrong is for the model to mend."""
        try:
            return ToolResult(call.id, told(await self.call_tool(call.name, call.arguments)))
        except ToolFailed as error:
            return ToolResult(call.id, told(str(error)), failed=True)

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Json:
        """The answer of the agent's tool `name`; the use is an event, for the agent and the researcher.

        Raises `ToolFailed` if there is no such tool, if the arguments do not fit its schema, or with the
        tool's own words.
        """
        self._check()
        use: dict[str, Any] = {"name": name, "arguments": arguments}
        try:
            tool = self._player.tools.get(name)
            if tool is None:
                known = ", ".join(sorted(self._player.tools)) or "none"
                raise ToolFailed(f"there is no tool {name!r}; the tools: {known}")
            child = self._child("tool")
            result = await self._effect(self._run.road.tool(tool, arguments, child))
        except ToolFailed as error:
            self._drafts.append(Draft("tool", {**use, "error": told(str(error))}, (), self._cause))
            raise
        self._drafts.append(Draft("tool", {**use, "result": told(result)}, (), self._cause))
        self._adopt(child)
        return result

    def say(self, text: str, to: str | Sequence[str] = EVERYONE) -> None:
        """Draft the event `say`: `text` is heard by `to` (names of agents and groups)."""
        self.emit("say", {"text": text}, audience=to)

    def emit(
        self, kind: str, payload: dict[str, Any] | None = None, audience: str | Sequence[str] | None = None
    ) -> None:
        """Draft an event.

        If `kind` is one of the agent's actions, the payload is its arguments and the audience its own.
        Raises `ContractError` if the payload is not I-JSON or not what the kind's schema demands, or if
        the audience does not exist.
        """
        self._check()
        action = self._player.agent.actions.get(kind)
        if audience is None:
            audience = action.audience if action else EVERYONE
        try:
            self._drafts.append(
                self._run.rules.draft(self._player, kind, payload or {}, as_audience(audience), self._cause)
            )
        except ContractError as error:
            raise self._stick(error) from None

    def change(self, path: str, value: Json, op: Literal["set", "add"] = "set") -> None:
        """Draft a change of the state.

        `path` is dotted: a key of the world's state, `self.KEY` for the agent's own, `groups.NAME.KEY`
        for that of one of its groups. `add` adds to a number or appends to a list.
        """
        self._check()
        try:
            self._drafts.append(self._run.rules.change(self._player, path, value, op, self._cause))
        except ContractError as error:
            raise self._stick(error) from None


class Stage(Scope):
    """What a schedule sees when it chooses who acts next."""

    def __init__(self, run: Run, step: int, path: str = "0", trouble: Trouble | None = None) -> None:
        super().__init__(run, "@schedule", step, path, trouble or Trouble())

    def _make(self, path: str) -> Stage:
        return Stage(self._run, self._step, path, self._trouble)

    def _provider(self) -> str:
        return self._run.default_provider()

    @property
    def step(self) -> int:
        """The number of the step that is about to begin, from 1."""
        return self._step

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of the agents that may be scheduled, in the scenario's order."""
        return self._run.scheduled

    @property
    def everyone(self) -> tuple[str, ...]:
        """The names of all agents, in the scenario's order."""
        return tuple(self._run.scenario.agents)

    @property
    def pending(self) -> list[str]:
        """The names of the agents that an event waits for (`acts: {on: …}`), in the scenario's order."""
        return self._run.pending()

    @property
    def log(self) -> Sequence[Event]:
        """All events so far; the log itself, not to be changed."""
        return self._run.log.events

    @property
    def premise(self) -> str:
        """What the scenario says of the world, to everyone."""
        return self._run.scenario.premise

    @property
    def state(self) -> View:
        """The public state of the world, read-only."""
        return self._run.snapshot.world


def told(result: Json) -> str:
    """A tool's answer as a model and the log are told it: text as it is, the rest as JSON, bounded."""
    text = result if isinstance(result, str) else orjson.dumps(result).decode()
    if len(text) <= TOOL_CHARACTERS:
        return text
    return f"{text[:TOOL_CHARACTERS]}… (cut here: {len(text) - TOOL_CHARACTERS:,} more characters)"


def draft_to_dict(draft: Draft) -> dict[str, Any]:
    return {
        "kind": draft.kind,
        "payload": draft.payload,
        "audience": list(draft.audience),
        "cause": draft.cause,
    }
