"""The memory `shared`, and the tool `note`."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import Any

import pytest

from pyscrai_core import ContractError, Event, estimate_tokens
from pyscrai_memory.shared import Note, NoteConfig, SharedMemory
from pyscrai_memory.window import WindowConfig, WindowMemory

HEAD = "Shared notes of team:"


def with_notes(diary: Any, notes: Any, **options: Any) -> Any:
    made = diary(SharedMemory, group="team", **options)
    made.turn.groups = {"team": MappingProxyType({} if notes is None else {"notes": tuple(notes)})}
    return made


def texts(messages: Any) -> list[str]:
    return [message.text for message in messages]


def test_the_notes_come_last_as_one_message(diary: Any, say: Any) -> None:
    memory = with_notes(diary, ["Ann: The key\nis here.", "Mara: Good."])
    first = memory.observe(say(1, "Jon", "Hello."))
    assert texts(first) == ["Hello.", f"{HEAD}\n- Ann: The key\n  is here.\n- Mara: Good."]
    second = memory.observe(say(2, "Jon", "Bye."))
    assert second[0] is first[0]
    assert second[-1] is first[-1]


def test_without_notes_there_is_none(diary: Any, say: Any) -> None:
    assert texts(with_notes(diary, []).observe(say(1, "Jon", "Hello."))) == ["Hello."]


def test_what_the_agent_remembers_itself_is_an_option(diary: Any, say: Any) -> None:
    memory = with_notes(diary, ["A note."], inner=WindowMemory(WindowConfig(tokens=9, notice=False)))
    for seq in range(1, 9):
        recalled = memory.observe(say(seq, "Jon", f"number {seq}"))
    assert texts(recalled) == ["number 8", f"{HEAD}\n- A note."]


def test_members_share_no_memory_of_their_own(say: Any, diary: Any) -> None:
    config = SharedMemory.Config("team")
    one, two = (SharedMemory(config) for _ in range(2))
    turn = with_notes(diary, []).turn
    asyncio.run(one.observe([say(1, "Jon", "For one.")], turn))
    assert asyncio.run(two.recall(turn)) == []


def test_own_deeds_that_all_members_heard_are_noted_until_they_are_there(diary: Any, say: Any) -> None:
    memory = with_notes(diary, [], note=("say",))
    memory.observe(
        say(1, "Mara", "For all."),
        say(2, "Mara", "For us.", ("team", "Jon")),
        say(3, "Mara", "A secret.", ("Jon",)),
        say(4, "Jon", "Not mine."),
        Event(5, 1, "wave", "Mara", ("*",), {}),
    )
    noted = [
        ("groups.team.notes", text, "add") for text in ("Mara: For all.", "Mara (to team, Jon): For us.")
    ]
    assert memory.turn.changes == noted
    # The turn failed, so nothing of it is in the state; in the next it is done again.
    memory.turn.changes.clear()
    memory.observe(say(6, "Jon", "Go on."))
    assert memory.turn.changes == noted
    memory.turn.changes.clear()
    memory.turn.groups = {"team": {"notes": tuple(text for _, text, _ in noted)}}
    memory.observe(say(7, "Mara", "For all."))
    assert memory.turn.changes == []


def test_the_newest_notes_are_shown_as_far_as_there_is_room(diary: Any, say: Any) -> None:
    memory = with_notes(diary, [f"Ann: number {number}" for number in range(100)], tokens=60)
    (_, notes) = memory.observe(say(1, "Jon", "Hello."))
    lines = notes.text.split("\n")
    assert lines[:2] == [HEAD, "(Earlier or longer notes are not shown.)"]
    assert lines[-1] == "- Ann: number 99"
    assert 50 < estimate_tokens(notes) <= 60


@pytest.mark.parametrize(
    "groups, says",
    [
        ({}, "agents.Mara: it is not in the group 'team', but in none; make it a member"),
        ({"team": {}}, r"groups.team.state has no list; declare it: state: \{notes: \[\]\}"),
    ],
)
def test_a_group_that_is_not_made_for_it_is_an_error(diary: Any, say: Any, groups: Any, says: str) -> None:
    memory = diary(SharedMemory, group="team")
    memory.turn.groups = groups
    with pytest.raises(ContractError, match=says):
        memory.observe(say(1, "Jon", "Hello."))


def test_the_tool_writes_a_note(diary: Any) -> None:
    turn = with_notes(diary, []).turn
    note = Note(NoteConfig("team"))
    assert note.name == "note_for_team"
    assert asyncio.run(note.call({"text": "The key is here."}, turn)) == "noted"
    assert turn.changes == [("groups.team.notes", "Mara: The key is here.", "add")]
