"""The reasoning `plan`."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import (
    AnswerRejected,
    AnswerTruncated,
    Completion,
    ContractError,
    Event,
    Message,
    Prompt,
    Reasoning,
    Refused,
    Request,
    ScenarioNames,
    Turn,
)

#: The maximum length of a step, as characters per word. This is generous: it only ends text that is much too
#: long.
CHARACTERS_PER_WORD = 10
#: Failures after which the plan stays as it was.
UNUSABLE = (AnswerRejected, AnswerTruncated, Refused)
LIMIT_NAMES = {"steps": 0, "words": 0}
MAKE = Prompt.packaged("pyscrai_plan", "prompts/make.j2", LIMIT_NAMES)
CHECK = Prompt.packaged("pyscrai_plan", "prompts/check.j2", LIMIT_NAMES | {"plan": [""], "news": [""]})
ANSWER = Prompt.packaged("pyscrai_plan", "prompts/answer.j2", {"plan": [""]})


@frozen
class PlanConfig:
    """The options of `plan`.

    steps
        The maximum number of steps.
    words
        The maximum length of a step, as told to the model. A step may have ten times as many characters.
    inner
        The reasoning that answers by the plan. None: the model, with the agent's tools.
    prompt, check, answer
        The templates that ask for a plan, whether it still holds, and for the answer.
    """

    steps: int = field(default=5, validator=validators.ge(1))
    words: int = field(default=20, validator=validators.ge(1))
    inner: Reasoning | None = None
    prompt: Prompt = MAKE
    check: Prompt = CHECK
    answer: Prompt = ANSWER


class PlanReasoning(Reasoning):
    """Answers by a plan, which it makes at first use and keeps in the agent's private state.

    After Wang et al., Plan-and-Solve Prompting (2023, arXiv:2305.04091), and the plans of Park et al.,
    Generative Agents: Interactive Simulacra of Human Behavior (2023, arXiv:2304.03442).

    It needs one call for the answer, one more for making the plan, and one more in each turn with new events,
    to ask whether the plan still holds. The plan is `self.plan`, a list of texts. Thoughts about it are
    events `thought`, which only the researcher sees. If the model refuses, or its answer is cut off or empty,
    the plan stays as it was, and a thought says why; without a plan, the agent answers without one.
    """

    Config: ClassVar[type] = PlanConfig
    config: PlanConfig

    def __init__(self, config: PlanConfig) -> None:
        super().__init__(config)
        self._turn = -1
        self._plans: dict[asyncio.Task[Any] | None, list[str]] = {}

    @classmethod
    def check_names(cls, config: Any, names: ScenarioNames) -> None:
        names.change("set", "self.plan", names.fits({"type": "array", "items": {"type": "string"}}))

    async def reason(self, request: Request, turn: Turn) -> Completion:
        plan = await self._plan(request, turn)
        if plan:
            message = Message.user(self.config.answer.render(plan=plan))
            request = request.but(messages=(*request.messages, message))
        inner = self.config.inner
        return await (turn.converse(request) if inner is None else inner.reason(request, turn))

    async def _plan(self, request: Request, turn: Turn) -> list[str]:
        """The plan for this turn, which is updated once per task.

        Concurrent branches must not see each other's plans, because their order may differ when the run is
        executed again.
        """
        if turn.number != self._turn:
            self._turn, self._plans = turn.number, {}
        task = asyncio.current_task()
        if task not in self._plans:
            self._plans[task] = await self._update_plan(request, turn)
        return self._plans[task]

    async def _update_plan(self, request: Request, turn: Turn) -> list[str]:
        config = self.config
        plan_schema, check_schema = _schemas(config.steps, config.words * CHARACTERS_PER_WORD)

        async def ask(prompt: Prompt, schema: dict[str, Any], **values: Any) -> Any:
            question = prompt.render(steps=config.steps, words=config.words, **values)
            messages = (*request.messages, Message.user(question))
            answer = (
                await turn.complete(request.but(messages=messages, schema=schema, tools=(), speaks=False))
            ).parsed
            return {**answer, "plan": [step for step in answer["plan"] if step.strip()]}

        plan = kept = _stored_plan(turn)
        thought = ""
        news = [event.describe() for event in turn.observed if _is_news(event, turn.agent.name)]
        try:
            if kept and news:
                checked = await ask(config.check, check_schema, plan=kept, news=news)
                plan = kept if checked["still_holds"] else checked["plan"]
                thought = "The plan still holds."
            if not plan:  # there is no plan, or it does not hold and there is no new one
                plan = (await ask(config.prompt, plan_schema))["plan"]
            why = "" if plan else "the model's plan is empty"
        except UNUSABLE as error:
            why = str(error)
        if why:
            plan, thought = kept, f"{'The plan stays as it was' if kept else 'There is no plan'}: {why}"
        elif plan != kept:
            turn.change("self.plan", plan)
            thought = ("The plan no longer holds. New plan: " if kept else "Plan: ") + "; ".join(plan)
        if thought:
            turn.emit("thought", {"text": thought, "by": "plan"}, audience=())
        return plan


def _stored_plan(turn: Turn) -> list[str]:
    kept = turn.own.get("plan") or ()
    if not isinstance(kept, tuple) or not all(isinstance(step, str) for step in kept):
        raise ContractError(f"agents.{turn.agent.name}.state.plan: expected a list of texts; rename it")
    return list(kept)


def _is_news(event: Event, me: str) -> bool:
    """Whether an event could contradict a plan: actions of others, and rejected actions of the agent."""
    return event.kind == "rejected" if event.source == me else not event.kind.startswith("thought")


@lru_cache(maxsize=16)
def _schemas(steps: int, length: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON Schemas of a plan, and of the answer whether a plan still holds."""
    plan = {"type": "array", "items": {"type": "string", "maxLength": length}, "maxItems": steps}
    return _object(plan={**plan, "minItems": 1}), _object(still_holds={"type": "boolean"}, plan=plan)


def _object(**properties: Any) -> dict[str, Any]:
    closed = {"required": list(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **closed}
