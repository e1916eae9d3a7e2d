"""Tools in a run: what an agent can call, how long a call may take, and how often it may be made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import define, field

from pyscrai_language.schemas import check_tool_schema, check_value
from pyscrai_records.base.log import report
from pyscrai_records.canonical import Json, canonical, check_json
from pyscrai_records.errors import TELL, ContractError, PyscraiError, ToolFailed
from pyscrai_records.records import ToolSpec

from ..agent import ToolPolicy
from ..contracts import Tool
from ..discovery.blame import awaitable, describe, origin, raiser
from ..turn import Turn
from .limiter import Account, Bounds

#: The largest answer of a tool, in bytes of JSON.
LARGEST = 1_000_000


class RecordedTool(Tool):
    """A tool of a toolset, as it was `told` when the run began; `behind` is who answers now, if anybody."""

    def __init__(self, told: dict[str, Any], behind: Tool | None) -> None:
        super().__init__(None)
        self.name, self.description, self.parameters = told["name"], told["description"], told["parameters"]
        self.repeatable = told["repeatable"]
        self._behind = behind
        self.origin = origin(behind) if behind else ""

    async def call(self, arguments: dict[str, Any], turn: Turn) -> Json:
        if self._behind is None:
            raise ToolFailed(f"tool {self.name}: it was offered when the run began, and is not any more")
        return await self._behind.call(arguments, turn)


def described(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """What is journaled of the tools of a toolset."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": dict(tool.parameters),
            "repeatable": tool.repeatable,
        }
        for tool in tools
    ]


def spec_of(tool: Tool, check: bool = False) -> ToolSpec:
    """What a tool says of itself. Raises `ContractError` for what is none (with `check`, no JSON Schema)."""
    for name, kind in (("name", str), ("description", str), ("parameters", Mapping)):
        if not isinstance(value := getattr(tool, name, None), kind):
            expected = "a JSON Schema" if kind is Mapping else "text"
            what = f"its `{name}` is {type(value).__name__}, expected {expected}"
            raise ContractError(f"{origin(tool)}: {what}; tell its author")
    try:
        spec = ToolSpec(tool.name, tool.description, dict(tool.parameters))
        if check:
            check_tool_schema(spec.parameters)
        return spec
    except (ValueError, TypeError) as error:  # the latter is what cannot be written as JSON
        raise ContractError(f"{origin(tool)}: its `parameters`: {error}; tell its author") from None


@define(eq=False)
class BoundTool:
    """A tool in an agent's hands. The `account` is the tool's own, whoever calls it."""

    tool: Tool
    policy: ToolPolicy
    account: Account
    spec: ToolSpec = field(init=False)

    def __attrs_post_init__(self) -> None:
        # One object always: the journal and the check of values know it again by its identity.
        self.spec = spec_of(self.tool)

    @property
    def external(self) -> bool:
        return self.tool.external

    def checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """A copy of the arguments. Raises `ContractError` for what is not JSON, `ToolFailed` for a misfit."""
        try:
            copied: dict[str, Any] = orjson.loads(orjson.dumps(check_json(arguments, "arguments")))
        except ValueError as error:
            raise ContractError(f"tool {self.spec.name}: {error}; expected plain JSON") from None
        if wrong := check_value(self.spec.parameters, copied):
            raise ToolFailed(f"tool {self.spec.name}: the arguments do not fit: {wrong}")
        return copied

    async def call(self, arguments: dict[str, Any], turn: Turn) -> bytes:
        """The answer as JSON. Raises `ToolFailed` for whatever goes wrong in the tool."""
        tool, policy = self.tool, self.policy
        try:
            with await self.account.enter(lambda: Bounds(policy.calls_per_minute), 0, 0.0) as ticket:
                ticket.sent()
                # A pure tool is part of the execution: it waits for nothing that a clock could measure.
                async with asyncio.timeout(policy.timeout if tool.external else None):
                    answer = await awaitable(tool, "call", tool.call(arguments, turn))
        except (PyscraiError, asyncio.CancelledError):
            raise
        except TimeoutError:
            raise ToolFailed(f"tool {tool.name}: no answer within {policy.timeout:g} s") from None
        except (Exception, SystemExit) as error:  # whatever it raises is its answer to the agent
            report("INFO", error, "{} raised {}", origin(tool), describe(error))
            what = f"tool {tool.name}: {type(error).__name__}: {error}"
            raise ToolFailed(what, f"{origin(raiser(error) or tool)}; {TELL}") from error
        return self._encoded(answer)

    def _encoded(self, answer: Any) -> bytes:
        try:
            body = canonical(check_json(answer, "its answer"))
        except ValueError as error:
            what = f"tool {self.tool.name}: {error}; expected plain JSON"
            raise ToolFailed(what, f"{origin(self.tool)}; tell its author") from None
        if len(body) > LARGEST:
            raise ToolFailed(
                f"tool {self.tool.name}: its answer has {len(body):,} bytes, and {LARGEST:,} are the most; "
                "ask for less"
            )
        return body
