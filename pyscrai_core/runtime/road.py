"""The road of a call, the same for every vendor, tool and person.

journal (answered already? return that) -> budget -> limiter -> provider -> journaled durably -> checked
against its schema -> returned. Plugins never see another side of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import orjson
from attrs import evolve
from loguru import logger

from .. import seeds
from ..contracts import Provider, Tool
from ..errors import (
    AnswerRejected,
    BudgetSpent,
    CallFailed,
    ContractError,
    NobodyToAsk,
    PyscraiError,
    ToolFailed,
)
from ..records import (
    CallRecord,
    Completion,
    Json,
    Message,
    Position,
    Request,
    Usage,
    canonical,
    check_json,
    digest,
)
from ..scenario.schemas import checker
from .journal import Effect, Entry, Journal, differs
from .turn import Draft, Exhausted, Stopping, Turn, draft_to_dict

if TYPE_CHECKING:
    from ..scenario.model import Limits

#: How often an answer that does not fit its schema is asked for again.
REPAIRS = 2

Ask = Callable[[str, str], Awaitable[str]]


class Road:
    """One run's road: its journal, its budget, and those who answer."""

    def __init__(
        self,
        *,
        seed: int,
        journal: Journal,
        limits: Limits,
        ask: Ask | None,
        watch: Callable[[CallRecord], None] | None,
        skips: frozenset[str],
        replaying: bool,
        turn_of: Callable[[str], int],
    ) -> None:
        self._seed = seed
        self._journal = journal
        self.providers: Mapping[str, Provider] = {}
        self._limits = limits
        self._ask = ask
        self._watch = watch
        self._skips = skips
        self._replaying = replaying
        self._turn_of = turn_of
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._began = time.monotonic()
        self.stopping = False
        self.calls = 0
        self.asked = 0
        self.usage = Usage()
        self.served: dict[str, set[str]] = {}

    # -- completions --

    async def complete(self, request: Request, place: Callable[[], Position]) -> Completion:
        """A completion that fits its schema, asked for again a bounded number of times if it does not."""
        repairs = 0
        while True:
            completion = await self._complete(request, place())
            if request.schema is None or completion.tool_calls:
                return completion
            wrong, parsed = _parse(completion.text, request.schema)
            if wrong is None:
                return evolve(completion, parsed=parsed)
            if completion.finish_reason == "length":
                wrong += f" (it was cut off after {completion.usage.output_tokens} tokens: raise max_tokens)"
            if repairs == REPAIRS:
                raise AnswerRejected(
                    f"provider {request.provider!r} ({completion.model}): the answer does not fit its "
                    f"schema, after {REPAIRS} repairs: {wrong}; the answer began: {completion.text[:120]!r}"
                )
            repairs += 1
            # What it said is shown to the model with what is wrong: a new call with its own seed.
            complaint = (
                f"That is not a valid answer: {wrong}. Answer again, as JSON of the demanded form alone."
            )
            request = request.but(messages=(*request.messages, completion.message(), Message.user(complaint)))

    async def _complete(self, request: Request, position: Position) -> Completion:
        request = request.but(
            position=position,
            seed=seeds.derive(self._seed, position.agent, position.step, position.path),
            turn=self._turn_of(position.agent),
        )
        asked = self._journal.asked(request)
        provider = self.providers.get(request.provider)

        async def perform() -> tuple[bytes, str, Usage]:
            if provider is None:
                raise ContractError(
                    f"{position}: there is no provider {request.provider!r}; "
                    f"the scenario's: {', '.join(self.providers) or 'none'}"
                )
            completion = await self._asking(provider, request)
            return _encode(completion.to_dict(), request.provider), completion.model, completion.usage

        effect = Effect(position, "complete", request.provider, asked.hash, asked, request.seed)
        answer, model = await self._effect(effect, perform)
        completion = Completion.from_dict(answer)
        self.served.setdefault(request.provider, set()).add(model)
        return completion

    async def _asking(self, provider: Provider, request: Request) -> Completion:
        try:
            return await provider.complete(request)
        except (CallFailed, asyncio.CancelledError):
            raise
        except Exception as error:
            # A vendor's plugin may raise anything that it forgot to map. It fails the call, visibly.
            logger.opt(exception=error).info("provider {} raised", request.provider)
            raise CallFailed(
                f"provider {request.provider!r}: {type(error).__name__}: {error}; "
                "an error that its plugin does not explain"
            ) from error

    async def embed(self, texts: list[str], name: str, place: Callable[[], Position]) -> list[list[float]]:
        """One vector for each text."""
        provider = self.providers.get(name)

        async def perform() -> tuple[bytes, str, Usage]:
            if provider is None:
                raise ContractError(f"there is no provider {name!r} to embed with")
            try:
                vectors = await provider.embed(texts)
            except NotImplementedError as error:
                raise ContractError(f"provider {name!r}: {error}") from None
            return _encode(vectors, name), "", Usage()

        effect = Effect(place(), "embed", name, digest(canonical(texts)))
        vectors: list[list[float]] = (await self._effect(effect, perform))[0]
        return vectors

    # -- people and clocks --

    async def ask(self, question: str, place: Callable[[], Position]) -> str:
        """A person's answer."""
        position = place()

        async def perform() -> tuple[bytes, str, Usage]:
            if self._ask is None:
                raise NobodyToAsk(
                    f"{position}: a person is asked {question!r}, and this run has nobody to answer"
                )
            return _encode(await self._ask(position.agent, question), "person"), "", Usage()

        effect = Effect(position, "ask", "person", digest(question.encode()))
        return str((await self._effect(effect, perform))[0])

    def now(self, position: Position) -> float:
        """Seconds since 1970. Queued, not waited for: whatever depends on it is queued behind it."""
        effect = Effect(position, "now", "clock", "clock")
        entry = self._recorded(effect)
        if entry is None:
            answer = time.time()
            self._journal.put(effect, answer=repr(answer))
        else:
            answer = float(entry.answer)
        self.calls += 1
        return answer

    # -- tools --

    async def tool(self, tool: Tool, arguments: dict[str, Any], turn: Turn) -> Json:
        """A tool's answer: executed if it is pure, journaled with its drafts if it reaches outside."""
        try:
            arguments = orjson.loads(orjson.dumps(check_json(arguments, "arguments")))
        except ValueError as error:
            raise ContractError(f"tool {tool.name}: {error}; expected plain JSON") from None
        if wrong := checker(dict(tool.parameters))(arguments):
            raise ToolFailed(f"tool {tool.name}: the arguments do not fit: {wrong}")

        async def call() -> Json:
            try:
                return await tool.call(arguments, turn)
            except (PyscraiError, asyncio.CancelledError):
                raise
            except Exception as error:
                # Whatever a tool raises is its answer to the agent, not the end of the run.
                raise ToolFailed(f"tool {tool.name}: {type(error).__name__}: {error}") from error

        if not tool.external:
            result: Json = orjson.loads(_encode(await call(), tool.name))
            return result

        async def perform() -> tuple[bytes, str, Usage]:
            turn._task = asyncio.current_task()
            result = await call()
            drafts = [draft_to_dict(draft) for draft in turn._drafts]
            return _encode({"result": result, "drafts": drafts}, tool.name), "", Usage()

        request = digest(canonical({"tool": tool.name, "arguments": arguments}))
        answer, _ = await self._effect(Effect(turn._place(), "tool", tool.name, request), perform)
        turn._drafts[:] = [
            Draft(d["kind"], d["payload"], tuple(d["audience"]), d["cause"]) for d in answer["drafts"]
        ]
        told: Json = answer["result"]
        return told

    # -- the road itself --

    async def _effect(
        self, effect: Effect, perform: Callable[[], Awaitable[tuple[bytes, str, Usage]]]
    ) -> tuple[Any, str]:
        """The decoded answer and the model: from the journal, or performed now and journaled."""
        entry = self._recorded(effect)
        if entry is not None:
            self.calls += 1
            self.usage += entry.usage
            if effect.asked is not None:
                self._journal.follow(effect.position.agent, entry.number, effect.asked)
            self._tell(effect, "answered", entry.answer, entry.model, entry.usage, journaled=True)
            return entry.answer, entry.model
        if self.stopping:
            raise Stopping
        self._spend(effect.position)
        async with self._slots:
            if self.stopping:
                raise Stopping
            self.asked += 1
            self._tell(effect, "started")
            started, clock = time.time(), time.perf_counter()
            try:
                body, model, usage = await perform()
            except CallFailed as error:
                seconds = time.perf_counter() - clock
                await self._journal.write(effect, error=error, started=started, seconds=seconds)
                self._tell(effect, "failed", error=str(error), seconds=seconds)
                raise
        seconds = time.perf_counter() - clock
        self.usage += usage
        await self._journal.write(
            effect, answer=body.decode(), model=model, usage=usage, started=started, seconds=seconds
        )
        # Plugins receive the decoded form of what was journaled, never the object that was encoded.
        answer = orjson.loads(body)
        self._tell(effect, "answered", answer, model, usage, seconds=seconds)
        return answer, model

    def _recorded(self, effect: Effect) -> Entry | None:
        position = effect.position
        entry = self._journal.find(position)
        if entry is None:
            if self._replaying:
                raise Exhausted(f"{position}: nothing is recorded here")
            return None
        if entry.kind != effect.kind:
            raise differs(position, effect.kind, f"a {entry.kind} was recorded")
        if entry.request != effect.request:
            raise differs(position, effect.kind, "what is asked is not what was asked")
        if entry.status == "failed":
            if self._replaying or position.agent in self._skips:
                self.calls += 1
                raise entry.failure()
            return None  # the run ended with this failure; resumed, it tries again
        return entry

    def _spend(self, position: Position) -> None:
        """Count a call against the budget; `BudgetSpent` if there is none left."""
        limits = self._limits
        used = self.usage.input_tokens + self.usage.output_tokens
        if limits.calls is not None and self.calls >= limits.calls:
            raise BudgetSpent(_spent("calls", limits.calls))
        if limits.tokens is not None and used >= limits.tokens:
            raise BudgetSpent(_spent("tokens", limits.tokens))
        if limits.seconds is not None and time.monotonic() - self._began >= limits.seconds:
            raise BudgetSpent(_spent("seconds", limits.seconds))
        self.calls += 1

    def _tell(
        self,
        effect: Effect,
        status: Literal["started", "answered", "failed"],
        answer: Any = None,
        model: str = "",
        usage: Usage | None = None,
        *,
        error: str = "",
        journaled: bool = False,
        seconds: float = 0.0,
    ) -> None:
        if self._watch is None:
            return
        position, kind, target = effect.position, effect.kind, effect.target
        usage = usage or Usage()
        self._watch(
            CallRecord(position, kind, status, target, answer, error, usage, model, journaled, seconds)
        )


def _spent(name: str, bound: float) -> str:
    return (
        f"limits.{name}: the budget of {bound:g} {name} is spent; "
        f"go on with a larger one: pyscrai resume RUN --set limits.{name}=…"
    )


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
