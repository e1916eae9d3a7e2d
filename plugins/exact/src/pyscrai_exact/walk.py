"""Executes a scenario again and again, each time along another history, the most probable ones first.

Each execution is a whole run in a temporary store. Choices that were made before are forced; at the others,
the most probable option is taken. Each execution ends with an outcome, and adds to the tree what it passed.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, field, frozen

from pyscrai_answers.draws import Score
from pyscrai_answers.options import Option, OptionScores
from pyscrai_core import (
    CallRecord,
    ConfigError,
    ContractError,
    Event,
    NoConfig,
    Observer,
    Position,
    Request,
    RunResult,
)
from pyscrai_core.plugins import Host
from pyscrai_core.runtime import execution
from pyscrai_core.runtime.session import Session
from pyscrai_core.scenario.plan import Plan, identities
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.canonical import canonical, digest
from pyscrai_records.store.store import Store

from .scores import Scores, key_of
from .tree import Place, Step, Tree

#: How many executions share a temporary store.
EXECUTIONS = 500
#: Calls whose answers are not the kernel's to enumerate.
OUTSIDE = {"tool": "an external tool", "tools": "an external toolset", "ask": "a person", "now": "the clock"}


class Spent(Exception):
    """The budget does not allow another call."""


@frozen
class Budget:
    """When to stop: so many new calls, so many seconds, and what share is enough."""

    calls: int | None = None
    seconds: float | None = None
    explored: float = 1.0


@define
class Progress:
    """How far it is: `explored` is a probability, `asked` the calls now, `known` those of all times."""

    explored: float = 0.0
    histories: int = 0
    asked: int = 0
    known: int = 0


@frozen
class Distribution:
    """What came of it: each outcome's mass, by its JSON text, and the mass that is not explored.

    `missing` is the largest share of an option's probability that the model did not tell.
    """

    masses: Mapping[str, float]
    unexplored: float
    progress: Progress
    missing: float
    complete: bool


class _Path(Observer):
    """One execution: an observer that knows the log so far, and the oracle that decides."""

    def __init__(self, forced: Mapping[Place, str], walk: Walk) -> None:
        super().__init__(NoConfig())
        self._forced, self._walk = forced, walk
        self.steps: list[Step] = []
        self.outside = ""
        self._log = ""
        #: The choices of the step under way, which the log does not show yet.
        self._pending: list[tuple[Place, str]] = []
        self._lock = asyncio.Lock()

    def on_event(self, event: Event) -> None:
        self._log = digest(self._log.encode() + event.line())
        self._pending = [one for one in self._pending if one[0][1] > event.step]

    def on_call(self, call: CallRecord) -> None:
        if call.kind in OUTSIDE:
            self.outside = self.outside or f"{call.position} asks {OUTSIDE[call.kind]}"

    @asynccontextmanager
    async def answer(self) -> AsyncIterator[None]:
        # One answer after the other, so that choices come in the same order each time.
        async with self._lock:
            yield

    async def scores(
        self, request: Request, prefix: str, options: Sequence[Option], ask: Score
    ) -> OptionScores:
        return await self._walk.scores(request, prefix, options, ask)

    def choose(
        self, position: Position, field: str, labels: Sequence[str], probabilities: Sequence[float]
    ) -> int:
        place = (position.agent, position.step, position.path, field)
        pending = [[*where, label] for where, label in self._pending]
        key = digest(canonical([self._log, pending, list(place)]))[:32]
        label = self._forced.get(place)
        if label is None:
            index = max(range(len(labels)), key=lambda n: (probabilities[n], -n))
        else:
            index = labels.index(label)
        self.steps.append(Step(key, place, tuple(labels), tuple(probabilities), index))
        self._pending.append((place, labels[index]))
        return index


@define
class Walk:
    """The exploration of one outcome of a plan. `tell` is called with the progress after each execution."""

    plan: Plan
    host: Host
    gate: Gate
    outcome: str
    scores_file: Scores
    budget: Budget
    where: str
    tell: Callable[[Progress], None] = field(default=lambda progress: None)
    tree: Tree = field(factory=Tree)
    progress: Progress = field(factory=Progress)
    _missing: float = 0.0
    _models: dict[str, str] = field(factory=dict)
    _started: float = field(factory=time.monotonic)

    async def run(self) -> Distribution:
        """Explore until the budget is spent, or enough is explored.

        Raises `ConfigError` for a scenario that cannot be enumerated, or fails.
        """
        self._models = identities(self.plan)
        todo: list[dict[Place, str]] = [{}]
        complete = False
        try:
            while todo:
                with tempfile.TemporaryDirectory(prefix="pyscrai-exact-") as folder:
                    todo = await self._explore(Path(folder) / "runs.db", todo)
            complete = True
        except Spent:
            pass
        masses, _ = self.tree.masses()
        left = max(0.0, 1.0 - sum(masses.values()))
        return Distribution(masses, left if left > 1e-12 else 0.0, self.progress, self._missing, complete)

    async def _explore(self, path: Path, todo: list[dict[Place, str]]) -> list[dict[Place, str]]:
        """Execute what is to be done, in one store; what is to be done in the next one."""
        with Store.open(path) as store:
            for _ in range(EXECUTIONS):
                if not todo:
                    todo = self._next()
                    if not todo:
                        return []
                await self._execute(store, todo.pop(0))
                self._check_time()
        return todo or self._next()

    def _next(self) -> list[dict[Place, str]]:
        """The histories to execute next: the most probable ones."""
        masses, open_ = self.tree.masses()
        self.progress.explored = min(1.0, sum(masses.values()))
        self.tell(self.progress)
        if self.progress.explored >= self.budget.explored - 1e-12:
            return []
        open_.sort(key=lambda one: (-one[0], one[1], one[2]))
        # Masses are computed once for several executions: that takes as long as the tree is large.
        return [self.tree.forced(key, index) for _, key, index in open_[: 1 + len(self.tree.nodes) // 50]]

    async def _execute(self, store: Store, forced: Mapping[Place, str]) -> None:
        path = _Path(forced, self)
        session = Session(store, self.host, observers=[path], gate=self.gate, oracle=path)
        result = await execution.start(session, self.plan, self.where)
        if isinstance(self._stopped, Spent):
            raise self._stopped
        self._check(result, path)
        value = canonical(result.outcomes[self.outcome]).decode()
        self.tree.add(path.steps, value)
        self.progress.histories += 1

    def _check(self, result: RunResult, path: _Path) -> None:
        if result.status != "completed":
            raise ConfigError(f"exact: an execution of the scenario {result.status}: {result.error}")
        if path.outside:
            raise ConfigError(
                f"exact: {path.outside}, expected a scenario in which only closed choices are random; take "
                "that out of the scenario, or sample with: pyscrai experiment"
            )

    def _check_time(self) -> None:
        seconds = self.budget.seconds
        if seconds is not None and time.monotonic() - self._started > seconds:
            raise Spent("seconds")

    _stopped: Spent | None = None

    async def scores(
        self, request: Request, prefix: str, options: Sequence[Option], ask: Score
    ) -> OptionScores:
        """The scores of options, from the file or the provider."""
        key = key_of(request, prefix, options, self._models[request.provider])
        known = self.scores_file.get(key)
        if known is None:
            if self.budget.calls is not None and self.progress.asked >= self.budget.calls:
                self._stopped = Spent("calls")
                raise ContractError("exact: the budget of calls is spent")
            known = await ask(request, prefix, options)
            self.scores_file.put(key, known)
            self.progress.asked += 1
        self.progress.known = len(self.scores_file)
        total = 1 - known.off
        self._missing = max(self._missing, min(1.0, known.missing / total) if total > 0 else 1.0)
        return known
