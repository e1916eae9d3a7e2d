"""Those who watch a run. They never change it: one that raises is reported and left out from then on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from attrs import frozen

from pyscrai_records.base.frozen import freeze
from pyscrai_records.base.log import report
from pyscrai_records.base.time_limit import OutOfTime, Watch
from pyscrai_records.records import Event, Position, RunResult, RunStatus, Sink
from pyscrai_records.secret import redact
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from ..base.progress import CallRecord, Execution, ProviderModel, ToolRecord, TurnRecord
from ..contracts import Observer
from ..discovery.blame import describe, origin
from .components import Components
from .rules import Draft

#: Seconds that an observer may take to open, and to close.
PATIENCE = 10.0

Result = TypeVar("Result")
Failure: TypeAlias = BaseException | None


class WatchedTurn(Protocol):
    """A turn as it is told of."""

    drafts: list[Draft]

    @property
    def position(self) -> Position: ...


@frozen
class _Sink:
    """The sink of one call."""

    observers: Observers
    position: Position

    def write(self, text: str) -> None:
        if not text.isascii():
            # A piece may end in the middle of a character.
            text = text.encode(errors="replace").decode()
        self.observers.on_words(self.position, text)


class Observers:
    """The observers of the run `run`."""

    def __init__(self, run: str, observers: Sequence[Observer]) -> None:
        self._run = run
        self._observers = list(observers)
        #: What at least one of them wants to be told.
        self._wanted = {
            method
            for method in ("on_begin", "on_run", "on_turn", "on_call", "on_tool", "on_words", "on_event")
            if any(_overrides(one, method) for one in observers)
        }

    def want(self, method: str) -> bool:
        """Whether one of them overrides a method of `Observer`, such as `on_call`."""
        return method in self._wanted

    def sink(self, position: Position) -> Sink | None:
        """Takes the text of a call's answer as it comes; None if no observer wants it."""
        return _Sink(self, position) if self.want("on_words") else None

    async def open(self, watch: Watch) -> None:
        await self._each("aopen", watch)

    async def close(self, watch: Watch) -> None:
        await self._each("aclose", watch)

    async def _each(self, method: str, watch: Watch) -> None:
        for observer in list(self._observers):
            if getattr(type(observer), method) is getattr(Observer, method):
                continue
            try:
                with watch.limit(PATIENCE):
                    await getattr(observer, method)()
            except OutOfTime:
                self._leave_out(observer, TimeoutError(f"{method} did not end within {PATIENCE:g} seconds"))
            except (Exception, SystemExit) as error:  # noqa: BLE001  it may raise anything; it is reported
                self._leave_out(observer, error)

    def begin(self, store: Store, components: Components, recorded: RecordedRun | None, replay: bool) -> None:
        """Tell which execution begins."""
        if not self.want("on_begin"):
            return
        run = recorded or store.run(self._run)
        uses = components.plan.last.scenario.providers
        models = {
            name: ProviderModel(uses[name].use, _model_of(provider.config))
            for name, provider in components.providers.items()
        }
        self._tell(
            "on_begin",
            Execution(
                run.id, run.scenario, run.seed, run.labels, run.parent,
                "replayed" if replay else "resumed" if recorded else "new",
                recorded.count_events() if recorded else 0,
                recorded.last_recorded_step() if recorded else -1,
                models,
                components.plan.last.most_steps,
            ),
        )  # fmt: skip

    async def turn(self, turn: WatchedTurn, run: Callable[[Any], Awaitable[Failure]]) -> Failure:
        """How a turn failed that it is to `run`; told when it begins and ends."""
        if not self.want("on_turn"):
            return await run(turn)
        self._tell("on_turn", TurnRecord(turn.position, "started"))
        error: Failure
        try:
            error = await run(turn)
        except BaseException as failure:
            self._tell("on_turn", TurnRecord(turn.position, "failed", type(failure).__name__))
            raise
        # Only the kernel drafts this kind, and then nothing else is left of the turn.
        skipped = [draft.payload["error"] for draft in turn.drafts if draft.kind == "turn.failed"]
        if error is not None:
            record = TurnRecord(turn.position, "failed", type(error).__name__)
        elif skipped:
            record = TurnRecord(turn.position, "skipped", skipped[0])
        else:
            record = TurnRecord(turn.position, "ended")
        self._tell("on_turn", record)
        return error

    async def tool(self, position: Position, use: Mapping[str, Any], work: Awaitable[Result]) -> Result:
        """What a tool answers, which is the `work`; told when it begins and ends."""
        if not self.want("on_tool"):
            return await work
        name, arguments = use["name"], use["arguments"]
        self._tell("on_tool", ToolRecord(position, name, "started", arguments))
        try:
            answer = await work
        except BaseException as error:
            failure = {"error": redact(str(error)), "error_type": type(error).__name__}
            self._tell("on_tool", ToolRecord(position, name, "failed", arguments, **failure))
            raise
        self._tell("on_tool", ToolRecord(position, name, "answered", arguments, freeze(answer)))
        return answer

    def on_run(self, status: RunStatus, result: RunResult | None) -> None:
        self._tell("on_run", self._run, status, result)

    def on_event(self, event: Event) -> None:
        self._tell("on_event", event)

    def on_call(self, call: CallRecord) -> None:
        self._tell("on_call", call)

    def on_words(self, position: Position, text: str) -> None:
        self._tell("on_words", position, text)

    def _tell(self, method: str, *what: Any) -> None:
        for observer in tuple(self._observers):
            try:
                getattr(observer, method)(*what)
            except (Exception, SystemExit) as error:  # noqa: BLE001  it may raise anything; it is reported
                self._leave_out(observer, error)

    def _leave_out(self, observer: Observer, error: BaseException) -> None:
        report("ERROR", error, "{} raised and is left out: {}", origin(observer), describe(error))
        self._observers.remove(observer)


def _overrides(observer: Observer, method: str) -> bool:
    return getattr(getattr(observer, method), "__func__", None) is not getattr(Observer, method)


def _model_of(config: Any) -> str:
    """The model that a provider's options name."""
    model = getattr(config, "model", "")
    return model if isinstance(model, str) else ""
