"""The memory `shared`, and the tool `note` that adds to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import (
    EVERYONE,
    ContractError,
    Event,
    Memory,
    Message,
    ScenarioNames,
    Tool,
    Turn,
    estimate_tokens,
)

from .full import FullConfig, FullMemory

#: The maximum length of a note that an agent writes with the tool, in characters.
NOTE_CHARACTERS = 400
MORE = "\n(Earlier or longer notes are not shown.)"


@frozen
class SharedConfig:
    """The options of `shared`.

    group: the name of the group whose notes are shown
    inner: the agent's own memory; None: everything (`full`)
    note: kinds of events that are added to the notes when the agent causes them
    tokens: the maximum for the notes, as estimated by the kernel; the newest notes are shown
    """

    group: str
    inner: Memory | None = None
    note: tuple[str, ...] = ()
    tokens: int = field(default=500, validator=validators.ge(50))


class SharedMemory(Memory):
    """The agent's own memory, followed by a message with its group's notes."""

    Config: ClassVar[type] = SharedConfig
    config: SharedConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        # Not the option's default, because agents with the same options share a `Config`.
        self._inner: Memory = config.inner or FullMemory(FullConfig())
        #: The notes to add, and their group, which may change after a fork.
        self._pending: tuple[str, list[str]] = ("", [])
        self._shown: tuple[SharedConfig | None, list[str]] = (None, [])
        self._message: list[Message] = []

    @classmethod
    def check_names(cls, config: SharedConfig, names: ScenarioNames) -> None:
        check_group(names, config.group)
        for index, kind in enumerate(config.note):
            names.kind(kind, "note", index)

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        config = self.config
        mine = [
            event.describe()
            for event in events
            # Only what every member observed, so that secrets stay secret.
            if event.kind in config.note
            and event.source == turn.agent.name
            and (EVERYONE in event.audience or config.group in event.audience)
        ]
        # A note stays pending until it is in the state, because a turn that fails changes nothing.
        present = notes_of(turn, config.group)
        group, before = self._pending
        known = dict.fromkeys((*(before if group == config.group else ()), *mine))
        pending = [note for note in known if note not in present]
        self._pending = config.group, pending
        for note in pending:
            turn.change(f"groups.{config.group}.notes", note, op="add")
        await self._inner.observe(events, turn)

    async def recall(self, turn: Turn) -> list[Message]:
        shown = self.config, notes_of(turn, self.config.group)
        if shown != self._shown:
            self._shown, self._message = shown, [self._render(shown[1])] if shown[1] else []
        return [*await self._inner.recall(turn), *self._message]

    def _render(self, notes: list[str]) -> Message:
        head = f"Shared notes of {self.config.group}:"
        left = self.config.tokens - estimate_tokens(Message.user(head + MORE))
        shown: list[str] = []
        for note in reversed(notes):
            line = "\n- " + note.replace("\n", "\n  ")
            left -= estimate_tokens(line)
            if left < 0:
                shown.append(MORE)
                break
            shown.append(line)
        return Message.user(head + "".join(reversed(shown)))


@frozen
class NoteConfig:
    """The option of the tool `note`: the `group` whose notes it adds to."""

    group: str


class Note(Tool):
    """Adds a note for all members of a group. The agent must be a member."""

    Config: ClassVar[type] = NoteConfig
    external = False

    config: NoteConfig
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"text": {"type": "string", "minLength": 1, "maxLength": NOTE_CHARACTERS}},
        "required": ["text"],
        "additionalProperties": False,
    }

    @classmethod
    def check_names(cls, config: NoteConfig, names: ScenarioNames) -> None:
        check_group(names, config.group)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "note_for_" + re.sub(r"\W", "_", self.config.group, flags=re.ASCII)[:50]

    @property
    def description(self) -> str:  # type: ignore[override]
        return f"Write a short note. All members of {self.config.group} can read it from the next turn on."

    async def call(self, arguments: dict[str, Any], turn: Turn) -> str:
        group = self.config.group
        notes_of(turn, group)
        turn.change(f"groups.{group}.notes", f"{turn.agent.name}: {arguments['text']}", op="add")
        return "noted"


def check_group(names: ScenarioNames, group: str) -> None:
    """Note a group that does not exist, has no notes, or does not have the agent as a member."""
    names.name("group", group, "group")
    if group not in names.scenario.groups or names.agent is None:
        return
    if group not in names.agent.groups:
        mine = ", ".join(names.agent.groups) or "none"
        names.mistake(
            f"{names.agent.name} is not in the group {group!r}, but in {mine}; make it a member", "group"
        )
    elif not isinstance(names.initial["groups"][group].get("notes"), Sequence):
        what = f"groups.{group}.state has no list 'notes'"
        names.mistake(f"{what}; declare it: state: {{notes: []}}", "group")


def notes_of(turn: Turn, group: str) -> list[str]:
    """The current notes. Raises `ContractError` if the agent is not a member, or the group has no notes."""
    groups = turn.groups
    where = f"agents.{turn.agent.name}"
    if group not in groups:
        mine = ", ".join(groups) or "none"
        raise ContractError(f"{where}: it is not in the group {group!r}, but in {mine}; make it a member")
    notes = groups[group].get("notes")
    if not isinstance(notes, tuple):
        raise ContractError(f"{where}: groups.{group}.state has no list; declare it: state: {{notes: []}}")
    return [note if isinstance(note, str) else str(note) for note in notes]
