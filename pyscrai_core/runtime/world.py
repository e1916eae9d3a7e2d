"""The world of one execution: the plan in force, the log, the state, the rules, and who takes part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyscrai_language.expressions import Expression
from pyscrai_records.canonical import canonical
from pyscrai_records.errors import ContractError
from pyscrai_records.records import EVERYONE, Event, Position, Sampling

from ..agent import Acts, Agent
from ..scenario.plan import Plan
from .log import Log
from .participant import Participant
from .rules import Draft, Rejected, Rules, state_changes
from .state import Root, Snapshot


class World:
    """What turns and stages look at, and what events change.

    `step` is the number of the step under way; `tell` is called with every new event.
    """

    def __init__(self, plan: Plan, log: Log, tell: Callable[[Event], None]) -> None:
        self.log = log
        self.participants: dict[str, Participant] = {}
        self.step = 0
        #: What the kernel drew in the answers of an agent in a step, as `draws` records it.
        self.drawn: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
        self._tell = tell
        self.follow(plan)
        self._root: Root = {
            "world": plan.scenario.state,
            "agents": {name: agent.state for name, agent in plan.scenario.agents.items()},
            "groups": {name: group.state for name, group in plan.scenario.groups.items()},
        }
        self.refresh()

    def follow(self, plan: Plan) -> None:
        """Go by `plan` from now on."""
        self.plan = plan
        self.scenario = plan.scenario
        self.seed = plan.scenario.seed
        self.agents = plan.scenario.agents
        self.rules = Rules(plan.scenario, plan.declared)
        self.scheduled = tuple(name for name, agent in self.agents.items() if agent.acts.scheduled)
        self._reacting = [name for name, agent in self.agents.items() if agent.acts.on]
        self.log.hear({name: agent.groups for name, agent in self.agents.items()})

    def enter(self, plan: Plan) -> list[Draft]:
        """Apply a fork's changes. Returns the changes of the state, which are to be committed."""
        before, root = self.scenario, self._root
        self.follow(plan)
        groups = {name: group.state for name, group in self.scenario.groups.items()}
        self._root = {
            "world": root["world"],
            "agents": {name: root["agents"].get(name, agent.state) for name, agent in self.agents.items()},
            "groups": {name: root["groups"].get(name, state) for name, state in groups.items()},
        }
        self.participants = {name: one for name, one in self.participants.items() if name in self.agents}
        return [
            Draft("change", {"path": path, "op": "set", "value": value}, self.rules.heard_by(path))
            for path, value in state_changes(before, self.scenario)
        ]

    # -- what is asked of it --

    def narrates(self, agent: str) -> bool:
        """Whether the agent writes about others; False if there is no such agent."""
        return agent in self.participants and self.participants[agent].engine.narrates

    def turns_of(self, agent: str) -> int:
        """How many turns an agent has taken."""
        return self.participants[agent].turns if agent in self.participants else 0

    def sampling(self, provider: str) -> Sampling:
        use = self.scenario.providers.get(provider)
        return use.sampling if use else Sampling()

    def default_provider(self) -> str:
        """The provider of what is no agent: `default`, or else the first."""
        names = self.scenario.providers
        return "default" if "default" in names or not names else next(iter(names))

    def acting(self, now: Callable[[Acts], bool]) -> list[str]:
        """The names of the agents that act now, in the scenario's order."""
        return [name for name, agent in self.agents.items() if now(agent.acts)]

    def due(self, acts: Acts) -> bool:
        """Whether it is the turn of who acts every so many steps."""
        return bool(acts.every) and self.step % acts.every == 0

    def pending(self) -> list[str]:
        """The agents that have events to react to."""
        return [name for name in self._reacting if self.participants[name].triggers]

    def open_actions(self, agent: Agent) -> list[str]:
        """The agent's actions whose guard holds now."""
        return [name for name in agent.actions if self.rules.open(agent.name, name, self._root, self.step)]

    def value(self, expression: Expression, where: str, given: Mapping[str, Any] | None = None) -> Any:
        """What an expression of the scenario comes to now, with more names. Raises `ContractError`."""
        values = {**self._root, "state": self._root["world"], "events": self.log.events, "step": self.step}
        values |= given or {}
        try:
            return expression.evaluate(**{name: values[name] for name in expression.uses})
        except ValueError as error:
            raise ContractError(f"{where}: {error}") from None

    def note_draws(self, position: Position, draws: Sequence[Mapping[str, Any]]) -> None:
        """Keep the draws in an answer, for expected values."""
        if draws:
            self.drawn.setdefault((position.agent, position.step), []).extend(draws)

    def states(self, part: str) -> Mapping[str, Any]:
        """The states of the `agents` or `groups` by name."""
        states: Mapping[str, Any] = self._root[part]
        return states

    # -- what changes it --

    def commit(self, draft: Draft, source: str, step: int | None = None) -> None:
        """Make a draft an event: check it, number it, apply it to the state, deliver it."""
        seq = len(self.log) + 1
        step = self.step if step is None else step
        draft = self._without_secrets(draft)
        event = draft.event(seq, step, source)
        try:
            self.rules.permitted(draft, source, self._root, step)
            self._root = self.rules.apply(event, self._root)
        except Rejected as reason:
            event = draft.rejected(reason).event(seq, step, source)
        self.log.add(event)
        for name in self._reacting:
            if name != source and event.kind in self.agents[name].acts.on and self._hears(name, event):
                self.participants[name].triggers.append(seq)
        self._tell(event)

    def _without_secrets(self, draft: Draft) -> Draft:
        """A draft without secrets; but as it was recorded, which may be before a secret was known."""
        clean = draft.redacted()
        if clean is draft:
            return draft
        recorded = self.log.recorded()
        return clean if recorded is None or canonical(clean.payload) in recorded.line() else draft

    def refresh(self) -> None:
        """Let turns see the state as it is now."""
        self.snapshot = Snapshot(self._root)

    def _hears(self, name: str, event: Event) -> bool:
        audience = event.audience
        return (
            EVERYONE in audience
            or name in audience
            or any(group in audience for group in self.agents[name].groups)
        )
