"""The road of a call, the same for every vendor, tool and person.

journal (answered already? return that) -> budget -> limiter -> retry -> provider -> journaled durably ->
checked against its schema -> returned. Plugins never see another side of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import orjson
from attrs import evolve, frozen

from .. import seeds
from ..contracts import Provider, Tool, Toolset
from ..errors import AnswerRejected, CallFailed, ContractError, NoAnswer, NobodyToAsk, ToolFailed, Uncertain
from ..language.schemas import checker
from ..records import (
    CallRecord,
    Completion,
    Cost,
    Json,
    Message,
    Position,
    Price,
    Request,
    Usage,
    canonical,
    check_json,
)
from ..secret import redact, redact_bytes
from .bound_tools import Equipped, OfferedTool, offered
from .budget import Budget
from .journal import OUTSIDE, Effect, Entry, Journal, Outcome, answer_key
from .prices import Prices
from .providers import Asking, Attempt, Tell, Vendors, estimated
from .reuse import Reuse, Taken
from .turn import Draft, Exhausted, Stopping, Turn, draft_to_dict

if TYPE_CHECKING:
    from ..scenario.model import Scenario

#: How often an answer that does not fit its schema is asked for again.
REPAIRS = 2

Ask = Callable[[str, str], Awaitable[str]]
#: Does an effect; told what is journaled of it already, if it ended the run or was not finished.
Perform = Callable[[Entry | None], Awaitable[Outcome]]
#: What becomes of a tool that must not be called twice if nobody knows whether it acted.
OnUncertain = Literal["retry", "skip", "stop"]


@frozen
class _Words:
    """The sink of one call."""

    tell: Callable[[Position, str], None]
    position: Position

    def write(self, text: str) -> None:
        self.tell(self.position, text)


class Road:
    """One run's road: its journal, its budget, and those who answer."""

    def __init__(
        self,
        *,
        seed: int,
        journal: Journal,
        scenario: Scenario,
        prices: Mapping[str, Price],
        ask: Ask | None,
        watch: Callable[[CallRecord], None] | None,
        words: Callable[[Position, str], None] | None,
        replaying: bool,
        turn_of: Callable[[str], int],
        identities: Mapping[str, str],
        reuse: Reuse | None = None,
        on_uncertain: OnUncertain | None = None,
    ) -> None:
        self.seed = seed
        self._identities = identities
        self._reuse = reuse
        self._on_uncertain = on_uncertain
        self._journal = journal
        self._vendors = Vendors(
            {name: use.access for name, use in scenario.providers.items()}, scenario.limits.concurrency
        )
        self._budget = Budget(
            scenario.limits, {name: agent.limits for name, agent in scenario.agents.items()}
        )
        self._prices = Prices(prices)
        self._ask = ask
        self._watch = watch
        self._words = words
        self._replaying = replaying
        self._turn_of = turn_of
        self._people: set[asyncio.Future[str]] = set()
        self.stopping = False
        self.calls = 0
        self.asked = 0
        self.usage = Usage()
        self.cost = Cost()

    def open(self, providers: Mapping[str, Provider]) -> None:
        """Take over the opened providers."""
        self._vendors.open(providers)
        self._prices.open(providers)

    def stop(self) -> None:
        """No new effect starts; those under way may still be answered."""
        self.stopping = True
        self._vendors.stop()
        for asked in self._people:
            asked.cancel()

    def paused(self, seconds: float) -> None:
        """The run stood still for so long; its budget of time did too."""
        self._budget.paused(seconds)

    def reopen(self, calls: set[int]) -> None:
        """Let these failed calls, which ended the run, be asked again when it is resumed."""
        if not self._replaying:
            self._journal.reopen(sorted(calls))

    # -- completions --

    async def complete(self, request: Request, place: Callable[[], Position]) -> Completion:
        """A completion that fits its schema, asked for again a bounded number of times if it does not."""
        repairs = 0
        refused: AnswerRejected | None = None
        while True:
            said: tuple[Message, ...] = ()
            try:
                completion = await self._complete(request, place(), refused)
            except AnswerRejected as error:
                if error is refused or repairs == REPAIRS:
                    raise
                wrong = str(error)  # it could not be read as an answer at all: there is nothing to show
            else:
                if request.schema is None or completion.tool_calls:
                    return completion
                unfit, parsed = _parse(completion.text, request.schema)
                if unfit is None:
                    return evolve(completion, parsed=parsed)
                wrong, said = unfit, (completion.message(),)
                if completion.finish_reason == "length":
                    wrong += (
                        f" (it was cut off after {completion.usage.output_tokens} tokens: raise max_tokens)"
                    )
                if refused is not None:  # asked again by a person who resumed the run: a new start
                    repairs, refused = 0, None
                if repairs == REPAIRS:
                    refused = AnswerRejected(
                        f"provider {request.provider!r} ({completion.model}): the answer does not fit its "
                        f"schema, after {REPAIRS} repairs: {wrong}; it began: {completion.text[:120]!r}"
                    )
            repairs += 1
            # What it said is shown to the model with what is wrong: a new call with its own seed.
            form = ", as JSON of the demanded form alone" if request.schema is not None else ""
            complaint = Message.user(f"That is not a valid answer: {wrong}. Answer again{form}.")
            request = request.but(messages=(*request.messages, *said, complaint))

    async def _complete(
        self, request: Request, position: Position, refused: AnswerRejected | None
    ) -> Completion:
        """Ask; with `refused`, journal that it is not asked any more, unless a person wants it to be."""
        request = request.but(
            position=position,
            seed=seeds.derive(self.seed, position.agent, position.step, position.path),
            turn=self._turn_of(position.agent),
        )
        asked = self._journal.asked(request)
        effect = Effect(position, "complete", request.provider, asked.hash, asked, request.seed)
        if identity := self._identities.get(request.provider):
            effect.key = answer_key(effect, request.turn, identity)

        async def perform(before: Entry | None) -> Outcome:
            if refused is not None and before is None:
                return Outcome(error=refused, made=False)
            return await self._asking(effect, request)

        entry = await self._effect(effect, perform, request)
        self.cost += Cost.of(entry.cost)
        return Completion.from_dict(entry.answer)

    async def _asking(self, effect: Effect, request: Request) -> Outcome:
        asking = Asking(self._known(request.provider, request.position))
        sink = None if self._words is None else _Words(self._words, request.position)
        outcome = Outcome()
        try:
            completion = await self._vendors.ask(request, asking, sink, self._retrying(effect))
            outcome.body = _encode(completion.to_dict(), request.provider)
            outcome.usage, outcome.model = completion.usage, completion.model
        except CallFailed as error:
            outcome.error, outcome.usage = error, error.usage or Usage()
        if outcome.usage != Usage() or outcome.error is None:
            outcome.cost = self._prices.cost(asking.provider, outcome.usage, outcome.model)
        return _told(outcome, asking)

    async def embed(self, texts: list[str], name: str, place: Callable[[], Position]) -> list[list[float]]:
        """One vector for each text."""
        effect = Effect.of(place(), "embed", name, texts)
        if identity := self._identities.get(name):
            effect.key = answer_key(effect, 0, identity)

        async def perform(before: Entry | None) -> Outcome:
            asking = Asking(self._known(name, effect.position))
            outcome = Outcome()
            try:
                outcome.body = _encode(await self._vendors.embed(texts, asking, self._retrying(effect)), name)
            except NotImplementedError as error:
                raise ContractError(f"provider {name!r}: {error}") from None
            except CallFailed as error:
                outcome.error = error
            return _told(outcome, asking)

        vectors: list[list[float]] = (await self._effect(effect, perform)).answer
        return vectors

    def _known(self, name: str, position: Position) -> str:
        if name not in self._vendors:
            known = ", ".join(self._vendors) or "none"
            raise ContractError(f"{position}: there is no provider {name!r}; the scenario's: {known}")
        return name

    def _retrying(self, effect: Effect) -> Tell:
        def tell(news: Attempt | str) -> None:
            if isinstance(news, str):
                self._tell(effect, "waiting", error=news)
                return
            words = f"{news.error}: {news.detail}"
            self._tell(effect, "retrying", error=words, seconds=news.seconds, wait=news.wait or 0.0)

        return tell

    # -- people and clocks --

    async def ask(self, question: str, patience: float | None, place: Callable[[], Position]) -> str:
        """A person's answer."""
        position = place()

        async def perform(before: Entry | None) -> Outcome:
            if self._ask is None:
                raise NobodyToAsk(
                    "a person has to answer, and nobody is there to be asked; go on where a person is: "
                    "pyscrai resume RUN, on a terminal"
                )
            asked = asyncio.ensure_future(self._ask(position.agent, question))
            self._people.add(asked)
            try:
                async with asyncio.timeout(patience):
                    return Outcome(_encode(await asked, "person"))
            except TimeoutError:
                return Outcome(error=NoAnswer(f"{position}: no answer within {patience:g} s"))
            except asyncio.CancelledError:
                if self.stopping:  # what is asked of a person can be asked again: nobody waits for it
                    raise Stopping from None
                raise
            finally:
                self._people.discard(asked)
                asked.cancel()

        effect = Effect.of(position, "ask", "person", question)
        return str((await self._effect(effect, perform)).answer)

    def now(self, position: Position) -> float:
        """Seconds since 1970. Queued, not waited for: whatever depends on it is queued behind it."""
        effect = Effect(position, "now", "clock", "clock")
        entry = self._recorded(effect)
        if entry is None:
            answer = time.time()
            self._journal.put(effect, Outcome(repr(answer).encode()))
        else:
            answer = float(entry.answer)
        self.calls += 1
        return answer

    # -- tools --

    async def offered(self, toolset: Toolset, use: str, position: Position) -> list[Tool]:
        """What an external toolset offers: journaled, so that an execution again offers the same."""
        effect = Effect.of(position, "tools", use, {"toolset": use})
        found: list[Tool] = []

        async def perform(before: Entry | None) -> Outcome:
            found.extend(await toolset.list())
            return Outcome(_encode(offered(found), use))

        told = (await self._effect(effect, perform)).answer
        if not found and not self._replaying:
            found.extend(await toolset.list())
        behind = {tool.name: tool for tool in found}
        return [OfferedTool(one, behind.get(one["name"])) for one in told]

    async def tool(self, tool: Equipped, arguments: dict[str, Any], turn: Turn) -> Json:
        """A tool's answer: executed if it is pure, journaled with its drafts if it reaches outside."""
        name = tool.spec.name
        try:
            arguments = orjson.loads(orjson.dumps(check_json(arguments, "arguments")))
        except ValueError as error:
            raise ContractError(f"tool {name}: {error}; expected plain JSON") from None
        if wrong := checker(tool.spec.parameters)(arguments):
            raise ToolFailed(f"tool {name}: the arguments do not fit: {wrong}")
        if not tool.tool.external:
            result: Json = orjson.loads(await tool.call(arguments, turn))
            return result

        async def perform(before: Entry | None) -> Outcome:
            turn._task = asyncio.current_task()
            if not tool.tool.repeatable:
                if before is not None and (decided := self._decide(before, tool, effect)) is not None:
                    return decided
                await self._journal.intend(effect)
            try:
                body = await tool.call(arguments, turn)
            except CallFailed as error:
                return Outcome(error=error)
            drafts = [draft_to_dict(draft) for draft in turn._drafts]
            return Outcome(b'{"drafts":' + canonical(drafts) + b',"result":' + body + b"}")

        effect = Effect.of(turn._place(), "tool", name, {"tool": name, "arguments": arguments})
        answer = (await self._effect(effect, perform)).answer
        turn._drafts[:] = [
            Draft(d["kind"], d["payload"], tuple(d["audience"]), d["cause"]) for d in answer["drafts"]
        ]
        told: Json = answer["result"]
        return told

    def _decide(self, before: Entry, tool: Equipped, effect: Effect) -> Outcome | None:
        """What becomes of a call that may have acted already; None: it is made again."""
        decision = self._on_uncertain or tool.access.on_uncertain
        if decision == "retry":
            return None
        unknown = "it was being called when the run ended, and its answer is not known"
        what = f"failed: {before.detail}" if before.status == "open" else unknown
        name = tool.spec.name
        if decision == "skip":
            return Outcome(error=ToolFailed(f"tool {name}: {what}; it was not called again"))
        arguments = canonical(orjson.loads(effect.body)["arguments"]).decode()
        others = "; ".join(self._journal.undecided(effect.position))
        more = f"; undecided as well, and decided with it: {others}" if others else ""
        raise Uncertain(
            f"call {effect.position.path}: the tool {name} must not be called twice, and {what}; its "
            f"arguments were {arguments}{more}; look whether it acted, then: pyscrai resume RUN "
            "--on-uncertain retry (call it again) or --on-uncertain skip (the agent is told that it failed)"
        )

    # -- what comes from outside --

    async def take_in(self, step: int, number: int, body: dict[str, Any], source: int) -> dict[str, Any]:
        """Journal an input, as it is from then on; on disk when this returns, and it waits no more."""
        effect = Effect.of(Position(OUTSIDE, step, f"input#{number}"), "input", body["author"], body)
        self._journal.put(effect, Outcome(effect.body, started=time.time()))
        await self._journal.taken(source)
        self.calls += 1
        taken: dict[str, Any] = orjson.loads(effect.body)
        return taken

    # -- the road itself --

    async def _effect(self, effect: Effect, perform: Perform, request: Request | None = None) -> Entry:
        """The entry in the journal: that which is there, or one that is performed now and journaled.

        Raises the failure that is there, or that came of it.
        """
        before = self._recorded(effect)
        if before is not None and (self._replaying or before.status in ("answered", "failed")):
            if before.status == "intent" or (before.status == "open" and not self._journal.failed):
                raise Exhausted(f"{effect.position}: the recorded run ended while it was done")
            self._count(effect, before)
            return before
        if self.stopping:
            raise Stopping
        if self._reuse is None or not effect.key:
            return await self._make(effect, perform, request, before)
        taken = await self._reuse.take(effect.key, lambda: self.stopping)
        if taken is not None:
            return await self._take_over(effect, taken)
        try:
            return await self._make(effect, perform, request, before)
        finally:
            self._reuse.settle(effect.key)

    async def _make(
        self, effect: Effect, perform: Perform, request: Request | None, before: Entry | None
    ) -> Entry:
        """Perform an effect, and journal what comes of it."""
        agent = effect.position.agent
        reservation = self._budget.reserve(agent, *self._estimate(request))
        self._tell(effect, "started")
        clock = time.perf_counter()
        outcome = Outcome()
        try:
            started = time.time()
            outcome = await perform(before)
            if not outcome.started:
                outcome.started, outcome.seconds = started, time.perf_counter() - clock
        finally:
            self._budget.settle(reservation, outcome.usage, outcome.cost, outcome.seconds)
        if outcome.made:
            self.calls += 1
            self.asked += 1
        self.usage += outcome.usage
        outcome.body, outcome.model = redact_bytes(outcome.body), redact(outcome.model)
        error = outcome.error
        if error is not None:
            error.args = (redact(str(error)),)
        number = await self._journal.write(effect, outcome)
        if error is not None:
            self._tell(effect, "failed", error=str(error), seconds=outcome.seconds)
            raise error
        # Plugins receive the decoded form of what was journaled, never the object that was encoded.
        done = Entry(
            number, effect.kind, effect.request, "answered", orjson.loads(outcome.body), "", "",
            outcome.model, outcome.usage, outcome.cost, outcome.provider, outcome.seconds,
        )  # fmt: skip
        self._tell(effect, "answered", done)
        return done

    async def _take_over(self, effect: Effect, taken: Taken) -> Entry:
        """Journal another run's answer as this one's; nobody was asked, nothing was paid."""
        outcome = Outcome(
            taken.answer.encode(), model=taken.model, provider=taken.provider, cost=0.0, reused=taken.run
        )
        number = await self._journal.write(effect, outcome)
        entry = Entry(
            number, effect.kind, effect.request, "answered", orjson.loads(taken.answer), "", "",
            taken.model, cost=0.0, provider=taken.provider, reused=taken.run,
        )  # fmt: skip
        self.calls += 1
        self._tell(effect, "answered", entry, journaled=True)
        return entry

    def _recorded(self, effect: Effect) -> Entry | None:
        position = effect.position
        entry = self._journal.find(position)
        if entry is None:
            if self._replaying:
                raise Exhausted(f"{position}: nothing is recorded here")
            return None
        if (entry.kind, entry.request) != (effect.kind, effect.request):
            raise self._journal.differs(effect, entry, self._turn_of(position.agent))
        return entry

    def _count(self, effect: Effect, entry: Entry) -> None:
        """Count what was done by an earlier execution; raises the failure that it recorded."""
        self.calls += entry.made
        self.usage += entry.usage
        if not entry.reused:  # budgets bound what is asked; this was another run's
            self._budget.count(effect.position.agent, entry.usage, entry.cost, entry.seconds)
        if entry.status != "answered":
            raise entry.failure()
        if effect.asked is not None:
            self._journal.follow(effect.position.agent, entry.number, effect.asked)
        self._tell(effect, "answered", entry, journaled=True)

    def _estimate(self, request: Request | None) -> tuple[int, float]:
        """The tokens and US dollars that a completion is expected to need, as far as a budget asks."""
        if request is None or not self._budget.needs_tokens:
            return 0, 0.0
        usage = estimated(request)
        money = self._prices.cost(request.provider, usage) if self._budget.needs_money else None
        return usage.input_tokens + usage.output_tokens, money or 0.0

    def _tell(
        self,
        effect: Effect,
        status: Literal["started", "waiting", "retrying", "answered", "failed"],
        entry: Entry | None = None,
        *,
        error: str = "",
        journaled: bool = False,
        seconds: float = 0.0,
        wait: float = 0.0,
    ) -> None:
        if self._watch is None:
            return
        position, kind, target = effect.position, effect.kind, effect.target
        if entry is None:
            call = CallRecord(position, kind, status, target, error=error, seconds=seconds, wait=wait)
        else:
            call = CallRecord(
                position, kind, status, target, entry.answer, "", entry.usage, entry.model, journaled,
                0.0 if journaled else entry.seconds, entry.cost,
            )  # fmt: skip
        self._watch(call)


def _told(outcome: Outcome, asking: Asking) -> Outcome:
    """`outcome` with how it came about."""
    outcome.provider = asking.provider
    outcome.attempts = [attempt.to_dict() for attempt in asking.attempts]
    outcome.started, outcome.seconds, outcome.queued = asking.started, asking.seconds, asking.queued
    return outcome


def _encode(value: Any, who: str) -> bytes:
    try:
        return canonical(check_json(value, "answer"))
    except ValueError as error:
        raise CallFailed(f"{who}: {error}; expected plain JSON") from None


def _parse(text: str, schema: dict[str, Any]) -> tuple[str | None, Any]:
    """What is wrong with a structured answer (None: nothing), and its value."""
    try:
        value = check_json(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        return f"it is not JSON ({error})", None
    except ValueError as error:
        return str(error), None
    return checker(schema)(value), value
