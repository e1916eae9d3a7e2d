"""What a model would be asked: a run in which nobody is asked, up to one agent's turn."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from attrs import evolve, frozen

from pyscrai_answers.options import Option, OptionScores
from pyscrai_core import Completion, ConfigError, Request, RequestRejected, Sink, check_value
from pyscrai_core.agent import AgentLimits
from pyscrai_core.contracts import NoConfig, Provider
from pyscrai_core.runtime.components import Components, watch_components
from pyscrai_core.runtime.run import Run
from pyscrai_core.runtime.session import Session
from pyscrai_core.scenario.model import Limits
from pyscrai_core.scenario.plan import Plan
from pyscrai_core.scenario.trust import Approval
from pyscrai_records.base.time_limit import LeftBehind
from pyscrai_records.records import RunResult
from pyscrai_records.store.store import Store


@frozen
class Preview:
    """A request as the provider `use` would get it: what its vendor cannot do natively is in words.

    `invented` tells whether answers stand in before it, `kernel` whether the kernel draws its closed choices.
    """

    request: Request
    use: str
    invented: bool
    kernel: bool


class _Stand(Provider):
    """Stands in for a provider: keeps what is looked for, and answers all before it in angle brackets."""

    def __init__(self, look: _Look, capabilities: frozenset[str]) -> None:
        super().__init__(NoConfig())
        self.capabilities = capabilities
        self._look = look

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        return await self._look.take(request)

    async def score(self, request: Request, prefix: str, options: Sequence[Option]) -> OptionScores:
        await self._look.take(request)
        return OptionScores((-math.log(len(options)),) * len(options), model="nobody")


class _Look:
    """What is looked for, and what was met on the way."""

    def __init__(self, agent: str, step: int | None) -> None:
        self.agent = agent
        self.step = step
        self.met: list[tuple[str, int]] = []
        self.found: Request | None = None
        self.run: Run | None = None

    async def take(self, request: Request) -> Completion:
        agent, step = request.position.agent, request.position.step
        if agent == self.agent and self.step in (None, step) and self.found is None:
            self.found = request
            assert self.run is not None
            self.run.cancel()
            await asyncio.Event().wait()  # until it is cancelled
        self.met.append((agent, step))
        return Completion(_answer(request), model="nobody")


async def preview(plan: Plan, approval: Approval, agent: str, step: int | None = None) -> Preview:
    """The first request of `agent` in `step` (None: of its first turn).

    Nobody is asked: what others would have answered before stands there in angle brackets. Raises
    `ConfigError` if the agent asks nothing then.
    """
    if agent not in plan.scenario.agents:
        known = ", ".join(plan.scenario.agents)
        raise ConfigError(f"--agent {agent}: there is no such agent; the scenario's: {known}")
    agents = {name: evolve(one, limits=AgentLimits()) for name, one in plan.scenario.agents.items()}
    plan.scenario = evolve(plan.scenario, agents=agents, limits=Limits())
    look = _Look(agent, step)
    components = Components(plan, approval)
    components.providers = {
        name: _Stand(look, provider.capabilities) for name, provider in components.providers.items()
    }
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "preview.db") as store:
        watch = watch_components(lambda: None)

        async def work() -> RunResult:
            try:
                await components.open(watch)
                session = Session(store, plan.host)
                made = store.create_run(plan.scenario.name, plan.scenario.seed, plan.manifest.to_dict())
                look.run = Run(components, session, made)
                return await look.run.execute(watch)
            finally:
                await components.close(watch)

        try:
            result = await watch.oversee(work())
        except LeftBehind:
            if look.run is None or look.run.result is None:
                raise asyncio.CancelledError from None  # without limits, only a person ends it
            result = look.run.result
            components.not_closed(TimeoutError("it does not end, and was left behind"))
    if look.found is None:
        steps = sorted({met for who, met in look.met if who == agent})
        if result.status == "failed":
            raise ConfigError(f"--agent {agent}: it is not reached: {result.error}")
        asked = f"it asks in steps {', '.join(map(str, steps))}" if steps else "it never asks a model"
        raise ConfigError(f"--agent {agent}: it asks nothing in step {step or 1}; {asked}")
    use = plan.scenario.providers[look.found.provider]
    can = "options" in components.providers[look.found.provider].capabilities
    return Preview(look.found, use.use, bool(look.met), can and use.policy.draw != "provider")


def _answer(request: Request) -> str:
    """What stands in for an answer: visibly nobody's words, in the form that is demanded.

    In square or round brackets it would look like an action, and get a name in front.
    """
    if request.schema is None:
        return f"<{request.position.agent}'s words>"
    schema = request.schema
    value = _instance(schema, schema, 0)
    if wrong := check_value(schema, value):
        raise RequestRejected(
            f"no answer can stand in for that of {request.position.agent} in step {request.position.step}: "
            f"{wrong}; look at a recorded run instead: pyscrai prompt RUN --agent NAME"
        )
    return orjson.dumps(value).decode()


def _instance(schema: Any, root: dict[str, Any], depth: int) -> Any:
    """A small value that fits the plain parts of a schema."""
    if not isinstance(schema, dict) or depth > 32:
        return None
    if "$ref" in schema:
        target: Any = root
        for key in schema["$ref"].removeprefix("#").strip("/").split("/"):
            target = target[key.replace("~1", "/").replace("~0", "~")] if key else target
        return _instance(target, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return _instance(schema[key][0], root, depth + 1)
    kinds = schema.get("type", "string")
    match kinds[0] if isinstance(kinds, list) else kinds:
        case "object":
            needed = schema.get("required", ())
            parts = schema.get("properties", {})
            return {key: _instance(parts.get(key, {}), root, depth + 1) for key in needed}
        case "array":
            return [_instance(schema.get("items", {}), root, depth + 1)] * schema.get("minItems", 0)
        case "integer" | "number":
            low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
            return low if low > 0 else min(0, schema.get("maximum", 0))
        case "boolean":
            return False
        case "null":
            return None
    return "<words>"[: schema.get("maxLength", 7)].ljust(schema.get("minLength", 0), ".")
