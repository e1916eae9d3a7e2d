"""The executor `dask`: trials travel to the workers of a cluster in chunks, and come back as bundles."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from attrs import define, evolve, field, frozen
from distributed import Client
from loguru import logger

from pyscrai_core import ConfigError, Executor, PyscraiError, StoreError, Trial, TrialResult
from pyscrai_core.agent import positive
from pyscrai_core.runtime.trials import Trials
from pyscrai_records.base.demands import demand
from pyscrai_records.canonical import canonical, digest

from . import cluster, worker
from .transfer import Chunk, Delivery, Part, pack, unpack

#: Seconds between two looks at the cluster, and between two signs of life to the workers.
LOOK, SIGN = 0.2, 5.0
#: Seconds until a cluster that lost all of its workers has to have another one.
PATIENCE = 60.0
#: Seconds after which a worker that was lost may take part again, if the scheduler still has it.
FORGET = 10.0
#: Seconds before a worker would have nothing to begin at which it asks for more.
NOTICE = 0.5
#: A trial that was under way when so many workers were lost is given up: it is rather the cause.
MOST_LOSSES = 3


class Dask(Executor):
    """Trials on the workers of a Dask cluster: one that is there, one of this machine, or a queue's jobs."""

    @frozen
    class Config:
        address: str | None = None
        workers: int | None = field(default=None, validator=positive)
        jobqueue: str | None = None
        options: dict[str, Any] = field(factory=dict)
        #: Seconds after which a worker sends back what it has run.
        chunk: float = field(default=5.0, validator=positive)

        def __attrs_post_init__(self) -> None:
            if self.address is not None and not re.fullmatch(r"(tcp|tls)://[^\s/]+:\d+", self.address):
                raise ValueError(
                    f"address: expected tcp://HOST:PORT or tls://HOST:PORT, as `dask scheduler` prints it, "
                    f"not {self.address!r}"
                )
            if self.address is not None and (self.jobqueue or self.workers):
                other = "jobqueue" if self.jobqueue else "workers"
                raise ValueError(f"{other}: the cluster at `address` has workers of its own; leave one out")
            if self.jobqueue is None and self.options:
                raise ValueError("options: they are those of a `jobqueue`, which is missing; name one")
            if self.jobqueue is not None:
                if self.workers is None:
                    raise ValueError("workers: it is missing, expected how many jobs `jobqueue` starts")
                cluster.check_queue(self.jobqueue, self.options)

    async def run(
        self, blocks: Sequence[Sequence[Trial]], runner: Trials, concurrency: int
    ) -> AsyncIterator[TrialResult]:
        if not blocks:
            return
        self._approve(runner)
        most, refused = max(1, min(concurrency, len(blocks))), list[str]()
        async with self._connected(most, refused) as client:
            work = _Work(client, runner, self.config, blocks, most, concurrency, refused)
            async for result in work.results():
                yield result

    def _approve(self, runner: Trials) -> None:
        """Ask for what an experiment from elsewhere could do by naming a cluster. Raises `TrustRequired`.

        Whoever has the scheduler gets the scenarios, and what it sends back is code to Python.
        """
        assert runner.session is not None
        if self.config.address is not None:
            wanted = demand(
                "send the trials to the Dask cluster, and execute what it sends back", self.config.address
            )
        elif self.config.jobqueue is not None:
            options = json.dumps(self.config.options, ensure_ascii=False, sort_keys=True, default=str)
            wanted = demand("submit jobs", f"{self.config.jobqueue} {options}")
        else:
            return
        content = digest(canonical({"executor": "dask", "demand": wanted}))
        runner.session.gate.approve("executor: dask", content, [wanted])

    def _connected(self, most: int, refused: list[str]) -> AbstractAsyncContextManager[Client]:
        config = self.config
        if config.address is not None:
            return cluster.connect(config.address)
        if config.jobqueue is not None:
            return cluster.queued(config.jobqueue, config.options, min(config.workers, most), refused)
        return cluster.local(min(config.workers or os.cpu_count() or 1, most))


@define(eq=False)
class _Block:
    """What is left of a block.

    losses
        how many workers were lost with it
    owned
        its runs that only a worker is to execute now
    """

    trials: tuple[Trial, ...]
    begun: bool = False
    losses: int = 0
    owned: set[str] = field(factory=set)

    def ran(self, result: TrialResult) -> None:
        self.begun, self.losses = True, 0
        left = [trial for trial in self.trials if trial.labels != result.trial.labels]
        self.trials = tuple(evolve(trial, reuse=(*trial.reuse, result.run)) for trial in left)


