"""Whether what a run wrote is in its store: read from the files, not from what SQLite remembers of them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path

import orjson

from ..canonical import LOG_HEAD
from ..errors import StoreError
from .checksums import MORE, PAID, STABLE, checksum, checksum_of_parts, damaged, is_body, is_damaged
from .opening import as_store_error

EVENTS = """SELECT "audience","cause","kind","payload","seq","source","step" FROM "events" WHERE "run"=?
    ORDER BY "seq\""""
CALL = (*STABLE, *PAID, *MORE, "reused", "checksum", "status", "frame", "messages")
_PAID, _MORE, _REQUEST = len(STABLE), len(STABLE + PAID), STABLE.index("request")
_KNOWN = CALL.index("checksum")
CALLS = f"""SELECT {",".join(f'"{name}"' for name in CALL)} FROM "calls" WHERE "run"=? ORDER BY "number\""""
#: By the index of positions, which may be damaged alone.
PLACES = """SELECT count(*) FROM (SELECT "agent","step","path" FROM "calls" WHERE "run"=?
    ORDER BY "agent","step","path")"""
MANIFEST = 'SELECT "body","checksum" FROM "manifests" WHERE "run"=?'
RUN = 'SELECT 1 FROM "runs" WHERE "id"=?'
MESSAGES = 'SELECT "digest","body" FROM "messages" WHERE "digest" IN'
#: How many messages are looked at by one statement.
MANY = 500


def check_written(
    connection: sqlite3.Connection, path: Path, run: str, fingerprint: str, last: int, calls: int
) -> None:
    """Check all rows of a run that has the fingerprint, `last` as its last call's number, and made `calls`.

    Takes time in proportion to the run. Raises `StoreError` if one is not as it was written.
    """
    try:
        connection.execute("PRAGMA shrink_memory")  # SQLite forgets all pages, and reads them anew
        connection.execute("BEGIN")
        try:
            sound = (
                connection.execute(RUN, (run,)).fetchone() is not None
                and _events(connection, run) == fingerprint
                and _calls(connection, run, last, calls)
                and any(known in ("", checksum(body)) for body, known in connection.execute(MANIFEST, (run,)))
            )
        finally:
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        raise as_store_error(path, error) from None
    except (TypeError, ValueError, UnicodeError, AttributeError):  # what a column has is of another type
        sound = False
    if not sound:
        raise StoreError(f"store {path}: {damaged(f'run {run}')}")


@lru_cache(maxsize=1024)
def _text(value: str) -> str:
    return orjson.dumps(value).decode()


def _events(connection: sqlite3.Connection, run: str) -> str:
    """The fingerprint of the events that are there. Their JSON is stored in its canonical form."""
    log = hashlib.sha256(LOG_HEAD)
    for audience, cause, kind, payload, seq, source, step in connection.execute(EVENTS, (run,)):
        line = (
            f'{{"audience":{audience},"cause":{"null" if cause is None else cause},"kind":{_text(kind)},'
            f'"payload":{payload},"seq":{seq},"source":{_text(source)},"step":{step}}}\n'
        )
        log.update(line.encode())
    return log.hexdigest()


def _calls(connection: sqlite3.Connection, run: str, last: int, made: int) -> bool:
    """Whether the calls, and what they asked, are as they were written.

    What was given up before anybody was asked is also a row, so there may be more than were `made`.
    """
    count = number = 0
    #: Whether each message has to be there: what a call other than a completion asks may have been cleaned.
    asked: dict[str, bool] = {}
    for values in connection.execute(CALLS, (run,)):
        stable, paid, rest = values[:_PAID], values[_PAID:_MORE], values[_MORE:_KNOWN]
        known, _, frame, messages = values[_KNOWN:]
        fits = known == checksum_of_parts(stable, paid, rest)
        if not fits and is_damaged(dict(zip(CALL, values, strict=True))):
            return False
        count, number = count + 1, values[0]
        if frame:
            asked |= dict.fromkeys((*orjson.loads(messages), frame), True)
        else:
            asked.setdefault(values[_REQUEST], False)
    ((places,),) = connection.execute(PLACES, (run,))
    return number == last and places == count >= made and _messages(connection, asked)


def _messages(connection: sqlite3.Connection, asked: Mapping[str, bool]) -> bool:
    """Whether messages are as they were written, and those that have to be there, are."""
    missing = {key for key, needed in asked.items() if needed}
    keys = iter(asked)
    while some := (*islice(keys, MANY),):
        marks = ",".join("?" * len(some))
        for key, body in connection.execute(f"{MESSAGES} ({marks})", some):
            missing.discard(key)
            if not is_body(key, body):
                return False
    return not missing
