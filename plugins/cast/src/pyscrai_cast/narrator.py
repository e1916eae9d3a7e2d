"""The engine `narrator`: tells what the world looks like, and what comes of what was done."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from attrs import field, frozen, validators

from pyscrai_core import Engine, Message, Prompt, Turn

from .prompting import CHANGING, STANDING, Opening, changing, standing, words_of

MORE = frozenset({"perspective"})
SYSTEM = Prompt.packaged("pyscrai_cast", "prompts/narrator-system.j2", STANDING | MORE)
PROMPT = Prompt.packaged("pyscrai_cast", "prompts/narrator.j2", STANDING | CHANGING | MORE)


@frozen
class NarratorConfig:
    """The options of `narrator`.

    perspective
        who tells: `third` person from outside, `omniscient` (third person, sees into heads), `second`
        (speaks to the others as you), `first` (was there)
    words
        how many words a narration may have; told to the model
    style
        how it is told, in words
    system, prompt
        the templates of the first and of the last message
    """

    perspective: Literal["third", "omniscient", "second", "first"] = "third"
    words: int = field(default=80, validator=validators.ge(1))
    style: str = ""
    system: Prompt = SYSTEM
    prompt: Prompt = PROMPT


class Narrator(Engine):
    """Sets the scene from the premise in its first turn, and carries it from what happened in later ones.

    Each turn is an event `narration` that everyone hears.
    """

    Config: ClassVar[type] = NarratorConfig
    config: NarratorConfig
    emits: ClassVar[dict[str, dict[str, Any]]] = {
        "narration": {
            "type": "object",
            "properties": {"text": {"type": "string", "minLength": 1}},
            "required": ["text"],
            "additionalProperties": False,
        }
    }

    def __init__(self, config: NarratorConfig) -> None:
        super().__init__(config)
        self._opening = Opening()

    async def run(self, turn: Turn) -> None:
        config = self.config
        more = {"perspective": config.perspective}
        recalled = await turn.recall()
        values = {**standing(turn, config), **changing(turn, recalled), **more}
        messages = [
            self._opening.message(turn, config, **more),
            *recalled,
            Message.user(config.prompt.render(**values)),
        ]
        turn.emit("narration", {"text": await words_of(turn, messages)})
