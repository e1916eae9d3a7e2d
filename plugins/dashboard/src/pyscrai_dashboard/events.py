"""The events of a run, as the page reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson

from pyscrai_records.store.store import Store

from .reading import find
from .replies import Refused
from .summaries import like

#: Texts that are longer, in characters, are cut in lists; the event by itself has them whole.
LONGEST_TEXT = 20_000
#: Events in one answer, and bytes of payloads after which it ends.
PAGE, PAGE_BYTES = 500, 4_000_000
#: Rows of the index in one answer.
INDEX = 50_000
FOUND = 10_000

COLUMNS = '"seq","step","kind","source","audience","payload","cause"'
SELECT = f'SELECT {COLUMNS} FROM "events" WHERE "run"=?'

#: The turns, as agent and step, in which an answer was cut off at `max_tokens`.
Cut = Collection[tuple[str, int]]


def encoded(row: Sequence[Any], cut: Cut = (), whole: bool = False) -> dict[str, Any]:
    """An event ready for JSON. Its payload is passed on as it was written, unless it is too long.

    Then `cut` tells the bytes of the whole payload.
    """
    seq, step, kind, source, audience, payload, cause = row
    event = {
        "seq": seq, "step": step, "kind": kind, "source": source, "audience": orjson.Fragment(audience),
        "payload": orjson.Fragment(payload), "cause": cause, "truncated": (source, step) in cut,
    }  # fmt: skip
    if len(payload) > LONGEST_TEXT and not whole:
        event["payload"] = shortened(orjson.loads(payload))
        event["cut"] = len(payload.encode())
    return event


def shortened(value: Any, room: int = LONGEST_TEXT) -> Any:
    """A JSON value of which long texts and lists are cut."""
    if isinstance(value, str):
        return value if len(value) <= room else value[:room] + "…"
    if isinstance(value, (list, dict)):
        # What is large because it has many parts is given as the beginning of its text.
        text = orjson.dumps(value).decode()
        if len(text) <= room:
            return value
        if isinstance(value, dict) and len(value) <= 20:
            return {key[:200]: shortened(part, room // len(value)) for key, part in value.items()}
        return text[:room] + "…"
    return value


def page(store: Store, run: str, first: int, last: int, cut: Cut) -> list[dict[str, Any]]:
    """The events from number `first` to `last`, as many of them as one answer holds."""
    query = f'{SELECT} AND "seq">=? AND "seq"<=? ORDER BY "seq" LIMIT ?'
    return _some(store.connection.execute(query, (run, first, last, PAGE)), cut)


def chosen(store: Store, run: str, numbers: Sequence[int], cut: Cut) -> list[dict[str, Any]]:
    """The events with these numbers, in their order."""
    marks = ",".join("?" * len(numbers))
    query = f'{SELECT} AND "seq" IN ({marks}) ORDER BY "seq"'
    return _some(store.connection.execute(query, (run, *numbers)), cut)


def _some(rows: Iterable[Sequence[Any]], cut: Cut) -> list[dict[str, Any]]:
    found, size = [], 0
    for row in rows:
        found.append(encoded(row, cut))
        size += min(len(row[5]), LONGEST_TEXT)
        if size > PAGE_BYTES:
            break
    return found


def one(store: Store, run: str, seq: int, cut: Cut) -> dict[str, Any]:
    """One event, whole. Raises `Refused`."""
    row = store.connection.execute(f'{SELECT} AND "seq"=?', (run, seq)).fetchone()
    if row is None:
        raise Refused(f"event {seq}: run {run} has no such event; events are numbered from 1", 404)
    return encoded(row, cut, whole=True)


def index(store: Store, run: str, after: int, limit: int) -> dict[str, Any]:
    """Number, step, kind and source of each event: all that a list needs to be scrolled and filtered."""
    query = (
        'SELECT "seq","step","kind","source" FROM "events" WHERE "run"=? AND "seq">? ORDER BY "seq" LIMIT ?'
    )
    kinds: dict[str, int] = {}
    sources: dict[str, int] = {}
    rows = [
        (seq, step, kinds.setdefault(kind, len(kinds)), sources.setdefault(source, len(sources)))
        for seq, step, kind, source in store.connection.execute(query, (run, after, limit))
    ]
    following = rows[-1][0] if len(rows) == limit else None
    return {"kinds": list(kinds), "sources": list(sources), "rows": rows, "next": following}


def search(store: Store, run: str, text: str) -> dict[str, Any]:
    """The numbers of the events that have a text in their payload, kind or source. Raises `Refused`."""
    find(store, run)
    # As it stands in JSON: a quotation mark has a backslash in front there.
    written = orjson.dumps(text).decode()[1:-1]
    columns = (("payload", written), ("kind", text), ("source", text))
    if text.isascii():
        conditions = " OR ".join(f"\"{name}\" LIKE ? ESCAPE '\\'" for name, _ in columns)
        values = [like(part) for _, part in columns]
    else:  # SQLite knows capital letters of ASCII alone
        store.connection.create_function("folded", 1, str.casefold, deterministic=True)
        conditions = " OR ".join(f'instr(folded("{name}"), ?)' for name, _ in columns)
        values = [part.casefold() for _, part in columns]
    query = f'SELECT "seq" FROM "events" WHERE "run"=? AND ({conditions}) ORDER BY "seq" LIMIT ?'
    found = [seq for (seq,) in store.connection.execute(query, (run, *values, FOUND + 1))]
    return {"seqs": found[:FOUND], "more": len(found) > FOUND}


def last_seq(store: Store, run: str) -> int:
    query = 'SELECT COALESCE(MAX("seq"), 0) FROM "events" WHERE "run"=?'
    return int(store.connection.execute(query, (run,)).fetchone()[0])
