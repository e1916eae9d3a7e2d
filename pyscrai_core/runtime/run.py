"""The run loop: one execution of a scenario, live, resumed or replayed.

All three are the same execution from the start. What the journal answers is not asked again, what the log
holds already is compared instead of written; a replay asks nobody and writes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from loguru import logger

from ..agent import Agent
from ..contracts import Observer, Tool, Toolset
from ..errors import (
    BudgetSpent,
    CallFailed,
    ContractError,
    Divergence,
    InputError,
    PyscraiError,
    StoreError,
    Uncertain,
)
from ..language.expressions import Expression
from ..records import (
    EVERYONE,
    Event,
    Position,
    Price,
    RunResult,
    RunStatus,
    Sampling,
    check_json,
)
from ..scenario.manifest import Manifest
from ..scenario.plan import Epoch, Plan, identities
from ..store.runs import StoredRun
from ..store.store import Store
from .bound_tools import Equipped, by_name
from .calls import Ask, OnUncertain, Road
from .components import Ensemble
from .inputs import POLL, Inputs
from .journal import OUTSIDE, Journal
from .limiter import Account
from .log import LogWriter
from .observers import Watchers
from .participant import Player
from .reuse import Reuse
from .rules import Rejected, Rules, plain, state_changes
from .state import Root, Snapshot
from .turn import Draft, Exhausted, Scope, Stage, Stopping, Trouble, Turn

#: Seconds for which calls in flight may still be answered when a run is stopped.
DRAIN = 10.0


class _Reached(Exception):
    """The step up to which a part of a run is executed again is over."""


class Run:
    """One execution. `recorded` is the run as it is in the store, for a resume or a replay.

    With `until`, a replay ends when that step is over. `reuse` finds answers of other runs; `on_uncertain`
    decides on tools of which nobody knows whether they acted.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        run: str,
        *,
        recorded: StoredRun | None = None,
        replay: bool = False,
        observers: Sequence[Observer] = (),
        ask: Ask | None = None,
        prices: Mapping[str, Price] | None = None,
        until: int | None = None,
        reuse: Reuse | None = None,
        on_uncertain: OnUncertain | None = None,
    ) -> None:
        self.id = run
        self.stopping = False
        self._epochs = list(plan.epochs)
        self._turned = 0
        self._until = until
        #: Whether it came to the end of the step `until`.
        self.reached = False
        self._log_writer = LogWriter(store, run, recorded, replay)
        self.log = self._log_writer.log
        self._follow(plan)
        self._store = store
        self._recorded = recorded
        self._replay = replay
        self._watchers = Watchers(run, observers)
        self._root: Root = {
            "world": plan.scenario.state,
            "agents": {name: agent.state for name, agent in plan.scenario.agents.items()},
            "groups": {name: group.state for name, group in plan.scenario.groups.items()},
        }
        self.snapshot = Snapshot(self._root)
        self._players: dict[str, Player] = {}
        self._made: dict[str, list[Tool | Toolset]] = {}
        self._accounts: dict[tuple[int, str], Account] = {}
        self._ordinals: dict[str, int] = {}
        self._step = 0
        self._main: asyncio.Task[Any] | None = None
        self._completed = recorded is not None and recorded.status == "completed"
        #: The last step of which anything is recorded: what arrives now is taken in behind it.
        self._frontier = recorded.frontier() if recorded else -1
        # A run that ended may have taken an event in before a step that it did not take.
        reached = self._frontier if recorded and recorded.ended is None else 0
        self._recorded_steps = max(recorded.steps, reached) if recorded else 0
        self._inputs = Inputs(store, run)
        journal = Journal(store, run, recorded)
        self._outside = journal.outside() if recorded else {}
        self.road = Road(
            seed=self.seed,
            journal=journal,
            scenario=plan.last.scenario,
            prices=prices or {},
            ask=ask,
            watch=self._watchers.on_call if observers else None,
            # Answers are streamed only if somebody watches the words come.
            words=self._watchers.on_words if self._watchers.take_words else None,
            replaying=replay,
            turn_of=lambda agent: self._players[agent].turns if agent in self._players else 0,
            identities=identities(plan.last) if not replay else {},
            reuse=reuse,
            on_uncertain=on_uncertain,
        )

    def _follow(self, plan: Plan) -> None:
        """Go by `plan` from now on."""
        self.plan = plan
        self.scenario = plan.scenario
        self.seed = plan.scenario.seed
        self._agents = plan.scenario.agents
        self.rules = Rules(plan.scenario, plan.declared)
        self.scheduled = tuple(name for name, agent in self._agents.items() if agent.acts.scheduled)
        self._reacting = [name for name, agent in self._agents.items() if agent.acts.on]
        self.log.hear({name: agent.groups for name, agent in self._agents.items()})

    # -- what the doors ask --

    def sampling(self, provider: str) -> Sampling:
        use = self.scenario.providers.get(provider)
        return use.sampling if use else Sampling()

    def default_provider(self) -> str:
        """The provider of those that are no agent: `default`, or else the first."""
        names = self.scenario.providers
        return "default" if "default" in names or not names else next(iter(names))

    def pending(self) -> list[str]:
        return [name for name in self._reacting if self._players[name].triggers]

    def open_actions(self, agent: Any) -> list[str]:
        return [name for name in agent.actions if self.rules.open(agent.name, name, self._root, self._step)]

    # -- executing --

    def stop(self) -> None:
        """Stop soon: no new call starts, those in flight may still be answered for `DRAIN` seconds."""
        if self.stopping:
            self.cancel()
            return
        self.stopping = True
        self.road.stop()
        asyncio.get_running_loop().call_later(DRAIN, self.cancel)

    def cancel(self) -> None:
        """Stop at once. What was committed stays."""
        self.stopping = True
        self.road.stop()
        if self._main is not None:
            self._main.cancel()

    async def execute(self, ensemble: Ensemble) -> RunResult:
        """Run to the end with the opened components of `ensemble`, and return what it came to.

        Failures, spent budgets and interruptions are results too. Raises `Divergence` if this execution
        differs from the recorded one, `StoreError` if the store fails.
        """
        self._main = asyncio.current_task()
        await self._watchers.open()
        try:
            return await self._execute(ensemble)
        finally:
            await self._watchers.close()

    async def _execute(self, ensemble: Ensemble) -> RunResult:
        self._watchers.on_run("running", None)
        status: RunStatus = "completed"
        error, outcomes = "", {}
        try:
            await self._enter(ensemble)
            await self._play(ensemble)
            outcomes = self._outcomes()
            self._log_writer.check_complete()
        except BudgetSpent as failure:
            status, error = "stopped", str(failure)
        except Exhausted as failure:
            assert self._recorded is not None
            if self._completed:
                raise Divergence(f"{failure}; the recorded run completed without this call") from None
            status, error = self._recorded.status, self._recorded.error
            try:
                self._log_writer.check_complete()
            except Divergence as difference:
                raise self._explained(difference) from None
        except _Reached:
            status, self.reached = "interrupted", True
        except Uncertain as failure:
            status, error = "stopped", str(failure)
        except Stopping:
            status, error = "interrupted", "interrupted by a person"
        except asyncio.CancelledError:
            if not self.stopping:
                self._end("interrupted", "cancelled", {})
                raise
            status, error = "interrupted", "interrupted by a person"
        except Divergence as failure:
            if self._recorded is not None and not self._replay:
                self._store.restore_run(self._recorded)
            raise self._explained(failure) from failure
        except StoreError:
            raise
        except InputError as failure:
            self._end("failed", str(failure), {})
            raise
        except PyscraiError as failure:
            status, error = "failed", str(failure)
        except BaseException as failure:
            self._end("failed", f"{type(failure).__name__}: {failure}", {})
            raise
        return self._end(status, error, outcomes)

    async def _enter(self, ensemble: Ensemble) -> None:
        self.road.open(ensemble.providers)
        await self._staff(ensemble, "tools", 0)

    async def _staff(self, ensemble: Ensemble, path: str, step: int) -> None:
        """Give the agents their components; their toolsets are asked for tools at `path` of the step."""
        for name, agent in self._agents.items():
            player, made = self._players.get(name), ensemble.tools[name]
            if player is not None and player.agent.tools == agent.tools and self._made[name] == made:
                tools = player.tools
            else:
                tools = await self._equip(agent, ensemble, path, step) if agent.tools else {}
            self._made[name] = made
            parts = (agent, ensemble.engines[name], ensemble.reasoning[name], ensemble.memories[name], tools)
            if player is None:
                self._players[name] = Player(*parts, self.log)
            else:
                player.become(*parts)

    async def _equip(self, agent: Agent, ensemble: Ensemble, path: str, step: int) -> dict[str, Equipped]:
        """The agent's tools by name, those of its toolsets among them."""
        equipped = []
        for index, (use, component) in enumerate(zip(agent.tools, ensemble.tools[agent.name], strict=True)):
            if isinstance(component, Tool):
                tools = [component]
            elif component.external:
                position = Position(agent.name, step, f"{path}.{index}")
                tools = await self.road.offered(component, use.use, position)
            else:
                tools = await component.list()
            for tool in tools:
                # An external tool is one for all agents, and so are its limits.
                key = (id(component), tool.name)
                account = self._accounts.setdefault(key, Account())
                equipped.append(Equipped(tool, use.access, account))
        return by_name(agent.name, equipped)

    # -- between two steps --

    async def _boundary(self, ensemble: Ensemble) -> Ensemble:
        """What happens before a step: a fork's changes take effect, what came from outside is taken in."""
        if self._until is not None and self._step >= self._until:
            raise _Reached
        while self._epochs and self._step >= self._epochs[0].after:
            ensemble = await self._turn_to(self._epochs.pop(0), ensemble)
        step = self._step + 1
        for body in self._outside.pop(step, ()):
            self.road.calls += 1
            self._add_input(body, step)
        if not self._replay and step > self._frontier and self._inputs.arrived():
            await self._pause()
            for number, (source, body) in enumerate(self._inputs.events(step), 1):
                self._add_input(await self.road.take_in(step, number, body, source), step)
        return ensemble

    def _add_input(self, body: dict[str, Any], step: int) -> None:
        try:
            draft = self.rules.outside(body["kind"], body["payload"], tuple(body["audience"]))
        except ContractError as reason:
            # It was checked when it was sent, but for what the scenario's own code declares.
            payload = {"kind": body["kind"], "payload": body["payload"], "reason": str(reason)}
            draft = Draft("rejected", payload, (), None)
        self._commit(draft, OUTSIDE, step)
        self.snapshot = Snapshot(self._root)

    async def _pause(self) -> None:
        """Stand still as long as a person wants it."""
        if not self._inputs.pausing():
            return
        await self._store.writer.committed()
        began = time.monotonic()
        self._show("paused")
        while self._inputs.pausing():
            if self.stopping:
                raise Stopping
            await asyncio.sleep(POLL)
        self.road.paused(time.monotonic() - began)
        self._show("running")

    def _show(self, status: RunStatus) -> None:
        self._store.mark(self.id, status)
        self._watchers.on_run(status, None)

    async def _turn_to(self, epoch: Epoch, ensemble: Ensemble) -> Ensemble:
        """Let the changes of a fork take effect."""
        old, before = self.plan, self._root
        ensemble = await ensemble.shifted(old, epoch.plan, replay=self._replay)
        self._follow(epoch.plan)
        self.road.seed = self.seed
        scenario = self.scenario
        groups = {name: group.state for name, group in scenario.groups.items()}
        self._root = {
            "world": before["world"],
            "agents": {name: before["agents"].get(name, one.state) for name, one in self._agents.items()},
            "groups": {name: before["groups"].get(name, state) for name, state in groups.items()},
        }
        self._players = {name: player for name, player in self._players.items() if name in self._agents}
        self._turned += 1
        await self._staff(ensemble, f"fork.{self._turned}/tools", self._step)
        for path, value in state_changes(old.scenario, scenario):
            payload = {"path": path, "op": "set", "value": value}
            self._commit(Draft("change", payload, self.rules.heard_by(path), None), OUTSIDE, self._step + 1)
        self.snapshot = Snapshot(self._root)
        return ensemble

    async def _play(self, ensemble: Ensemble) -> None:
        await self._wave([name for name, agent in self._agents.items() if agent.acts.start])
        while True:
            ensemble = await self._boundary(ensemble)
            scenario = self.scenario
            if scenario.stop_when and self._value(scenario.stop_when, "stop_when"):
                break
            if scenario.limits.steps is not None and self._step >= scenario.limits.steps:
                raise BudgetSpent(
                    f"limits.steps: the run has taken {self._step} steps; "
                    "go on with more: pyscrai resume RUN --set limits.steps=…"
                )
            group = await self._next(ensemble)
            if not group:
                break
            self._step += 1
            if self._replay and not self._completed and self._step > self._recorded_steps:
                self._step -= 1
                raise Exhausted(f"step {self._step + 1}: the recorded run ended before it")
            self._ordinals.clear()
            await self._wave(group)
            await self._wave([name for name, agent in self._agents.items() if agent.acts.after_group])
            if not ensemble.schedule.schedules_reactions:
                await self._wave(self.pending())
            await self._wave([name for name, agent in self._agents.items() if _due(agent, self._step)])
        self._step += 1
        self._ordinals.clear()
        await self._wave([name for name, agent in self._agents.items() if agent.acts.end])
        self._step -= 1

    async def _next(self, ensemble: Ensemble) -> list[str]:
        if self.stopping:
            raise Stopping
        stage = Stage(self, self._step + 1)
        try:
            group = list(await ensemble.schedule.next(stage))
        except (PyscraiError, Stopping, asyncio.CancelledError) as error:
            self._reopen(stage, error)
            raise
        except Exception as error:
            raise self._broken("schedule", self.scenario.schedule.use, error) from error
        if stage._trouble.error is not None:
            self._reopen(stage, stage._trouble.error)
            raise stage._trouble.error
        for name in group:
            if name not in self._players:
                raise ContractError(f"schedule {self.scenario.schedule.use!r}: there is no agent {name!r}")
        if len(set(group)) != len(group):
            raise ContractError(f"schedule {self.scenario.schedule.use!r}: {group} names an agent twice")
        return group

    async def _wave(self, names: Sequence[str]) -> None:
        """The turns of some agents at the same time, on the same snapshot, and then their events."""
        if not names:
            return
        # A step is not begun when the run is being stopped; one that is under way may use the journal.
        if self.stopping:
            raise Stopping
        turns = [self._begin(self._players[name]) for name in names]
        if len(turns) == 1:
            ended = [await self._take(*turns[0])]
        else:
            tasks = [asyncio.ensure_future(self._take(*turn)) for turn in turns]
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                raise
            ended = [task.result() for task in tasks]
        failures = [end for end in ended if isinstance(end, BaseException)]
        if failures:
            for (turn, _), end in zip(turns, ended, strict=True):
                if isinstance(end, BaseException):
                    self._reopen(turn, end)
            # Of several, the one that says most: a stop is only a consequence.
            raise next((one for one in failures if not isinstance(one, Stopping)), failures[0])
        for (_, player), drafts in zip(turns, ended, strict=True):
            for draft in drafts:  # type: ignore[union-attr]
                self._commit(draft, player.agent.name)
            player.turns += 1
        self.snapshot = Snapshot(self._root)

    def _reopen(self, scope: Scope, end: BaseException) -> None:
        """The calls whose failure ended a turn are asked again when the run is resumed."""
        self.road.reopen(scope._trouble.calls | set(end.calls if isinstance(end, CallFailed) else ()))

    def _begin(self, player: Player) -> tuple[Turn, Player]:
        name = player.agent.name
        player.look()
        if player.triggers:
            cause: int | None = player.triggers[-1]
            player.triggers.clear()
        else:
            heard = (event.seq for event in reversed(player.observed) if event.source != name)
            cause = next(heard, None)
        ordinal = self._ordinals[name] = self._ordinals.get(name, 0) + 1
        turn = Turn(self, player, self._step, str(ordinal), cause, Trouble(), len(self.log))
        return turn, player

    async def _take(self, turn: Turn, player: Player) -> list[Draft] | BaseException:
        """One turn: its drafts, or how it failed."""
        turn._task = asyncio.current_task()
        agent = player.agent
        error: BaseException | None = None
        try:
            await player.engine.run(turn)
        except (PyscraiError, Stopping) as failure:
            error = failure
        except asyncio.CancelledError as failure:
            error = turn._trouble.error or (Stopping() if self.stopping else failure)
            if asyncio.current_task() is self._main:
                raise
        except Exception as failure:  # noqa: BLE001
            # A component may raise anything. It ends the turn, and the run says which one it was.
            error = self._broken("engine", agent.engine.use, failure, agent.name)
        error = turn._trouble.error or error
        if error is None:
            return turn._drafts
        if agent.on_error == "skip" and isinstance(error, CallFailed):
            return [Draft("turn.failed", {"error": type(error).__name__}, (), turn._cause)]
        if isinstance(error, PyscraiError) and not isinstance(error, StoreError):
            # Named once, here, wherever it came from.
            error.args = (f"agents.{agent.name}, step {self._step}: {error}",)
        return error

    def _commit(self, draft: Draft, source: str, step: int | None = None) -> None:
        """Make a draft an event: possible or rejected, numbered, folded into the state, delivered."""
        seq = len(self.log) + 1
        step = self._step if step is None else step
        event = Event(seq, step, draft.kind, source, draft.audience, draft.payload, draft.cause)
        try:
            self.rules.permitted(draft, source, self._root, step)
            self._root = self.rules.apply(event, self._root)
        except Rejected as reason:
            payload = {"kind": draft.kind, "payload": draft.payload, "reason": str(reason)}
            event = Event(seq, step, "rejected", source, (), payload, draft.cause)
        self._log_writer.add(event)
        for name in self._reacting:
            if name != source and event.kind in self._agents[name].acts.on and self._hears(name, event):
                self._players[name].triggers.append(seq)
        self._watchers.on_event(event)

    def _hears(self, name: str, event: Event) -> bool:
        audience = event.audience
        return (
            EVERYONE in audience
            or name in audience
            or any(group in audience for group in self._agents[name].groups)
        )

    def _value(self, expression: Expression, where: str) -> Any:
        values = {**self._root, "state": self._root["world"], "events": self.log.events, "step": self._step}
        try:
            return expression.evaluate(**{name: values[name] for name in expression.uses})
        except ValueError as error:
            raise ContractError(f"{where}: {error}") from None

    def _outcomes(self) -> dict[str, Any]:
        outcomes = {}
        for name, expression in self.scenario.outcomes.items():
            try:
                value = self._value(expression, f"outcomes.{name}")
            except ContractError as error:
                # The run is whole all the same: nothing of it is asked again.
                raise ContractError(f"{error}; mend it: pyscrai resume RUN --set outcomes.{name}=…") from None
            try:
                outcomes[name] = check_json(plain(value), f"outcomes.{name}")
            except ValueError as error:
                raise ContractError(f"{error}") from None
        return outcomes

    def _broken(self, kind: str, use: str, error: Exception, agent: str = "") -> ContractError:
        # The message is the run's error; the traceback is for who reads the log.
        logger.opt(exception=error).info("{} {} raised", kind, use)
        return ContractError(f"{kind} {use!r} raised {type(error).__name__}: {error}; tell its author")

    # -- ending and telling --

    def _explained(self, failure: Divergence) -> Divergence:
        """The same, with the plugins that have other versions than they had."""
        assert self._recorded is not None
        before = Manifest.from_dict(self._recorded.manifest).last_plugins
        now = {plugin.name: plugin.version for plugin in self.plan.host.plugins if plugin.status == "loaded"}
        others = [
            f"{plugin['distribution']} was {plugin['version']} and is {now.get(plugin['name'], 'not there')}"
            for plugin in before
            if now.get(plugin["name"]) != plugin["version"]
        ]
        more = f"\nother versions since: {', '.join(others)}" if others else ""
        return Divergence(f"run {self.id}: {failure}{more}", failure.step)

    def _end(self, status: RunStatus, error: str, outcomes: dict[str, Any]) -> RunResult:
        # What an earlier execution came to is kept, also if this one ended before it.
        steps = self._step if self._replay else max(self._step, self._log_writer.rest())
        result = RunResult(
            run=self.id,
            scenario=self.scenario.name,
            seed=self.seed,
            status=status,
            fingerprint=self.log.fingerprint,
            steps=steps,
            events=tuple(self.log.events),
            calls=self.road.calls,
            asked=self.road.asked,
            usage=self.road.usage,
            outcomes=outcomes,
            error=error,
            cost=self.road.cost,
        )
        if status == "completed" and not self._replay:
            for _, late in self._inputs.events():
                logger.warning(
                    "the event {!r} by {} came too late: the run was over", late["kind"], late["author"]
                )
        if not self._replay:
            self._store.end_run(
                self.id,
                status=status,
                error=error,
                steps=steps,
                fingerprint=result.fingerprint,
                outcomes=outcomes,
            )
        self._watchers.on_run(status, result)
        return result


def _due(agent: Agent, step: int) -> bool:
    return bool(agent.acts.every) and step % agent.acts.every == 0
