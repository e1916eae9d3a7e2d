"""Gives agents their components and tools: when a run begins, and when a fork changes them."""

from __future__ import annotations

from pyscrai_records.errors import ContractError
from pyscrai_records.records import Position

from ..agent import Agent
from ..calls.bound_tools import BoundTool, spec_of
from ..calls.limiter import Account
from ..contracts import Tool, Toolset
from ..discovery.blame import awaitable, check_list
from .call_pipeline import CallPipeline
from .components import Components
from .participant import Participant
from .world import World


class Binding:
    """Makes the participants of a world, and keeps what they hold up to date."""

    def __init__(self, world: World, calls: CallPipeline) -> None:
        self._world = world
        self._calls = calls
        #: The tools and toolsets that each agent has, as its tools by name were made from them.
        self._made: dict[str, list[Tool | Toolset]] = {}
        #: The limits of each tool, whoever calls it.
        self._accounts: dict[tuple[int, str], Account] = {}

    async def bind(self, components: Components, path: str, step: int) -> None:
        """Give the agents their components. Toolsets are asked for their tools at `path` of the step."""
        world = self._world
        for name, agent in world.agents.items():
            participant, made = world.participants.get(name), components.tools(name)
            for tool in made:  # a toolset's are the server's, which checks what it is given
                if isinstance(tool, Tool) and not components.replay:
                    spec_of(tool, check=True)
            if participant and participant.agent.tools == agent.tools and self._made[name] == made:
                tools = participant.tools
            else:
                tools = await self._bind_tools(agent, made, path, step)
            if participant is None:
                participant = world.participants[name] = Participant(world.log)
            participant.become(agent, tools=tools, **components.of(name))
            self._made[name] = made

    async def _bind_tools(
        self, agent: Agent, made: list[Tool | Toolset], path: str, step: int
    ) -> dict[str, BoundTool]:
        """The agent's tools by name, those of its toolsets among them."""
        bound: dict[str, BoundTool] = {}
        for index, (use, component) in enumerate(zip(agent.tools, made, strict=True)):
            if isinstance(component, Tool):
                tools = [component]
            elif component.external:
                position = Position(agent.name, step, f"{path}.{index}")
                tools = await self._calls.toolset(component, use.use, position)
            else:
                tools = await awaitable(component, "list", component.list())
                check_list(component, "list", tools, Tool, "a list of tools")
            for tool in tools:
                if tool.name in bound:
                    raise ContractError(
                        f"agents.{agent.name}.tools: two tools have the name {tool.name!r}; leave one out"
                    )
                # An external tool is one for all agents, and so are its limits.
                account = self._accounts.setdefault((id(component), tool.name), Account())
                bound[tool.name] = BoundTool(tool, use.policy, account)
        return bound
