"""Turns and stages of a run: the kernel's side of `pyscrai_core.turn`."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

import orjson
from attrs import asdict, define, evolve, field

from pyscrai_answers import emulation
from pyscrai_answers.textual_calls import with_textual_calls
from pyscrai_records.base.frozen import freeze, freeze_list
from pyscrai_records.base.suggest import quote
from pyscrai_records.base.time_limit import ended, spawn
from pyscrai_records.canonical import Json, canonical, check_json
from pyscrai_records.errors import (
    AnswerRejected,
    BudgetSpent,
    CallFailed,
    ContractError,
    Divergence,
    EndOfRecord,
    InputError,
    RunStopping,
    ToolFailed,
    TransientError,
    Uncertain,
)
from pyscrai_records.messages import Message, ToolCall, ToolResult
from pyscrai_records.records import EVERYONE, Completion, Event, Position, Request, Sampling, as_audience

from ..agent import Action, Agent
from ..base import seeds
from ..calls.bound_tools import BoundTool
from ..contracts import Component
from ..discovery.blame import awaitable, check_list, executing, origin, wrong
from ..turn import Scope, Stage, Turn, View
from .call_pipeline import CallPipeline
from .participant import Participant
from .rules import Draft
from .world import World

#: How often in a row a model may call tools before it has to answer.
TOOL_ROUNDS = 8
#: The longest answer of a tool that a model and the log are given, in characters.
TOOL_CHARACTERS = 8_000

Result = TypeVar("Result")
Self = TypeVar("Self", bound="RunScope")

#: Failures that end the turn even if plugin code catches them.
UNCATCHABLE = (TransientError, ContractError, Divergence, BudgetSpent, EndOfRecord, InputError, Uncertain)


@define
class TurnFailure:
    """The first uncatchable failure of a turn, shared by all of its scopes, and the calls that failed so."""

    error: BaseException | None = None
    calls: set[int] = field(factory=set)

    def set(self, error: BaseException) -> BaseException:
        """Keep `error` if it is the first; returns it, to be raised."""
        if self.error is None:
            self.error = error
        return error


class RunScope(Scope):
    """A scope at the path `path` of the agent (or `@schedule`) `who` in a step.

    `provider` answers the requests that name none.
    """

    def __init__(
        self, world: World, calls: CallPipeline, who: str, provider: str, step: int, path: str
    ) -> None:
        self._world = world
        self._calls = calls
        self._who = who
        self._provider = provider
        self._step = step
        self.failure = TurnFailure()
        #: The only task that may start calls in this scope.
        self.task: asyncio.Task[Any] | None = None
        self._begin(path)

    def _begin(self, path: str) -> None:
        self._path = path
        self._numbered = 0
        self._children: dict[str, int] = {}
        self._random: random.Random | None = None
        self.drafts: list[Draft] = []

    async def complete(self, request: Request) -> Completion:
        return await self._call(self._calls.complete(self._filled(request), self._place))

    async def embed(self, texts: Sequence[str], provider: str = "") -> list[list[float]]:
        return await self._call(
            self._calls.embed(freeze_list(texts), provider or self._provider, self._place())
        )

    async def ask(self, question: str, patience: float | None = None) -> str:
        return await self._call(self._calls.ask(question, patience, self._place()))

    def now(self) -> float:
        self._check()
        return self._calls.now(self._place())

    @property
    def random(self) -> random.Random:
        if self._random is None:
            self._random = seeds.stream(self._world.seed, self._who, self._step, self._path)
        return self._random

    async def gather(self: Self, *parts: Callable[[Self], Awaitable[Result]]) -> list[Result]:
        self._check()
        children = [self._child("part") for _ in parts]

        async def branch(part: Callable[[Self], Awaitable[Result]], child: Self) -> Result:
            child.task = asyncio.current_task()
            return await part(child)

        tasks = [spawn(branch(part, child)) for part, child in zip(parts, children, strict=True)]
        await ended(tasks)
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

    @property
    def position(self) -> Position:
        """The position of the scope, with which those of its calls begin."""
        return Position(self._who, self._step, self._path)

    @property
    def step(self) -> int:
        return self._step

    @property
    def premise(self) -> str:
        return self._world.scenario.premise

    @property
    def state(self) -> View:
        return self._world.snapshot.world

    # -- for subclasses --

    def _child(self: Self, name: str) -> Self:
        number = self._children[name] = self._children.get(name, 0) + 1
        child = object.__new__(type(self))
        child.__dict__.update(self.__dict__)
        child._begin(f"{self._path}/{name}.{number}")
        return child

    def _adopt(self: Self, child: Self) -> None:
        """Take over what a child drafted."""
        self.drafts.extend(child.drafts)

    def _place(self) -> Position:
        """The position of the next call."""
        self._numbered += 1
        return Position(self._who, self._step, f"{self._path}#{self._numbered}")

    def _filled(self, request: Request) -> Request:
        """A request with its provider, and with that provider's sampling where it leaves some open."""
        provider = request.provider or self._provider
        sampling = self._world.sampling(provider)
        if request.sampling is not sampling and request.sampling != Sampling():
            options = asdict(request.sampling, recurse=False).items()
            sampling = evolve(sampling, **{name: one for name, one in options if one not in (None, ())})
        if provider == request.provider and sampling == request.sampling:
            return request
        return request.but(provider=provider, sampling=sampling)

    def _check(self) -> None:
        if asyncio.current_task() is not self.task:
            raise self.failure.set(
                ContractError(
                    f"{self._who}: a call was started in another task, expected the turn's own; "
                    "use `gather` to run things concurrently, and leave timeouts to the kernel"
                )
            )

    async def _call(self, call: Awaitable[Result]) -> Result:
        """Await a call of the kernel; what plugin code must not catch is kept as the turn's failure."""
        try:
            self._check()
        except ContractError:
            call.close()  # type: ignore[attr-defined]
            raise
        try:
            return await call
        except (*UNCATCHABLE, RunStopping) as error:
            self.failure.set(error)
            if isinstance(error, TransientError):
                self.failure.calls.update(error.calls)
            raise
        except asyncio.CancelledError:
            if not (self._calls.stopping or self._calls.late):
                self.failure.set(
                    ContractError(f"{self._who}: plugin code cancelled a call; leave timeouts to the kernel")
                )
            raise


