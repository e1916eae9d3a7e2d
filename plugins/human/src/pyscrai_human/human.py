"""The engine `human`: an agent that a person plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from attrs import field, frozen, validators

from pyscrai_core import Agent, Engine, NoAnswer, Prompt, Turn, describe_schema

from .arguments import InvalidAnswer, parse_arguments, show, usage

#: The maximum number of answers in a turn, including calls for help. After the last one, the turn passes.
MAX_ANSWERS = 10
#: The variables of the template, with what stands for their values.
TEMPLATE_NAMES: dict[str, Any] = {
    **dict.fromkeys(("name", "persona", "premise"), ""),
    **{key: [""] for key in ("goals", "known", "news")},
    **dict.fromkeys(("whole", "speak", "must_act"), True),
    **{key: {} for key in ("state", "own", "groups")},
    "step": 0,
    "actions": [
        {
            "name": "",
            "usage": "",
            "description": "",
            "arguments": [{"name": "", "form": "", "description": "", "parts": [""]}],
        }
    ],
    "timeout": None,
    "show": None,
}
QUESTION = Prompt.packaged("pyscrai_human", "prompts/question.j2", TEMPLATE_NAMES)


@frozen
class HumanConfig:
    """The options of `human`.

    timeout
        How many seconds the person has for each answer. None: no limit.
    on_timeout
        What happens after that time: the turn passes (`pass`), or it fails (`stop`), so that a resumed run
        asks again.
    speak
        Whether the person may speak. If not, they only act.
    must_act
        Whether the person must take an action if one is open.
    question
        The template of the question.
    """

    timeout: float | None = field(default=None, validator=validators.optional(validators.gt(0)))
    on_timeout: Literal["pass", "stop"] = "pass"
    speak: bool = True
    must_act: bool = False
    question: Prompt = QUESTION


class Human(Engine):
    """Asks a person what the agent says or does.

    A turn without a valid answer adds an event `passed` with the reason, which only the researcher sees.
    """

    Config: ClassVar[type] = HumanConfig
    config: HumanConfig
    emits: ClassVar[dict[str, dict[str, Any]]] = {
        "passed": {
            "type": "object",
            "properties": {"reason": {"type": "string"}},
            "required": ["reason"],
            "additionalProperties": False,
        }
    }

    async def run(self, turn: Turn) -> None:
        question = self._question(turn, whole=turn.number == 0)
        reason = f"none of {MAX_ANSWERS} answers were valid"
        for _ in range(MAX_ANSWERS):
            try:
                answer = (await turn.ask(question, self.config.timeout)).strip()
            except NoAnswer:
                if self.config.on_timeout == "stop":
                    raise
                reason = f"no answer within {self.config.timeout:g} s"
                break
            if answer == "/help" and "help" not in turn.agent.actions:
                question = self._question(turn, whole=True)
                continue
            try:
                if self._act(turn, answer):
                    return
            except InvalidAnswer as why:
                question = f"{why}\n(/help: how to answer)"
                continue
            reason = "by choice"
            break
        turn.emit("passed", {"reason": reason}, audience=())

    def _act(self, turn: Turn, answer: str) -> bool:
        """Say or do what `answer` says. Returns False if the turn passes. Raises `InvalidAnswer`."""
        actions, possible = turn.agent.actions, turn.actions
        must_act = self.config.must_act and bool(possible)
        ways = [f"/{name}" for name in possible]
        if self.config.speak and not must_act:
            ways.insert(0, "say something")
        choice = f"You can: {', '.join(ways if must_act else [*ways, '/pass'])}"
        slash = answer.startswith("/") and not answer.startswith("//")
        command, *rest = (answer[1:].split(None, 1) or [""]) if slash else [""]
        given = rest[0] if rest else ""
        if command in actions:
            if command not in possible:
                raise InvalidAnswer(f"/{command} is not possible now. {choice}.")
            schema = actions[command].schema
            try:
                turn.emit(command, parse_arguments(given, schema))
            except InvalidAnswer as why:
                raise InvalidAnswer(f"/{command}: {why}. Write it as {usage(command, schema)}") from None
            return True
        if answer in ("", "/pass"):
            if must_act:
                raise InvalidAnswer(f"You must take an action now. {choice}.")
            return False
        if slash and command != "to":
            hint = "(To begin a text with a slash, write two slashes.)"
            raise InvalidAnswer(f"There is no /{command}. {choice}. {hint}")
        if must_act or not self.config.speak:
            raise InvalidAnswer(f"You cannot speak now. {choice}.")
        if not slash:
            turn.say(answer.removeprefix("/"))  # two slashes mean one
            return True
        names, _, words = given.partition(":")
        to, known = [name.strip() for name in names.split(",")], _known(turn)
        if not words.strip():
            raise InvalidAnswer("Write it as /to NAME: text. Separate several names by commas.")
        if unknown := [name for name in to if name not in known]:
            names_known = ", ".join(known) or "nobody"
            raise InvalidAnswer(f"There is no {unknown[0]!r}. You can talk to: {names_known}.")
        turn.say(words.strip(), to)
        return True

    def _question(self, turn: Turn, whole: bool) -> str:
        """The question to the person. With `whole`, it includes their role and how to answer."""
        agent, config, possible = turn.agent, self.config, turn.actions
        must_act = config.must_act and bool(possible)
        return config.question.render(
            name=agent.name,
            persona=agent.persona,
            goals=list(agent.goals),
            premise=turn.premise,
            known=_known(turn),
            whole=whole,
            step=turn.step,
            # The current state is shown, so its changes are omitted.
            news=[event.describe() for event in turn.observed if event.kind not in ("change", "turn.failed")],
            state=plain(turn.state),
            own=plain(turn.own),
            groups=plain(turn.groups),
            actions=[_describe_action(agent, name) for name in possible],
            speak=config.speak and not must_act,
            must_act=must_act,
            timeout=None if config.timeout is None else f"{config.timeout:g}",
            show=show,
        )


def _known(turn: Turn) -> list[str]:
    """The agents and groups that can be addressed with `/to`."""
    return [*turn.others, *turn.agent.groups]


def _describe_action(agent: Agent, name: str) -> dict[str, Any]:
    """An action for the template. `parts` of an argument are lines that say what is in it means."""
    action = agent.actions[name]
    arguments = []
    for key, schema in action.schema.get("properties", {}).items():
        form, meanings = describe_schema(schema, key, action.schema)
        description = next((text for place, text in meanings if place == key), "")
        parts = [f"{place}: {text}" for place, text in meanings if (place, text) != (key, description)]
        arguments.append({"name": key, "form": form, "description": description, "parts": parts})
    return {
        "name": name,
        "usage": usage(name, action.schema),
        "description": action.description,
        "arguments": arguments,
    }


def plain(value: Any) -> Any:
    """The plain data of a read-only view."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple) else value
