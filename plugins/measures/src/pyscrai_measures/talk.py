"""What was said in a run: who said it, when, and who heard it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from pyscrai_core import EVERYONE, ConfigError, StoredRun
from pyscrai_records.base.suggest import there_is_no

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case: letters and digits, with apostrophes and hyphens inside."""
    return [word.replace("’", "'") for word in WORD.findall(text.lower())]


@frozen
class Utterance:
    """What one agent said at once. `heard_by` are the other participants who heard it."""

    agent: str
    step: int
    text: str
    words: tuple[str, ...]
    heard_by: tuple[str, ...]


@frozen(eq=False)  # what is computed of it is kept by its identity
class Talk:
    """The utterances of a run in their order, and its participants in the scenario's order."""

    run: str
    participants: tuple[str, ...]
    utterances: tuple[Utterance, ...]

    def of(self, agent: str) -> list[Utterance]:
        return [one for one in self.utterances if one.agent == agent]


def talk_of(run: StoredRun, *, kinds: Sequence[str] = ("say",), agents: Sequence[str] = ()) -> Talk:
    """What was said in a run.

    kinds
        of the events that have words, as the text `text` of their payload
    agents
        the participants (default: the agents that are scheduled, and those that said something)

    Raises `ConfigError` for an agent that the scenario does not have.
    """
    scenario = run.manifest["scenario"]
    known = scenario["agents"]
    for name in agents:
        if name not in known:
            raise ConfigError(f"run {run.id}: {there_is_no('agent', name, known)}")
    said = [
        event
        for event in run.events()
        if event.kind in kinds
        and event.source in (agents or known)
        and isinstance(event.payload.get("text"), str)
    ]
    speakers = {event.source for event in said}
    participants = tuple(agents) or tuple(
        name for name, given in known.items() if name in speakers or _is_scheduled(given)
    )
    groups = {name: tuple(given["members"]) for name, given in scenario.get("groups", {}).items()}
    utterances = []
    for event in said:
        heard = {member for name in event.audience for member in groups.get(name, (name,))}
        utterances.append(
            Utterance(
                event.source, event.step, event.payload["text"], tuple(words_of(event.payload["text"])),
                tuple(
                    name for name in participants
                    if name != event.source and (EVERYONE in event.audience or name in heard)
                ),
            )
        )  # fmt: skip
    return Talk(run.id, participants, tuple(utterances))


def _is_scheduled(agent: dict[str, Any]) -> bool:
    """Whether an agent takes part by itself: narrators and analysts mostly act at fixed times."""
    acts = agent.get("acts", "scheduled")
    chosen = acts if isinstance(acts, list) else [acts]
    return any(one == "scheduled" or (isinstance(one, dict) and "on" in one) for one in chosen)
