"""The engine `analyst`: an observer that reports findings and scores."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from attrs import Attribute, field, frozen, validators

from pyscrai_core import Engine, Message, Prompt, ScenarioNames, Turn

from .answers import CHARACTERS_PER_WORD, ask_for_text, parsed, tidy
from .templates import (
    PROMPT_NAMES,
    SYSTEM_NAMES,
    SystemMessage,
)

OWN_NAMES = {
    "questions": [""],
    "scores": [{"name": "", "description": "", "type": "", "minimum": 0, "maximum": 0}],
}
SYSTEM = Prompt.packaged("pyscrai_cast", "prompts/analyst-system.j2", SYSTEM_NAMES | OWN_NAMES)
PROMPT = Prompt.packaged("pyscrai_cast", "prompts/analyst.j2", SYSTEM_NAMES | PROMPT_NAMES | OWN_NAMES)


@frozen
class Score:
    """A number that the analyst assigns: what it measures, and its bounds (both inclusive)."""

    description: str = ""
    minimum: float = 0
    maximum: float = field(default=10)
    type: Literal["integer", "number"] = "integer"

    @maximum.validator
    def _check_bounds(self, attribute: Attribute[float], value: float) -> None:
        if not (math.isfinite(self.minimum) and math.isfinite(value) and self.minimum < value):
            raise ValueError(f"maximum: expected a number above the minimum ({self.minimum}), not {value}")

    def __attrs_post_init__(self) -> None:
        if self.type == "integer" and not (
            self.minimum == int(self.minimum) and self.maximum == int(self.maximum)
        ):
            raise ValueError(
                "type: an integer score needs integer bounds; use `type: number`, or change the bounds"
            )

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the number."""
        bound = int if self.type == "integer" else float
        return {"type": self.type, "minimum": bound(self.minimum), "maximum": bound(self.maximum)}


def _default_scores() -> dict[str, Score]:
    return {"cooperation": Score("how much the participants cooperate: 0 not at all, 10 fully")}


@frozen
class AnalystConfig:
    """The options of `analyst`.

    questions
        What the researcher wants to know. Without questions, the analyst reports what stands out.
    scores
        The numbers to assign, by name. `{}` for none.
    audience
        The agents and groups that see the findings. Without any, only the researcher does.
    words
        The maximum length of a finding, as told to the model. A finding may have up to ten times as many
        characters.
    style
        A description of how the findings are written.
    system, prompt
        The templates of the first and of the last message.
    """

    questions: list[str] = field(factory=list)
    scores: dict[str, Score] = field(factory=_default_scores)
    audience: list[str] = field(factory=list)
    words: int = field(default=80, validator=validators.ge(1))
    style: str = ""
    system: Prompt = SYSTEM
    prompt: Prompt = PROMPT


class Analyst(Engine):
    """Reports an event `finding` with a text and scores. It sees what any other agent in its place sees."""

    Config: ClassVar[type] = AnalystConfig
    config: AnalystConfig
    narrates: ClassVar[bool] = True
    emits: ClassVar[dict[str, dict[str, Any]]] = {
        "finding": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 1},
                "scores": {"type": "object", "additionalProperties": {"type": "number"}},
            },
            "required": ["text", "scores"],
            "additionalProperties": False,
        }
    }

    def __init__(self, config: AnalystConfig) -> None:
        super().__init__(config)
        self._system = SystemMessage()
        self._schema: tuple[AnalystConfig, dict[str, Any]] | None = None

    @classmethod
    def check_names(cls, config: AnalystConfig, names: ScenarioNames) -> None:
        for index, name in enumerate(config.audience):
            names.name("audience", name, "audience", index)
        names.emits("finding", finding_schema(config))

    async def run(self, turn: Turn) -> None:
        config = self.config
        more = {"questions": config.questions, "scores": describe_scores(config.scores)}
        recalled = await turn.recall()
        values = {**self._system.prompt_variables(turn, recalled, config), **more}
        messages = [
            self._system.render(turn, config, **more),
            *recalled,
            Message.user(config.prompt.render(**values)),
        ]
        if config.scores:
            answer = parsed(turn, await turn.think(messages, schema=self._answer_schema()))
            finding = {
                "text": tidy(answer["text"], turn.agent.name) or answer["text"],
                "scores": answer["scores"],
            }
        else:
            finding = {"text": await ask_for_text(turn, messages), "scores": {}}
        turn.emit("finding", finding, audience=config.audience)

    def _answer_schema(self) -> dict[str, Any]:
        config = self.config
        if self._schema is None or self._schema[0] is not config:
            self._schema = (config, finding_schema(config))
        return self._schema[1]


def finding_schema(config: AnalystConfig) -> dict[str, Any]:
    """The JSON Schema of an answer. The text comes first, so that the scores follow from it."""
    scores = {name: score.schema() for name, score in config.scores.items()}
    properties = {
        "text": {"type": "string", "minLength": 1, "maxLength": config.words * CHARACTERS_PER_WORD},
        "scores": {
            "type": "object",
            "properties": scores,
            "required": list(scores),
            "additionalProperties": False,
        },
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def describe_scores(scores: dict[str, Score]) -> list[dict[str, Any]]:
    """The scores for templates."""
    return [
        {"name": name, "description": score.description, **score.schema()} for name, score in scores.items()
    ]