class RunTurn(RunScope, Turn):
    """A participant's turn, on the log as it is now. It answers the event `cause`."""

    def __init__(
        self, world: World, calls: CallPipeline, participant: Participant, path: str, cause: int | None
    ) -> None:
        agent = participant.agent
        super().__init__(world, calls, agent.name, agent.provider, world.step, path)
        self.participant = participant
        self.cause = cause
        #: Whether the last answer to `think` was cut off.
        self._truncated = False
        self._horizon = len(world.log)

    @property
    def agent(self) -> Agent:
        return self.participant.agent

    @property
    def others(self) -> tuple[str, ...]:
        names = [*self._world.agents]
        names.remove(self._who)
        return tuple(names)

    @property
    def number(self) -> int:
        return self.participant.turns

    @property
    def observed(self) -> list[Event]:
        return self.participant.observed

    @property
    def log(self) -> list[Event]:
        return self._world.log.visible(self._who, until=self._horizon)

    @property
    def own(self) -> View:
        return self._world.snapshot.of_agent(self._who)

    @property
    def groups(self) -> View:
        return self._world.snapshot.of_groups(self.participant.agent.groups)

    @property
    def actions(self) -> list[str]:
        try:
            return self._world.open_actions(self.participant.agent)
        except ContractError as error:
            raise self.failure.set(error) from None

    def action_of(self, event: Event) -> Action | None:
        source = self._world.agents.get(event.source)
        return source.actions.get(event.kind) if source else None

    async def recall(self) -> list[Message]:
        self._check()
        memory = self.participant.memory
        if memory is None:
            return []
        child = self._child("recall")
        fresh = self.participant.unremembered()
        if fresh:
            await self._of(memory, "observe", fresh, child)
        messages = await self._of(memory, "recall", child)
        try:
            check_list(memory, "recall", messages, Message, "a list of messages")
        except ContractError as error:
            raise self.failure.set(error) from None
        self._adopt(child)
        return list(messages)  # the memory keeps its own

    async def think(
        self, prompt: str | Sequence[Message], schema: dict[str, Any] | None = None
    ) -> Completion:
        self._check()
        messages = (Message.user(prompt),) if isinstance(prompt, str) else tuple(prompt)
        child = self._child("think")
        speaks = not self.participant.engine.narrates
        sampling = self._world.sampling(self._provider)
        request = Request(messages, schema, self.participant.specs, sampling, speaks, self._provider)
        reasoning = self.participant.reasoning
        if reasoning is None:
            completion = await child.converse(request)
        else:
            completion = await self._of(reasoning, "reason", request, child)
            if not isinstance(completion, Completion):
                raise self.failure.set(wrong(reasoning, "reason", completion, "a Completion"))
        self._adopt(child)
        self._truncated = completion.truncated
        return completion

    async def _of(self, component: Component, method: str, *arguments: Any) -> Any:
        """What a method of the agent's memory or reasoning returns."""
        try:
            work = awaitable(component, method, getattr(component, method)(*arguments))
        except ContractError as error:  # no plugin code must catch it
            raise self.failure.set(error) from None
        return await work

    async def converse(self, request: Request) -> Completion:
        for _ in range(TOOL_ROUNDS):
            completion = await self.complete(request)
            if not completion.tool_calls:
                return completion
            results = tuple([await self._tool_result(call) for call in completion.tool_calls])
            request = request.but(
                messages=(*request.messages, completion.message(), Message("tool", results))
            )
        # Vendors refuse a history with calls of tools that are not offered, so it has none.
        last = Message.user("No more tools can be used now. Answer with what you know.")
        flat = emulation.flatten(request.messages, emulation.past_tense)
        try:
            completion = await self.complete(request.but(messages=(*flat, last), tools=()))
            # A form that the tools' names alone make a call is not known as one without them.
            if not with_textual_calls(completion, request).tool_calls:
                return completion
            error = AnswerRejected("it called a tool again")
        except AnswerRejected as failure:
            error = failure
        error.args = (
            f"the model keeps calling tools: {TOOL_ROUNDS} times in a row, and when it was told to answer "
            f"with what it knows: {error}; or give the agent fewer tools, or let it work in steps with "
            "`reasoning: react`",
        )
        raise error

    async def _tool_result(self, call: ToolCall) -> ToolResult:
        """What a model is told of its call: what goes wrong is for the model to correct."""
        try:
            return ToolResult(call.id, truncate_result(await self.call_tool(call.name, call.arguments)))
        except ToolFailed as error:
            return ToolResult(call.id, truncate_result(str(error)), failed=True)

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Json:
        self._check()
        try:
            use = freeze({"name": name, "arguments": check_json(arguments, "arguments")})
        except ValueError as error:
            what = f"agents.{self._who}: tool {name}: {error}; expected plain JSON"
            raise self.failure.set(ContractError(what)) from None
        try:
            tool = self.participant.tools.get(name)
            if tool is None:
                known = ", ".join(sorted(self.participant.tools)) or "none"
                raise ToolFailed(f"there is no tool {quote(name)}; the tools: {known}")
            child = self._child("tool")
            using = self._use(tool, arguments, child)
            result = await self._call(self._calls.observers.tool(child.position, use, using))
        except ToolFailed as error:
            self.drafts.append(Draft("tool", {**use, "error": truncate_result(str(error))}, (), self.cause))
            raise
        self.drafts.append(Draft("tool", {**use, "result": truncate_result(result)}, (), self.cause))
        self._adopt(child)
        return result

    async def _use(self, tool: BoundTool, arguments: dict[str, Any], child: RunTurn) -> Json:
        """Call a tool in the scope `child`; the answer of an external one is journaled, with its drafts."""
        arguments = tool.checked(arguments)
        if not tool.external:
            result: Json = orjson.loads(await tool.call(arguments, child))
            return result

        async def act() -> bytes:
            child.task = asyncio.current_task()
            body = await tool.call(arguments, child)
            drafts = canonical([asdict(draft, recurse=False) for draft in child.drafts])
            return b'{"drafts":' + drafts + b',"result":' + body + b"}"

        journaled = await self._calls.tool(tool, arguments, child._place(), act)
        child.drafts[:] = [Draft.from_dict(draft) for draft in journaled["drafts"]]
        answer: Json = journaled["result"]
        return answer

    def emit(
        self, kind: str, payload: dict[str, Any] | None = None, audience: str | Sequence[str] | None = None
    ) -> None:
        self._check()
        action = self.participant.agent.actions.get(kind)
        if kind == "say" and self._truncated:
            payload = {**(payload or {}), "truncated": True}
        if audience is None:
            audience = action.audience if action else EVERYONE
        self._draft(self._world.rules.draft, kind, payload or {}, as_audience(audience), self.cause)

    def change(self, path: str, value: Json, op: Literal["set", "add"] = "set") -> None:
        self._check()
        self._draft(self._world.rules.change, path, value, op, self.cause)

    def _draft(self, make: Callable[..., Draft], *what: Any) -> None:
        try:
            self.drafts.append(make(self.participant.agent, *what))
        except ContractError as error:
            if (component := executing(sys._getframe())) is not None:
                error.args = (f"{error} ({origin(component)})",)
            raise self.failure.set(error) from None


class RunStage(RunScope, Stage):
    """What the schedule sees before a step."""

    def __init__(self, world: World, calls: CallPipeline) -> None:
        super().__init__(world, calls, "@schedule", world.default_provider(), world.step + 1, "0")
        self.task = asyncio.current_task()

    @property
    def agents(self) -> tuple[str, ...]:
        return self._world.scheduled

    @property
    def everyone(self) -> tuple[str, ...]:
        return tuple(self._world.agents)

    @property
    def pending(self) -> list[str]:
        return self._world.pending()

    @property
    def log(self) -> Sequence[Event]:
        return self._world.log.events


def truncate_result(result: Json) -> str:
    """A tool's answer as a model and the log are given it: text or JSON, cut if it is too long."""
    text = result if isinstance(result, str) else orjson.dumps(result).decode()
    if len(text) <= TOOL_CHARACTERS:
        return text
    return f"{text[:TOOL_CHARACTERS]}… (cut here: {len(text) - TOOL_CHARACTERS:,} more characters)"
