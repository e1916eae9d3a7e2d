"""The engine `narrator`: describes the world and what happens in it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from attrs import field, frozen, validators

from pyscrai_core import Engine, Prompt, Turn

from .answers import ask_for_text
from .templates import (
    PROMPT_NAMES,
    SYSTEM_NAMES,
    SystemMessage,
    ask_with_examples,
)

OWN_NAMES = {"perspective": ""}
SYSTEM = Prompt.packaged("pyscrai_cast", "prompts/narrator-system.j2", SYSTEM_NAMES | OWN_NAMES)
PROMPT = Prompt.packaged("pyscrai_cast", "prompts/narrator.j2", SYSTEM_NAMES | PROMPT_NAMES | OWN_NAMES)


@frozen
class NarratorConfig:
    """The options of `narrator`.

    perspective
        `third` person from outside, `omniscient` (third person, knows thoughts), `second` (addresses the
        agents as "you"), `first` (as somebody who is there).
    words
        The maximum length of a narration, as told to the model.
    style
        A description of how the narrator writes.
    examples
        Texts that the narrator could write. Small models follow them.
    system, prompt
        The templates of the first and of the last message.
    """

    perspective: Literal["third", "omniscient", "second", "first"] = "third"
    words: int = field(default=80, validator=validators.ge(1))
    style: str = ""
    examples: tuple[str, ...] = ()
    system: Prompt = SYSTEM
    prompt: Prompt = PROMPT


class Narrator(Engine):
    """Sets the scene from the premise in its first turn, and describes what happened in later turns.

    Each turn adds an event `narration` that everyone sees.
    """

    Config: ClassVar[type] = NarratorConfig
    config: NarratorConfig
    narrates: ClassVar[bool] = True
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
        self._system = SystemMessage()

    async def run(self, turn: Turn) -> None:
        config = self.config
        more = {"perspective": config.perspective}
        recalled = await turn.recall()
        values = {**self._system.prompt_variables(turn, recalled, config), **more}
        messages = [
            self._system.render(turn, config, **more),
            *recalled,
            *ask_with_examples(config.prompt.render(**values), config.examples),
        ]
        turn.emit("narration", {"text": await ask_for_text(turn, messages)})
