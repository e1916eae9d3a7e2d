"""The schedule `moderated`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar

from attrs import Attribute, field, frozen

from pyscrai_core import EVERYONE, ContractError, Expression, Message, Prompt, Request, Schedule, Stage

from .options import mistake, positive

#: What a rule may use.
NAMES = ("names", "last", "events", "state", "step")
PROMPT = Prompt.packaged(
    "pyscrai_schedules",
    "prompts/moderator.j2",
    ("names", "last", "lines", "state", "step", "instructions"),
)


@lru_cache(maxsize=256)
def expression(source: str) -> Expression:
    """The expression of a rule. Raises `ValueError` if it is none."""
    return Expression(source, NAMES)


@frozen
class ModeratedConfig:
    """The options of `moderated`. Raises `ValueError` for a mistake.

    turns
        how many turns are given
    rule
        an expression whose value is the name of the agent that is next (None: a model is asked)
    repeat
        whether an agent may have two turns running
    provider
        the name of the provider that is asked (empty: `default`, or the first)
    instructions
        what the model is told about its task, in words
    window
        how many of the last public events the model is shown
    prompt
        the template of the message to the model
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
    """One agent a step, chosen by a rule, or by a model that can answer nothing but a name."""

    Config: ClassVar[type] = ModeratedConfig

    config: ModeratedConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._turns = 0
        self._last: str | None = None

    async def next(self, stage: Stage) -> Sequence[str]:
        """Raises `ContractError` if the rule's value is nobody who may be next."""
        config = self.config
        if self._turns >= config.turns or not stage.agents:
            return ()
        names = [name for name in stage.agents if config.repeat or name != self._last]
        if not names:
            what = f"{self._last} is the only agent that acts by schedule, and would have two turns running"
            raise mistake("repeat", f"{what}; add agents, or write `repeat: true`")
        if config.rule is not None:
            self._last = self._by_rule(config.rule, names, stage)
        else:
            # Where there is no choice, nobody needs to be asked.
            self._last = names[0] if len(names) == 1 else await self._by_model(names, stage)
        self._turns += 1
        return (self._last,)

    def _by_rule(self, source: str, names: list[str], stage: Stage) -> str:
        rule = expression(source)
        # A copy of the whole log is made only for a rule that looks at it.
        events = stage.log if "events" in rule.uses else ()
        given = {"names": names, "last": self._last, "events": events, "state": stage.state}
        try:
            chosen = rule.evaluate(**given, step=stage.step)
        except ValueError as error:
            raise ContractError(f"schedule.rule: {error}; correct the rule") from None
        if chosen not in names:
            again = chosen in stage.agents
            why = "had the turn before (see `repeat`)" if again else "is no agent that may be next"
            raise ContractError(
                f"schedule.rule: step {stage.step}: its value {chosen!r} {why}, expected one of "
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
        words = config.prompt.render(**values, lines=lines, state=plain(stage.state))
        request = Request((Message.user(words),), schema=answer_schema(names), provider=config.provider)
        completion = await stage.complete(request)
        return str(completion.parsed["next"])


def answer_schema(names: list[str]) -> dict[str, Any]:
    """The JSON Schema of a model's answer: `next`, one of the names."""
    return {
        "type": "object",
        "properties": {"next": {"type": "string", "enum": names}},
        "required": ["next"],
        "additionalProperties": False,
    }


def plain(value: Any) -> Any:
    """The plain data behind a read-only view."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple) else value
