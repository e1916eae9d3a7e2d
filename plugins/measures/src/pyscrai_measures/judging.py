"""Judging runs: each is judged by a run of its own, which is stored, resumed and replayed like any other."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from attrs import asdict, define, frozen

from pyscrai_core import ConfigError, StoredRun, StoreError, Trial, Usage
from pyscrai_core.calls.prices import Prices, check_prices
from pyscrai_core.config import Settings
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.session import Session
from pyscrai_core.runtime.trials import Trials
from pyscrai_core.scenario import plan as planning
from pyscrai_core.scenario.plan import Plan
from pyscrai_core.scenario.source import Source
from pyscrai_language.document import Document, Mark
from pyscrai_records.canonical import canonical, digest
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from .engine import JudgeConfig, prompt
from .rubric import Rubric
from .transcript import Material, hidden_words, material_of

#: Tokens of an answer that are expected for each question, without and with a reason.
ANSWER, ANSWER_WITH_REASON = 10, 50


@frozen
class Estimate:
    """What judging will need: `dollars` is None if a price is not known."""

    runs: int
    calls: int
    tokens: int
    dollars: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@frozen
class Summary:
    """How judging ended: how many runs were `judged` now, and which ones were not (`failures`).

    `status` is `completed`, `failed`, `stopped` (by the rubric's limits) or `interrupted`.
    """

    status: str
    judged: int
    calls: int
    dollars: float
    failures: tuple[str, ...] = ()


def judgements_of(store: Store, name: str, rubric: str = "") -> dict[str, RecordedRun]:
    """The runs in which the judge of this name judged others, by the others' ids.

    `rubric` is the hash of a rubric: only those that were judged by it.
    """
    found: dict[str, RecordedRun] = {}
    for run in store.runs(labels={"judge": name} | ({"rubric": rubric} if rubric else {})):
        judged = run.labels.get("judged", "")
        if judged and not run.parent and (judged not in found or found[judged].status != "completed"):
            found[judged] = run
    return found


@contextlib.contextmanager
def alone(store: Store, name: str) -> Iterator[None]:
    """Let this process alone judge by a rubric. Raises `StoreError` if another one does."""
    key = f"judge-{digest(name.encode())[:16]}"
    lock = store.locks.acquire(key)
    if lock is None:
        raise StoreError(
            f"judge {name!r}: another process is judging by it in the store {store.path}; wait for it, or "
            "stop it there with Ctrl-C"
        )
    try:
        yield
    finally:
        store.locks.remove(key)
        lock.release()


@define
class Judging:
    """A rubric, and runs of a store to be judged by it. `known` are the judgements that there are."""

    rubric: Rubric
    runs: Sequence[RecordedRun]
    store: Store
    settings: Settings
    host: Host
    known: Mapping[str, RecordedRun]
    hidden: Sequence[str]

    @classmethod
    def of(
        cls, rubric: Rubric, runs: Sequence[RecordedRun], store: Store, settings: Settings, host: Host
    ) -> Judging:
        """Check that runs can be judged; executes and writes nothing. Raises `InputError`."""
        other = next(
            (
                run
                for run in judgements_of(store, rubric.name).values()
                if run.status == "completed" and run.labels.get("rubric") != rubric.hash
            ),
            None,
        )
        if other is not None:
            raise ConfigError(
                f"{rubric.path}: judge {rubric.name!r}: runs were judged by another rubric of this name (run "
                f"{other.labels['judged']}, in run {other.id}); undo the change, or rename this one"
            )
        if not rubric.spec.providers and "default" not in settings.providers:
            what = "`providers` is missing; expected the models that judge, by name, as in a scenario"
            raise rubric.document.error((), what)
        for run in runs:
            if "judged" in run.labels:
                raise ConfigError(
                    f"run {run.id}: it is the judgement of another run; expected a run of a scenario; judge "
                    f"that one: {run.labels['judged']}"
                )
        known = judgements_of(store, rubric.name, rubric.hash)
        return cls(rubric, runs, store, settings, host, known, hidden_words(rubric, store, runs))

    @property
    def left(self) -> list[RecordedRun]:
        """The runs that are not judged yet, or not wholly."""
        return [
            run for run in self.runs if run.id not in self.known or self.known[run.id].status != "completed"
        ]

    def material(self, run: StoredRun) -> Material:
        return material_of(self.rubric, run, self.hidden)

    def seed(self, run: StoredRun) -> int:
        """The seed of the orders in which a run is judged: another one for each run."""
        return int(digest(canonical([self.rubric.spec.seed, run.fingerprint]))[:12], 16)

    def plan(self, run: StoredRun) -> Plan:
        """The plan of the run that judges a run. Raises `ScenarioError`."""
        rubric, spec = self.rubric, self.rubric.spec
        material = self.material(run)
        options = {
            "engine": "judge",
            "memory": None,
            "questions": {name: _json(asdict(one)) for name, one in spec.questions.items()},
            "instructions": spec.instructions,
            "reasons": spec.reasons,
            "separately": spec.separately,
        }
        columns = {"judge": "event.source", "item": "event.payload.item"}
        answers = "event.payload.answers"
        columns |= (
            {"answers": answers} if spec.separately else {one: f"{answers}.{one}" for one in spec.questions}
        )
        scenario = {
            "scenario": f"judge-{rubric.name}",
            "seed": self.seed(run),
            "world": {"state": {"lines": material.lines, "items": material.items}},
            "providers": dict(spec.providers),
            "agents": {name: {**options, "provider": provider} for name, provider in rubric.raters().items()},
            "schedule": "once",
            "limits": spec.limits,
            "tables": {"judgements": {"rows": "events.judgement", "columns": columns}},
        }
        document = Document.at(scenario, Mark(str(rubric.path)))
        document.graft((), rubric.document, {"providers", "limits"} & rubric.document.value.keys())
        source = Source(rubric.path.resolve().parent, shown=rubric.path.parent)
        source.written = digest(canonical(["rubric", rubric.document.value]))
        return planning.from_document(document, self.host, source, defaults=self.settings.providers)

    def prices(self, plan: Plan) -> Prices:
        made = {name: one.examine() for name, one in plan.providers.items() if not one.deferred}
        prices = Prices(self.settings.prices, made)
        if len(made) == len(plan.providers):
            check_prices(prices, plan.scenario)
        return prices

    def estimate(self) -> Estimate:
        """What is left to do, and what it will need. Raises `InputError` for a run that cannot be judged."""
        spec, left = self.rubric.spec, self.left
        if not left:
            return Estimate(0, 0, 0, 0.0)
        prices = self.prices(self.plan(left[0]))
        config = JudgeConfig(spec.questions, spec.instructions, spec.reasons, spec.separately)
        groups = [[name] for name in spec.questions] if spec.separately else [list(spec.questions)]
        answer = ANSWER_WITH_REASON if spec.reasons else ANSWER
        calls, tokens = 0, 0
        costs: list[float | None] = []
        for run in left:
            material = self.material(run)
            for item in material.items:
                for group in groups:
                    messages, _ = prompt(config, material.lines, item, group, random.Random(0))
                    usage = Usage(sum(one.tokens for one in messages), answer * len(group))
                    for provider in self.rubric.raters().values():
                        calls, tokens = calls + 1, tokens + usage.total
                        costs.append(prices.cost(provider, usage))
        dollars = None if None in costs else sum(cost or 0.0 for cost in costs)
        return Estimate(len(left), calls, tokens, dollars)

    async def judge(self, session: Session, moved: Callable[[int, int], None]) -> Summary:
        """Judge the runs that are left. After Ctrl-C, those under way end soon, and can be resumed.

        `moved` is told how many runs have ended, of how many. Raises `StoreError` if another process judges.
        """
        with alone(self.store, self.rubric.name):
            self.known = judgements_of(self.store, self.rubric.name, self.rubric.hash)
            return await self._judge(session, moved)

    async def _judge(self, session: Session, moved: Callable[[int, int], None]) -> Summary:
        left = self.left
        if not left:
            return Summary("completed", 0, 0, 0.0)
        plan = self.plan(left[0])
        session.gate.approve(str(self.rubric.path), plan.content, plan.demands)
        plans = _Plans(self, {run.id: run for run in left})
        trials = Trials(session, self.settings, plans, str(self.rubric.path))
        waiting = iter(left)
        failures: list[str] = []
        ended: set[str] = set()
        calls, dollars, judged, count = 0, 0.0, 0, 0

        async def work() -> None:
            nonlocal calls, dollars, judged, count
            for run in waiting:
                known = self.known.get(run.id)
                labels = {"judge": self.rubric.name, "judged": run.id, "rubric": self.rubric.hash}
                trial = Trial(run.id, self.seed(run), labels, known.id if known else "")
                async for result in trials.run([trial]):
                    calls, dollars = calls + result.asked, dollars + result.dollars
                    judged += result.status == "completed"
                    ended.add(result.status)
                    count += 1
                    moved(count, len(left))
                    if result.status != "completed":
                        failures.append(
                            f"run {run.id} (in run {result.run}): {result.status}: {result.error}"
                        )

        with _stopped_by_signals(trials.stop):
            workers = [asyncio.ensure_future(work()) for _ in range(self.rubric.spec.concurrency)]
            try:
                await asyncio.gather(*workers)
            except BaseException:
                trials.stop()
                await asyncio.gather(*workers, return_exceptions=True)
                raise
        status = "completed" if not failures else "stopped" if ended <= {"completed", "stopped"} else "failed"
        status = "interrupted" if trials.stops else status
        return Summary(status, judged, calls, dollars, tuple(failures))


def _json(value: Any) -> Any:
    return orjson.loads(canonical(value))


class _Plans(Mapping[str, Plan]):
    """The plans by the judged run's id, each made when it is needed: a transcript may be large."""

    def __init__(self, judging: Judging, runs: Mapping[str, RecordedRun]) -> None:
        self._judging = judging
        self._runs = runs

    def __getitem__(self, key: str) -> Plan:
        return self._judging.plan(self._runs[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)


@contextlib.contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on Ctrl-C and SIGTERM, where signals can be handled."""
    loop = asyncio.get_running_loop()
    handled = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            loop.add_signal_handler(number, stop)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
