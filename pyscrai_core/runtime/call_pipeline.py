"""Every call of a run takes the same steps, whoever answers: a model, a tool or a person.

The journal (answered already? return that) -> the budget -> the limiter -> the provider, with retries ->
journaled durably -> checked against its schema -> returned.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias

import orjson
from attrs import evolve

from pyscrai_answers import repair
from pyscrai_records.base.frozen import freeze
from pyscrai_records.errors import (
    AnswerRejected,
    CallFailed,
    ContractError,
    EndOfRecord,
    NoAnswer,
    NobodyToAsk,
    RunStopping,
)
from pyscrai_records.messages import Message
from pyscrai_records.records import NO_USAGE, Completion, Cost, Position, Request

from ..agent import OnUncertain
from ..base import seeds
from ..base.progress import CallRecord
from ..calls.bound_tools import BoundTool, RecordedTool, described
from ..calls.budget import Budget
from ..calls.call import OUTSIDE, Attempt, Call, encode_answer
from ..calls.journal import Journal, answer_key
from ..calls.prices import Prices
from ..calls.providers import Providers, estimated
from ..calls.retry import Tell
from ..calls.reuse import Reuse
from ..calls.uncertain import check_decision
from ..contracts import Provider, Tool, Toolset
from ..discovery.blame import awaitable, check_list
from .components import who_draws
from .observers import Observers
from .session import Session
from .world import World

#: Makes a call and fills in what comes of it. It is given the journaled one, if that ended the run or was not
#: finished.
Make = Callable[[Call | None], Awaitable[None]]

#: What observers are told of a call.
Progress: TypeAlias = Literal["started", "waiting", "retrying", "sent", "answered", "failed"]


class CallPipeline:
    """The calls of one execution: its journal, its budget, and those who answer.

    `identities` tell the providers' models from others; `reuse` finds answers of other runs.
    """

    def __init__(
        self,
        world: World,
        journal: Journal,
        session: Session,
        providers: Mapping[str, Provider],
        observers: Observers,
        *,
        identities: Mapping[str, str],
        reuse: Reuse | None,
        on_uncertain: OnUncertain | None,
    ) -> None:
        self._world = world
        #: Who draws the closed choices of each provider now, and who did when the run began.
        now, began = who_draws(world.plan.last.scenario, providers, journal.recorded)
        self._identities = {
            name: f"{identity} {began[name]}" if began.get(name) == "kernel" else identity
            for name, identity in identities.items()
        }
        self._reuse = reuse
        self._on_uncertain = on_uncertain
        self._journal = journal
        scenario = world.plan.last.scenario
        policies = {name: use.policy.divided(session.processes) for name, use in scenario.providers.items()}
        self._providers = Providers(
            providers,
            policies,
            session.controls.limits,
            scenario.limits.concurrency,
            tuple(world.agents),
            now,
            session.oracle,
        )
        self.budget = Budget(scenario.limits, {name: agent.limits for name, agent in scenario.agents.items()})
        self._prices = Prices(session.prices, providers)
        self._ask = session.ask
        self.observers = self._observers = observers
        self._people: set[asyncio.Future[str]] = set()
        self.stopping = False
        #: Whether the seconds of the run are over and its calls are cancelled, and whether it has ended.
        self.late = self.over = False
        #: The calls that are under way, by identity, each with the seconds in which it may be answered.
        self.under_way: dict[int, tuple[Call, float]] = {}
        #: How many calls the run has made, and how many of them this execution.
        self.made = 0
        self.asked = 0
        self.usage = NO_USAGE
        self.cost = Cost()
        #: How many answers were cut off.
        self.truncated = 0

    def stop(self) -> None:
        """Start no new call; those under way may still be answered."""
        self.stopping = True
        self._providers.stop()
        for asked in self._people:
            asked.cancel()

    # -- completions --

    async def complete(self, request: Request, place: Callable[[], Position]) -> Completion:
        """A completion that fits its schema, asked for again a bounded number of times if it does not."""
        repairs = draws = 0
        given_up: AnswerRejected | None = None
        while True:
            said: tuple[Message, ...] = ()
            try:
                position = place()
                completion = await self._complete(request, position, given_up)
            except AnswerRejected as error:
                if error.given_up:
                    raise
                if repairs == repair.REPAIRS:
                    error.args = (repair.given_up(request.provider, str(error)),)
                    raise
                wrong = str(error)  # it could not be read as an answer at all: there is nothing to show
            else:
                if request.schema is None or completion.tool_calls:
                    return completion
                unfit, parsed = repair.check_answer(completion, request.schema)
                if unfit is None:
                    self._world.note_draws(position, completion.draws)
                    return evolve(completion, parsed=parsed)
                wrong, said = unfit, (completion.message(),)
                if given_up is not None:  # asked again by a person who resumed the run: a new start
                    repairs, draws, given_up = 0, 0, None
                drawn = request.sampling.temperature != 0
                if draws < repair.DRAWS and drawn and repair.is_unlucky(request.schema, parsed):
                    draws += 1
                    continue
                if repairs == repair.REPAIRS:
                    given_up = repair.rejection(request.provider, completion, wrong)
            repairs += 1
            # What it said is shown to the model with what is wrong: a new call with its own seed.
            complaint = repair.repair_prompt(wrong, request.schema)
            request = request.but(messages=(*request.messages, *said, complaint))

    async def _complete(
        self, request: Request, position: Position, given_up: AnswerRejected | None
    ) -> Completion:
        """Ask; with `given_up`, journal that it is not asked any more, unless a person wants it to be."""
        request = request.but(
            position=position,
            seed=seeds.derive(self._world.seed, position.agent, position.step, position.path),
            turn=self._world.turns_of(position.agent),
        )
        chained = self._journal.chained(request)
        call = Call(position, "complete", request.provider, chained.hash, chained, seed=request.seed)
        if identity := self._identities.get(request.provider):
            call.key = answer_key(call, request.turn, identity)

        async def make(before: Call | None) -> None:
            if given_up is not None and before is None:
                call.failure, call.made = given_up, False
            else:
                await self._ask_model(call, request)

        done = await self._take(call, make, request, self._providers.timeout(call))
        completion = Completion.from_dict(done.answer)
        self.truncated += completion.truncated
        return completion

    async def _ask_model(self, call: Call, request: Request) -> None:
        # What a reasoning, a memory or a schedule asks for is not said.
        shown = request.speaks or self._world.narrates(call.position.agent)
        sink = self._observers.sink(call.position) if shown else None
        try:
            completion = await self._providers.ask(request, call, sink, self._progress(call))
            if completion.usage != call.usage:  # attempts that failed were paid for
                completion = evolve(completion, usage=call.usage)
            call.answer_json = encode_answer(completion.to_dict(), request.provider)
            call.finish_reason = completion.finish_reason
        except CallFailed as error:
            call.failure = error
        if call.paid:
            call.cost = self._prices.cost(call.provider, call.usage, call.model)

    async def embed(self, texts: list[str], name: str, position: Position) -> list[list[float]]:
        """One vector for each text."""
        call = Call.of(position, "embed", name, texts)
        if identity := self._identities.get(name):
            call.key = answer_key(call, 0, identity)

        async def make(before: Call | None) -> None:
            try:
                vectors = await self._providers.embed(texts, call, self._progress(call))
                call.answer_json = encode_answer(vectors, name)
            except NotImplementedError as error:
                raise ContractError(f"provider {name!r}: {error}") from None
            except CallFailed as error:
                call.failure = error

        vectors: list[list[float]] = (
            await self._take(call, make, seconds=self._providers.timeout(call))
        ).answer
        return vectors

    def _progress(self, call: Call) -> Tell:
        def tell(news: Attempt | str | None) -> None:
            if news is None:
                self._tell(call, "sent")
            elif isinstance(news, str):
                self._tell(call, "waiting", error=news)
            else:
                error = f"{news.error}: {news.detail}"
                self._tell(
                    call, "retrying", error=error, error_type=news.error, seconds=news.seconds,
                    wait=news.wait or 0.0,
                )  # fmt: skip

        return tell

    # -- people and clocks --

    async def ask(self, question: str, patience: float | None, position: Position) -> str:
        """A person's answer."""

        async def make(before: Call | None) -> None:
            if self._ask is None:
                raise NobodyToAsk(
                    "a person has to answer, and this run has nobody to ask; continue where a person is: "
                    "pyscrai resume RUN, on a terminal"
                )
            asked = asyncio.ensure_future(self._ask(position.agent, question))
            self._people.add(asked)
            try:
                async with asyncio.timeout(patience):
                    call.answer_json = encode_answer(await asked, "person")
            except TimeoutError:
                call.failure = NoAnswer(f"{position}: no answer within {patience:g} s")
            except asyncio.CancelledError:
                if self.stopping:  # what is asked of a person can be asked again: nobody waits for it
                    raise RunStopping from None
                raise
            finally:
                self._people.discard(asked)
                asked.cancel()

        call = Call.of(position, "ask", "person", question)
        return str((await self._take(call, make)).answer)

    def now(self, position: Position) -> float:
        """Seconds since 1970. Queued, not waited for: whatever depends on it is queued behind it."""
        call = Call(position, "now", "clock", "clock")
        recorded = self._journal.find(call, self._world.turns_of)
        if self.over:
            raise RunStopping
        if recorded is None:
            answer = time.time()
            call.answer_json = repr(answer).encode()
            self._journal.put(call)
        else:
            answer = float(recorded.answer)
        self.made += 1
        return answer

    # -- tools --

    async def toolset(self, toolset: Toolset, use: str, position: Position) -> list[Tool]:
        """What an external toolset offers: journaled, so that an execution again offers the same."""
        call = Call.of(position, "tools", use, {"toolset": use})
        found: list[Tool] = []

        async def tools() -> list[Tool]:
            listed: list[Tool] = await awaitable(toolset, "list", toolset.list())
            check_list(toolset, "list", listed, Tool, "a list of tools")
            return listed

        async def make(before: Call | None) -> None:
            found.extend(await tools())
            call.answer_json = encode_answer(described(found), use)

        told = (await self._take(call, make, seconds=0.0)).answer
        if not found and not self._journal.replay:
            found.extend(await tools())
        behind = {tool.name: tool for tool in found}
        return [RecordedTool(one, behind.get(one["name"])) for one in told]

    async def tool(
        self,
        tool: BoundTool,
        arguments: dict[str, Any],
        position: Position,
        act: Callable[[], Awaitable[bytes]],
    ) -> dict[str, Any]:
        """What an external tool answered, decoded; `act` calls it and gives what is journaled, as JSON."""
        name = tool.spec.name
        call = Call.of(position, "tool", name, {"tool": name, "arguments": arguments})

        async def make(before: Call | None) -> None:
            try:
                if not tool.tool.repeatable:
                    if before is not None:
                        others = self._journal.undecided(position)
                        check_decision(self._on_uncertain or tool.policy.on_uncertain, before, call, others)
                    await self._journal.intend(call)
                call.answer_json = await act()
            except CallFailed as error:
                call.failure = error

        answer: dict[str, Any] = (await self._take(call, make, seconds=tool.policy.timeout)).answer
        return answer

    # -- what comes from outside --

    async def take_in(self, step: int, number: int, body: dict[str, Any], source: int) -> dict[str, Any]:
        """Journal an input, as it is from then on; on disk when this returns, and it waits no more."""
        call = Call.of(Position(OUTSIDE, step, f"input#{number}"), "input", body["author"], body)
        call.answer_json, call.started = call.body, time.time()
        self._journal.put(call)
        await self._journal.taken(source)
        self.made += 1
        taken: dict[str, Any] = orjson.loads(call.body)
        return taken

    # -- the steps of every call --

    async def _take(
        self, call: Call, make: Make, request: Request | None = None, seconds: float = math.inf
    ) -> Call:
        """The call with its answer: the journaled one, or this one, made now and journaled.

        Raises the failure that is journaled, or that came of it.
        """
        before = self._journal.find(call, self._world.turns_of)
        if before is not None and (self._journal.replay or before.status in ("answered", "failed")):
            if before.status == "intent" or (before.status == "open" and not self._journal.failed):
                raise EndOfRecord(f"{call.position}: the recorded run ended during this call")
            before.chained = call.chained
            self._count(before)
            return before
        if self.stopping:
            raise RunStopping
        reuse = self._reuse if call.key else None
        if reuse is not None and await reuse.take(call, lambda: self.stopping):
            # Another run's answer is journaled as this one's; nobody was asked, nothing was paid.
            await self._journal.write(call)
            self.made += 1
            self._tell_answer(call, journaled=True)
            return call
        try:
            await self._make(call, make, request, before, seconds)
        finally:
            if reuse is not None:
                reuse.settle(call.key)
        return call

    async def _make(
        self, call: Call, make: Make, request: Request | None, before: Call | None, seconds: float
    ) -> None:
        """Make a call, which may take so many seconds, and journal what comes of it."""
        if before is not None:
            call.usage, call.cost = before.usage, before.cost  # an earlier attempt failed, and was paid for
        needed = self._estimate(request)
        self.budget.reserve(call, *needed)
        self.under_way[id(call)] = call, seconds
        try:
            self._tell(call, "started", request=request or call, usage=call.usage, cost=call.cost)
            clock, started = time.perf_counter(), time.time()
            await make(before)
            if self.over:
                raise RunStopping
            if not call.started:
                call.started, call.seconds = started, time.perf_counter() - clock
        finally:
            del self.under_way[id(call)]
            self.budget.settle(call, *needed)
        if call.made:
            self.made += 1
            self.asked += 1
        self._add(call)
        call.redact()
        await self._journal.write(call)
        if call.failure is not None:
            self._tell(
                call, "failed", error=str(call.failure), error_type=type(call.failure).__name__,
                usage=call.usage, model=call.model, cost=call.cost, seconds=call.seconds,
                provider=call.provider,
            )  # fmt: skip
            raise call.failure
        self._tell_answer(call)

    def _count(self, call: Call) -> None:
        """Count what was done by an earlier execution; raises the failure that it recorded."""
        self.made += call.made
        self._add(call)
        if not call.reused:  # budgets bound what is asked; this was another run's
            self.budget.count(call)
        if call.failure is not None:
            raise call.failure
        self._journal.follow(call)
        self._tell_answer(call, journaled=True)

    def _add(self, call: Call) -> None:
        self.usage += call.usage
        if call.kind == "complete" and call.cost != 0 and call.paid:
            self.cost += Cost.of(call.cost)

    def _estimate(self, request: Request | None) -> tuple[int, float]:
        """The tokens and US dollars that a completion is expected to need, as far as a budget asks."""
        if request is None or not self.budget.needs_tokens:
            return 0, 0.0
        usage = estimated(request)
        money = self._prices.cost(request.provider, usage) if self.budget.needs_money else None
        return usage.total, money or 0.0

    def _tell(self, call: Call, status: Progress, **more: Any) -> None:
        """Tell observers; `more` are fields of their `CallRecord`."""
        if self._observers.want("on_call"):
            if more.get("request") is call:
                more["request"] = freeze(orjson.loads(call.body)) if call.body else None
            more |= {"started": call.started, "queued": call.queued, "provider": call.provider}
            self._observers.on_call(CallRecord(call.position, call.kind, status, call.target, **more))

    def _tell_answer(self, call: Call, *, journaled: bool = False) -> None:
        seconds = 0.0 if journaled else call.seconds
        answer = freeze(call.answer) if self._observers.want("on_call") else None
        self._tell(
            call, "answered", answer=answer, usage=call.usage, model=call.model, cost=call.cost,
            journaled=journaled, seconds=seconds,
        )  # fmt: skip
