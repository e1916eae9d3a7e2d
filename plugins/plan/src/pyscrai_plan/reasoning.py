"""The reasoning `plan`."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import Completion, ContractError, Event, Message, Prompt, Reasoning, Request, Turn

#: Characters allowed for each word of a step: generous, so that it only ends what rambles.
PER_WORD = 10
BOUNDS = frozenset({"steps", "words"})
MAKE = Prompt.packaged("pyscrai_plan", "prompts/make.j2", BOUNDS)
CHECK = Prompt.packaged("pyscrai_plan", "prompts/check.j2", BOUNDS | {"plan", "news"})
ANSWER = Prompt.packaged("pyscrai_plan", "prompts/answer.j2", {"plan"})


@frozen
class PlanConfig:
    """The options of `plan`.

    steps
        how many steps a plan may have
    words
        how many words a step may have; told to the model, and ten times as many characters are a bound
    inner
        the reasoning that answers by the plan; None: the model, with the agent's tools
    prompt, check, answer
        the templates of what asks for a plan, whether it still holds, and for the answer by it
    """

    steps: int = field(default=5, validator=validators.ge(1))
    words: int = field(default=20, validator=validators.ge(1))
    inner: Reasoning | None = None
    prompt: Prompt = MAKE
    check: Prompt = CHECK
    answer: Prompt = ANSWER


class PlanReasoning(Reasoning):
    """Makes a plan at first use, keeps it in the agent's private state, and answers by it.

    After Wang et al., Plan-and-Solve Prompting (2023, arXiv:2305.04091), and the plans of Park et al.,
    Generative Agents: Interactive Simulacra of Human Behavior (2023, arXiv:2304.03442).

    One call for the answer; one more where the plan is made; and one more in each turn before which
    something happened, to ask whether the plan still holds. The plan is `self.plan`, a list of texts,
    and what was thought about it is an event `thought` for the researcher alone.
    """

    Config: ClassVar[type] = PlanConfig
    config: PlanConfig

    def __init__(self, config: PlanConfig) -> None:
        super().__init__(config)
        self._turn = -1
        self._looked: dict[asyncio.Task[Any] | None, list[str]] = {}

    async def reason(self, request: Request, turn: Turn) -> Completion:
        plan = await self._plan(request, turn)
        message = Message.user(self.config.answer.render(plan=plan))
        request = request.but(messages=(*request.messages, message))
        inner = self.config.inner
        return await (turn.converse(request) if inner is None else inner.reason(request, turn))

    async def _plan(self, request: Request, turn: Turn) -> list[str]:
        """The plan that holds in this turn, looked at once.

        By task, since branches that run side by side must not see each other's: which of them is the
        faster may differ when the run is executed again.
        """
        if turn.number != self._turn:
            self._turn, self._looked = turn.number, {}
        task = asyncio.current_task()
        if task not in self._looked:
            self._looked[task] = await self._looked_at(request, turn)
        return self._looked[task]

    async def _looked_at(self, request: Request, turn: Turn) -> list[str]:
        config = self.config
        make_form, check_form = _forms(config.steps, config.words * PER_WORD)

        async def ask(prompt: Prompt, form: dict[str, Any], **values: Any) -> Any:
            question = prompt.render(steps=config.steps, words=config.words, **values)
            messages = (*request.messages, Message.user(question))
            return (await turn.complete(request.but(messages=messages, schema=form, tools=()))).parsed

        plan = kept = _kept(turn)
        thought = ""
        news = [event.describe() for event in turn.observed if _is_news(event, turn.agent.name)]
        if kept and news:
            checked = await ask(config.check, check_form, plan=kept, news=news)
            plan = kept if checked["still_holds"] else checked["plan"]
            thought = "The plan still holds."
        if not plan:  # there is none, or it does not hold and nothing came in its place
            plan = (await ask(config.prompt, make_form))["plan"]
        if plan != kept:
            turn.change("self.plan", plan)
            thought = ("The plan does not hold. New plan: " if kept else "Plan: ") + "; ".join(plan)
        if thought:
            turn.emit("thought", {"text": thought, "by": "plan"}, audience=())
        return plan


def _kept(turn: Turn) -> list[str]:
    kept = turn.own.get("plan") or ()
    if not isinstance(kept, tuple) or not all(isinstance(step, str) for step in kept):
        raise ContractError(f"agents.{turn.agent.name}.state.plan: expected a list of texts; rename it")
    return list(kept)


def _is_news(event: Event, me: str) -> bool:
    """Whether an event could contradict a plan: what others did, and the world's refusals."""
    return event.kind == "rejected" if event.source == me else not event.kind.startswith("thought")


@lru_cache(maxsize=16)
def _forms(steps: int, length: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON Schemas of a plan, and of an answer whether one holds: so many steps of such a length."""
    plan = {"type": "array", "items": {"type": "string", "maxLength": length}, "maxItems": steps}
    return _object(plan={**plan, "minItems": 1}), _object(still_holds={"type": "boolean"}, plan=plan)


def _object(**properties: Any) -> dict[str, Any]:
    closed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed}
