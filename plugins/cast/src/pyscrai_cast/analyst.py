"""The engine `analyst`: watches, and writes down what a researcher wants to know."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from attrs import Attribute, field, frozen, validators

from pyscrai_core import Engine, Message, Prompt, Turn

from .prompting import (
    CHANGING,
    PER_WORD,
    STANDING,
    Opening,
    changing,
    parsed,
    standing,
    tidy,
    words_of,
)

MORE = frozenset({"questions", "scores"})
SYSTEM = Prompt.packaged("pyscrai_cast", "prompts/analyst-system.j2", STANDING | MORE)
PROMPT = Prompt.packaged("pyscrai_cast", "prompts/analyst.j2", STANDING | CHANGING | MORE)


@frozen
class ScoreForm:
    """A number that the analyst gives: what it measures, and between which bounds (both included)."""

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
                "type: an integer score needs whole bounds; write `type: number`, or change the bounds"
            )

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the number."""
        bound = int if self.type == "integer" else float
        return {"type": self.type, "minimum": bound(self.minimum), "maximum": bound(self.maximum)}


def _default_scores() -> dict[str, ScoreForm]:
    return {"cooperation": ScoreForm("how far the participants work together: 0 not at all, 10 fully")}


@frozen
class AnalystConfig:
    """The options of `analyst`.

    questions
        what the researcher wants to know; without any, what stands out
    scores
        the numbers to give, by name; `{}` for none
    audience
        names of agents and groups that hear the findings; without any, the researcher alone
    words
        how many words a finding may have; told to the model, and ten times as many characters are the bound
    style
        how it is written, in words
    system, prompt
        the templates of the first and of the last message
    """

    questions: list[str] = field(factory=list)
    scores: dict[str, ScoreForm] = field(factory=_default_scores)
    audience: list[str] = field(factory=list)
    words: int = field(default=80, validator=validators.ge(1))
    style: str = ""
    system: Prompt = SYSTEM
    prompt: Prompt = PROMPT


class Analyst(Engine):
    """Writes an event `finding` with a text and scores. It sees what any agent in its place would see."""

    Config: ClassVar[type] = AnalystConfig
    config: AnalystConfig
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
        self._opening = Opening()
        self._schema: tuple[AnalystConfig, dict[str, Any]] | None = None

    async def run(self, turn: Turn) -> None:
        config = self.config
        more = {"questions": config.questions, "scores": describe_scores(config.scores)}
        recalled = await turn.recall()
        values = {**standing(turn, config), **changing(turn, recalled), **more}
        messages = [
            self._opening.message(turn, config, **more),
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
            finding = {"text": await words_of(turn, messages), "scores": {}}
        turn.emit("finding", finding, audience=config.audience)

    def _answer_schema(self) -> dict[str, Any]:
        config = self.config
        if self._schema is None or self._schema[0] is not config:
            self._schema = (config, finding_schema(config))
        return self._schema[1]


def finding_schema(config: AnalystConfig) -> dict[str, Any]:
    """The JSON Schema of an answer: the text first, since scores should follow from it."""
    scores = {name: score.schema() for name, score in config.scores.items()}
    properties = {
        "text": {"type": "string", "minLength": 1, "maxLength": config.words * PER_WORD},
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


def describe_scores(scores: dict[str, ScoreForm]) -> list[dict[str, Any]]:
    """The scores as templates see them."""
    return [
        {"name": name, "description": score.description, **score.schema()} for name, score in scores.items()
    ]
