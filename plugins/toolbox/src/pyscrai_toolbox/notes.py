"""The toolset `notes`: an agent's private notes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import NoConfig, ScenarioNames, Tool, ToolFailed, Toolset, Turn, tool

from .world import plain

MAX_TITLE = 60


@frozen
class NotesConfig:
    """The options of `notes`: the maximum number of notes, and of `characters` of each note."""

    limit: int = field(default=20, validator=validators.ge(1))
    characters: int = field(default=300, validator=validators.ge(1))


class Notes(Toolset):
    """An agent's private notes by title, in its private state under `notes`.

    Each note is a separate change (`self.notes.TITLE`), which does not depend on others, or on existing
    state.
    """

    Config: ClassVar[type] = NotesConfig
    config: NotesConfig
    external = False

    def __init__(self, config: NotesConfig) -> None:
        super().__init__(config)
        self._turn = -1
        self._written: dict[asyncio.Task[Any] | None, dict[str, str | None]] = {}

    @classmethod
    def check_names(cls, config: NotesConfig, names: ScenarioNames) -> None:
        names.change("set", "self.notes", {})

    async def list(self) -> list[Tool]:
        pure = tool(external=False)
        return [pure(self.write_note)(NoConfig()), pure(self.read_notes)(NoConfig())]

    def write_note(
        self,
        turn: Turn,
        title: Annotated[str, "what it is about; a note with the same title is replaced"],
        text: Annotated[str, "what to remember; an empty text deletes the note"],
    ) -> str:
        """Write a private note. You can read it in this turn and in all later turns."""
        limit, characters = self.config.limit, self.config.characters
        title, text = " ".join(title.split()), text.strip()
        if not title or len(title) > MAX_TITLE or "." in title:
            raise ToolFailed(f"notes: a title has 1 to {MAX_TITLE} characters and no dot; got {title[:80]!r}")
        if len(text) > characters:
            raise ToolFailed(f"notes: {len(text)} characters are too many; a note has at most {characters}")
        notes = self.read_notes(turn)
        if not text and title not in notes:
            raise ToolFailed(f"notes: there is no note {title!r} to delete")
        if text and title not in notes and len(notes) >= limit:
            what = f"the limit of {limit} notes is reached"
            raise ToolFailed(f"notes: {what}; replace a note, or delete one with an empty text")
        turn.change(f"self.notes.{title}", text or None)
        self._new_notes(turn)[title] = text or None
        return "noted" if text else "deleted"

    def read_notes(self, turn: Turn) -> dict[str, Any]:
        """Read all of your notes by title."""
        kept = turn.own.get("notes", {})
        if not isinstance(kept, Mapping):
            raise ToolFailed("notes: `notes` in this agent's state is not a mapping; rename it")
        notes = {**plain(kept), **self._new_notes(turn)}
        return {title: text for title, text in notes.items() if text is not None}

    def _new_notes(self, turn: Turn) -> dict[str, str | None]:
        """What was written in this turn and is not in the state yet, by task.

        Concurrent branches must not see each other's notes, because their order may differ when the run is
        executed again.
        """
        if turn.number != self._turn:
            self._turn, self._written = turn.number, {}
        return self._written.setdefault(asyncio.current_task(), {})
