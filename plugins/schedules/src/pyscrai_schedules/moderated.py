"""The schedule `moderated`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import (
    EVERYONE,
    ContractError,
    Expression,
    Message,
    Prompt,
    Request,
    ScenarioNames,
    Schedule,
    Stage,
)

from .checks import mistake, positive

#: The names that a rule can use.
RULE_NAMES = ("names", "last", "events", "state", "step")
PROMPT = Prompt.packaged(
    "pyscrai_schedules",
    "prompts/moderator.j2",
    {"names": [""], "last": None, "lines": [""], "state": {}, "step": 0, "instructions": ""},
)


@lru_cache(maxsize=256)
def expression(source: str) -> Expression:
    """The expression of a rule. Raises `ValueError` if it is invalid."""
    return Expression(source, RULE_NAMES)


@frozen
class ModeratedConfig:
    """The options of `moderated`. Raises `ValueError` for a mistake.

    turns
        The number of turns.
    rule
        An expression whose value is the name of the next agent. None: a model decides.
    repeat
        Whether an agent may have two consecutive turns.
    provider
        The provider of the model. Empty: `default`, or the first one.
    instructions
        What the model is told about its task.
    window
        How many of the last public events the model is shown.
    prompt
        The template of the message to the model.
    """

    turns: int = field(default=10, validator=positive)
    rule: str | None = field(default=None)
    repeat: bool = False
    provider: str = ""
    instructions: str = ""
    window: int = field(default=20, validator=positive)
    prompt: Prompt = PROMPT

    @rule.validator
    def _check_rule(self, attribute: Attribute[Any], value: str | None) -> None:
        if value is not None:
            try:
                expression(value)
            except ValueError as error:
                raise ValueError(f"rule: {error}") from None


class Moderated(Schedule):
    """One agent per step, chosen by a rule or by a model, whose answer can only be a name."""

    Config: ClassVar[type] = ModeratedConfig

    config: ModeratedConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._turns = 0
        self._last: str | None = None

    @classmethod
    def check_names(cls, config: ModeratedConfig, names: ScenarioNames) -> None:
        scheduled = [name for name, agent in names.scenario.agents.items() if agent.acts.scheduled]
        if len(scheduled) == 1 and config.turns > 1 and not config.repeat:
            names.mistake(_alone(scheduled[0]), "repeat")
        if config.rule is not None:
            agent = names.one_of(*names.agents)
            schema = {"enum": list(names.agents)}
            names.value(schema, config.rule, "rule", names=[agent], last=agent)
        if config.provider:
            names.name("provider", config.provider, "provider")

    @classmethod
    def most_steps(cls, config: ModeratedConfig, agents: Sequence[str]) -> int:
        return config.turns

    async def next(self, stage: Stage) -> Sequence[str]:
        """Raises `ContractError` if the rule's value is not an agent that may be next."""
        config = self.config
        if self._turns >= config.turns or not stage.agents:
            return ()
        names = [name for name in stage.agents if config.repeat or name != self._last]
        if not names:
            raise mistake("repeat", _alone(str(self._last)))
        if config.rule is not None:
            self._last = self._by_rule(config.rule, names, stage)
        else:
            # With a single name, no request is needed.
            self._last = names[0] if len(names) == 1 else await self._by_model(names, stage)
        self._turns += 1
        return (self._last,)

    def _by_rule(self, source: str, names: list[str], stage: Stage) -> str:
        rule, where = expression(source), f"{self.place_of('rule')}: schedule.rule"
        # The log is only copied for a rule that uses it.
        events = stage.log if "events" in rule.uses else ()
        given = {"names": names, "last": self._last, "events": events, "state": stage.state}
        try:
            chosen = rule.evaluate(**given, step=stage.step)
        except ValueError as error:
            raise ContractError(f"{where}: {error}; correct the rule") from None
        if chosen not in names:
            again = chosen in stage.agents
            why = "had the previous turn (see `repeat`)" if again else "is not an agent that may be next"
            raise ContractError(
                f"{where}: step {stage.step}: its value {chosen!r} {why}, expected one of "
                f"{', '.join(names)}; correct the rule"
            )
        return str(chosen)

    async def _by_model(self, names: list[str], stage: Stage) -> str:
        config = self.config
        public = (
            event.describe()
            for event in reversed(stage.log)
            if EVERYONE in event.audience and event.kind != "change"
        )
        lines = list(islice(public, config.window))[::-1]
        values = {"names": names, "last": self._last, "step": stage.step, "instructions": config.instructions}
        text = config.prompt.render(**values, lines=lines, state=plain(stage.state))
        request = Request((Message.user(text),), schema=answer_schema(names), provider=config.provider)
        completion = await stage.complete(request)
        return str(completion.parsed["next"])


def _alone(name: str) -> str:
    what = f"{name} is the only agent that acts by schedule, and would get two turns in a row"
    return f"{what}; add agents, or set `repeat: true`"


def answer_schema(names: list[str]) -> dict[str, Any]:
    """The JSON Schema of the model's answer: `next`, one of the names."""
    return {
        "type": "object",
        "properties": {"next": {"type": "string", "enum": names}},
        "required": ["next"],
        "additionalProperties": False,
    }


def plain(value: Any) -> Any:
    """The plain data of a read-only view."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple) else value