class _Work:
    """The blocks of an experiment, and the workers that take from them."""

    def __init__(
        self,
        client: Client,
        runner: Trials,
        config: Dask.Config,
        blocks: Sequence[Sequence[Trial]],
        most: int,
        concurrency: int,
        refused: list[str],
    ) -> None:
        assert runner.session is not None
        self._client = client
        #: What a queue said of the jobs that it refused.
        self._refusals = refused
        self._runner = runner
        self._store = runner.session.store
        self._config = config
        self._most = most
        self._concurrency = concurrency
        self._waiting = deque(_Block(tuple(block)) for block in blocks)
        self._results: asyncio.Queue[TrialResult | None] = asyncio.Queue()
        self._name = f"pyscrai-{uuid.uuid4().hex}"
        # Neither options of providers nor paths of this machine: the plans have all that is needed.
        settings = evolve(runner.settings, providers={}, source=None, ignored=None)
        self._pickled = pickle.dumps(Trials(runner.session, settings, runner.plans, runner.where))
        self._distributions = frozenset(
            plugin["distribution"] for plan in runner.plans.values() for plugin in plan.manifest.plugins
        )
        #: The workers that may be used, and those that are known and may not.
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._refused: set[str] = set()
        #: What each worker has in other versions, as far as they were compared.
        self._differences: dict[str, list[str]] = {}
        self._lost: dict[str, float] = {}
        #: What each worker has, by the numbers under which it knows the blocks.
        self._given: dict[str, dict[int, _Block]] = {}
        self._numbers = 0
        self._moved = asyncio.Condition()

    async def results(self) -> AsyncIterator[TrialResult]:
        """Yields each result when its run is in the store."""
        whole = asyncio.ensure_future(self._whole())
        try:
            while (result := await self._results.get()) is not None:
                yield result
            await whole
        finally:
            whole.cancel()
            await asyncio.gather(whole, return_exceptions=True)

    # -- the cluster --

    async def _whole(self) -> None:
        try:
            await self._begin()
            await self._watch()
        except OSError as error:
            raise PyscraiError(
                f"executor: the Dask scheduler cannot be reached any more ({error}); what was delivered is "
                "kept: run it again"
            ) from error
        finally:
            for task in self._workers.values():
                task.cancel()
            await asyncio.gather(*self._workers.values(), return_exceptions=True)
            with suppress(OSError, TimeoutError):  # who is gone needs no farewell
                async with asyncio.timeout(cluster.TIMEOUT):
                    used = list(set(self._workers).intersection(await self._there()))
                    await self._client.run(worker.move_out, self._name, workers=used, on_error="ignore")
            self._results.put_nowait(None)

    async def _there(self) -> set[str]:
        """The addresses of the workers that the scheduler has. Raises `OSError` if it is gone."""
        return set(await cluster.call(self._client, "ncores"))

    async def _begin(self) -> None:
        """Wait for the first workers, and compare their versions. Raises `ConfigError`."""
        since, address, told = time.monotonic(), self._config.address, False
        while not (found := await self._there()):
            if self._runner.stops:
                return
            if len(self._refusals) >= min(self._config.workers or 1, self._most):
                what = f"executor: {self._config.jobqueue} refused all jobs ({self._refusals[0]})"
                raise ConfigError(f"{what}; nothing was run; correct `options`")
            if time.monotonic() - since > cluster.TIMEOUT:
                if self._config.jobqueue is None:
                    raise ConfigError(
                        f"executor: the Dask cluster at {address} has no workers; start some "
                        f"with: dask worker {address}"
                    )
                if not told:
                    told = True
                    logger.warning("no job of the queue has started yet; Ctrl-C ends the wait")
            await asyncio.sleep(LOOK)
        self._differences = await cluster.differences(self._client, self._distributions)
        differing = {address: lines for address, lines in self._differences.items() if lines}
        if differing:
            listed = "".join(
                f"\n  {address}: {line}" for address, lines in differing.items() for line in lines
            )
            raise ConfigError(
                "executor: workers have other versions, with which a trial would not be the same; nothing "
                f"was run; install the same there:{listed}"
            )
        wanted = self._config.workers if self._config.jobqueue else len(found)
        self._count = max(1, min(wanted or 1, self._most))

    @property
    def _at_once(self) -> int:
        """How many blocks a worker is to run at the same time."""
        return -(-(self._runner.concurrency or self._concurrency) // self._count)

    async def _watch(self) -> None:
        """Let workers that come take part, tell all of them what they must know, until all is run."""
        told, said, since = self._news, time.monotonic(), time.monotonic()
        failure: BaseException | None = None
        while not self._over:
            there = await self._there()
            await self._admit(there)
            busy = [address for address, task in self._workers.items() if not task.done()]
            if failure is None and (failure := self._failure()) is not None:
                self._runner.stop()  # what is under way elsewhere ends in order, and is delivered
            now = time.monotonic()
            if busy:
                since = now
            elif now - since > PATIENCE and self._config.jobqueue is None:
                raise PyscraiError(
                    f"executor: all workers were lost, and none came within {PATIENCE:g} seconds; what was "
                    "delivered is kept: run it again"
                )
            if self._news != told or now - said > SIGN:
                told, said = self._news, now
                reached = [address for address in busy if address in there]
                await self._client.run(worker.hear, self._name, told, workers=reached, on_error="ignore")
            async with self._moved:
                self._moved.notify_all()  # of what the runner was told
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._moved.wait()
        if failure := failure or self._failure():
            raise failure

    def _failure(self) -> BaseException | None:
        """Why a worker could not go on, though it was not lost."""
        ended = (task for task in self._workers.values() if task.done())
        return next((error for task in ended if (error := task.exception()) is not None), None)

    @property
    def _news(self) -> worker.News:
        """What workers must know."""
        return worker.News(
            tuple(self._runner.orders), self._runner.enough, more=self._may_begin, at_once=self._at_once
        )

    @property
    def _over(self) -> bool:
        """Whether no trial is under way, and none is to be begun."""
        return not any(self._given.values()) and self._next_block() is None

    async def _admit(self, there: set[str]) -> None:
        """Give work to workers that are new and have the same versions, as many as share the limits."""
        free = self._count - sum(not task.done() for task in self._workers.values())
        for address, lost in list(self._lost.items()):
            if time.monotonic() - lost > FORGET:  # the network failed, and not the worker
                del self._lost[address], self._workers[address]
        new = sorted(there - set(self._workers) - self._refused)
        if free <= 0 or not new:
            return
        if not self._differences.keys() >= set(new):
            self._differences = await cluster.differences(self._client, self._distributions)
        for address in new:
            if lines := self._differences.get(address):
                self._refused.add(address)
                logger.warning("the worker {} gets no trials: {}", address, "; ".join(lines))
            elif address in self._differences and free > 0:
                free -= 1
                self._workers[address] = asyncio.ensure_future(self._serve(address))

    # -- one worker --

    async def _serve(self, address: str) -> None:
        """Give blocks to a worker until nothing is left, or it is lost."""
        alone = self._config.address is None and self._config.jobqueue is None
        mine = self._given.setdefault(address, {})
        try:
            await self._call(address, worker.move_in, self._name, self._pickled, self._count, alone)
            await self._call(address, worker.hear, self._name, self._news)
            since, ended = time.monotonic(), 0
            while True:
                async with self._moved:
                    await self._moved.wait_for(lambda: mine or self._may_begin or self._over)
                if not mine and self._over:
                    return
                # Short trials wait at the worker for their turn, long ones here for any worker that is free.
                pace = ended / (time.monotonic() - since)
                ahead = int(pace * self._config.chunk)
                new = self._take(self._at_once - len(mine), ahead) if self._may_begin else []
                ended += await self._exchange(address, mine, new, min(ahead, int(pace * NOTICE)))
                async with self._moved:
                    self._moved.notify_all()
        except OSError as error:
            self._lost[address] = time.monotonic()
            logger.warning("the worker {} was lost ({}); its trials are run again", address, error)
            self._count_losses(list(mine.values())[: self._at_once])
        finally:
            self._give_back(mine, list(mine))

    async def _exchange(self, address: str, mine: dict[int, _Block], new: list[_Block], low: int) -> int:
        """Give `new` blocks to a worker that has some, and take what it has run; how many blocks are over."""
        parts: list[Part] = []
        for block in new:
            self._numbers += 1
            mine[self._numbers] = block
            parts.append(Part(self._numbers, block.trials, block.begun, self._needed(block)))
            for run in (trial.run for trial in block.trials if trial.run):
                self._store.own(run)
                block.owned.add(run)
        needed = pack(self._store, {run for part in parts for run in part.runs})
        chunk = Chunk(tuple(parts), needed, low, self._config.chunk)
        answer = await self._call(address, worker.work, self._name, pickle.dumps(chunk))
        delivery: Delivery = pickle.loads(answer)
        self._deliver(mine, delivery)
        self._give_back(mine, delivery.over)
        if delivery.error is not None:
            raise delivery.error
        return len(delivery.over)

    def _give_back(self, mine: dict[int, _Block], over: Sequence[int]) -> None:
        """Take blocks from a worker. What is left of them is for any worker."""
        blocks = [mine.pop(number) for number in over]
        for block in blocks:
            while block.owned:
                self._store.release(block.owned.pop())
        self._waiting.extendleft(reversed([block for block in blocks if block.trials]))

    def _count_losses(self, blocks: list[_Block]) -> None:
        for block in blocks:
            block.losses += 1
            if block.losses >= MOST_LOSSES:
                labels = block.trials[0].labels
                raise PyscraiError(
                    f"executor: {MOST_LOSSES} workers in a row were lost with the trial of "
                    f"{labels.get('arm')}, replicate {labels.get('replicate')}; it may need more memory than "
                    "they have: see their logs; what was delivered is kept"
                ) from None

    def _deliver(self, mine: Mapping[int, _Block], delivery: Delivery) -> None:
        """Write the runs of a worker into the store: all of them, or none."""
        made = {result.run for _, result in delivery.results}
        resumed = {run for block in mine.values() for run in block.owned}
        marks = ",".join("?" * len(made - resumed))
        query = f'SELECT COUNT(*) FROM "runs" WHERE "id" IN ({marks})'
        if self._store.connection.execute(query, list(made - resumed)).fetchone()[0]:
            logger.warning("a run of a worker has the id of another; what it delivered is run again")
            return
        for run in made & resumed:
            self._store.release(run)
        unpack(self._store, delivery.runs, replaced=sorted(made & resumed))
        for number, result in delivery.results:
            self._remember(result)
            mine[number].ran(result)
            self._results.put_nowait(result)

    def _remember(self, result: TrialResult) -> None:
        """A run of a plan that a person approved is approved here too: it may be resumed here."""
        if not (plan := self._runner.plans.get(result.trial.plan)) or not plan.source.recorded_demands:
            return
        assert self._runner.session is not None
        plan = plan.with_seed(result.trial.seed)
        self._runner.session.gate.remember(
            self._runner.where, plan.manifest.content, plan.source.recorded_demands
        )

    async def _call(self, address: str, function: Any, *arguments: Any) -> Any:
        """Call a function on a worker. Raises `OSError` if it is lost, else what the function raises."""
        found = await self._client.run(function, *arguments, workers=[address])
        return found[address]

    # -- blocks --

    def _next_block(self) -> _Block | None:
        """The next block that may be begun, or continued."""
        if self._runner.stops:
            return None
        return next((block for block in self._waiting if block.begun or not self._runner.enough), None)

    @property
    def _may_begin(self) -> bool:
        return self._runner.proceeding.is_set() and self._next_block() is not None

    def _take(self, free: int, ahead: int) -> list[_Block]:
        """Blocks for a worker that can begin `free` ones at once, and has others begin soon `ahead` of that.

        Of these, enough is left for the other workers that all of them end at about the same time.
        """
        fair = -(-len(self._waiting) // (2 * self._count))
        size = min(free + ahead, max(fair, free))
        taken: list[_Block] = []
        while len(taken) < size and (block := self._next_block()) is not None:
            self._waiting.remove(block)
            taken.append(block)
        return taken

    def _needed(self, block: _Block) -> frozenset[str]:
        """The runs of the store that a block's trials resume, or take answers from."""
        needed: set[str] = set()
        for trial in block.trials:
            needed.update(trial.reuse)
            if trial.run:
                needed.add(trial.run)
                source = self._store.run(trial.run).manifest.get("reuse", "none")
                needed.update(run for run in source.split(",") if run not in ("none", "all", "parent", ""))
        return self._present(needed)

    def _present(self, runs: set[str]) -> frozenset[str]:
        """Those that are in the store: what was removed meanwhile is asked anew."""
        found: set[str] = set()
        for run in runs:
            with suppress(StoreError):
                found.add(self._store.run(run).id)
        return frozenset(found)
