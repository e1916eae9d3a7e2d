"""An agent in a run: its components, and how far it has seen the log."""

from __future__ import annotations

from pyscrai_records.base.frozen import freeze_list
from pyscrai_records.records import Event

from ..agent import Agent
from ..calls.bound_tools import BoundTool
from ..contracts import Engine, Memory, Reasoning
from .log import Log


class Participant:
    """The live side of an agent."""

    def __init__(self, log: Log) -> None:
        self.memory: Memory | None = None
        self._remembered = 0
        self.turns = 0
        self.observed: list[Event] = []
        self._log = log
        self._seen = 0
        self._before = 0
        #: Events that this agent reacts to and has not answered yet, oldest first.
        self.triggers: list[int] = []

    def become(
        self,
        agent: Agent,
        engine: Engine,
        reasoning: Reasoning | None,
        memory: Memory | None,
        tools: dict[str, BoundTool],
    ) -> None:
        """Go on with these components. A new memory is handed all that the agent has seen."""
        self.agent = agent
        self.engine = engine
        self.reasoning = reasoning
        if memory is not self.memory:
            self._remembered = 0
        self.memory = memory
        self.tools = tools
        #: What a model is told of the tools.
        self.specs = tuple(tool.spec for tool in tools.values())

    def look(self) -> None:
        """Take in what became visible since the last turn. Called by the run when a turn begins."""
        self._before, self._seen = self._seen, len(self._log)
        # The engine and the memory are given this list itself.
        self.observed = freeze_list(self._log.visible(self.agent.name, after=self._before))

    def unremembered(self) -> list[Event]:
        """The events that the memory was not handed yet; they count as handed from now on."""
        after, self._remembered = self._remembered, self._seen
        if after == self._before:
            return self.observed
        return self._log.visible(self.agent.name, after=after, until=self._seen)
