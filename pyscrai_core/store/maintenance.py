"""Maintenance of a store: remove runs, and the messages that no run needs any more."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from attrs import frozen
from peewee import Model

from ..errors import StoreError
from .models import TABLES, MessageRow, RunRow
from .opening import as_store_error
from .store import Store


def remove_runs(store: Store, runs: Sequence[str]) -> None:
    """Remove runs, by their ids, with everything that is theirs alone. Messages stay until
    `collect_garbage`.

    Raises `StoreError`, and removes nothing, if one of them is being executed.
    """
    owned: list[str] = []
    try:
        for run in dict.fromkeys(runs):
            store.own(run)
            owned.append(run)
        with store.transaction():
            for table in TABLES:
                if table is not MessageRow:
                    column = "id" if table is RunRow else "run"
                    delete = f'DELETE FROM "{table_name(table)}" WHERE "{column}" = ?'
                    store.connection.executemany(delete, [(run,) for run in owned])
        for run in owned:
            store.locks.remove(run)
    finally:
        for run in owned:
            store.release(run)


def table_name(table: type[Model]) -> str:
    """A table's name in the database."""
    return str(table._meta.table_name)


def list_executing(store: Store) -> list[str]:
    """The ids of the runs that some process executes now."""
    active = """SELECT "id" FROM "runs" WHERE "status" IN ('running', 'paused')"""
    return [run for (run,) in store.connection.execute(active) if store.locks.held(run)]


def check_not_executing(store: Store, runs: Sequence[str] | None = None) -> None:
    """Raise `StoreError` if one of these runs (None: of all) is being executed."""
    for run in list_executing(store):
        if runs is None or run in runs:
            who = store.run(run).owner or "a process"
            raise StoreError(f"run {run}: it is executed by {who}; wait for it, or stop it, and try again")


@frozen
class Collected:
    """What `collect_garbage` removed: so many messages, of so many bytes together."""

    messages: int
    bytes: int


def collect_garbage(store: Store) -> Collected:
    """Remove the messages that no call refers to, and give the file's free space back.

    Raises `StoreError`, and removes nothing, while a run of the store is being executed: it may be about to
    refer to a message that it knows to be there.
    """
    connection = store.connection
    unused = f'FROM "messages" WHERE "digest" NOT IN ({REFERENCED})'
    with store.transaction():
        # Whoever begins from here on waits for the transaction, and then takes no message for granted.
        check_not_executing(store)
        with referenced_messages(connection):
            count = f'SELECT count(*), coalesce(sum(length("body")), 0) {unused}'
            found = Collected(*connection.execute(count).fetchone())
            connection.execute(f"DELETE {unused}")
    store.known_messages.clear()
    try:
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise as_store_error(store.path, error) from None
    finally:
        connection.execute("PRAGMA busy_timeout=0")
    return found


REFERENCED = 'SELECT "digest" FROM temp."referred"'


@contextmanager
def referenced_messages(connection: sqlite3.Connection, runs: Iterable[str] | None = None) -> Iterator[None]:
    """While it lasts, `REFERENCED` gives the digests that the calls of `runs` (None: of all) refer to.

    In a temporary table, so that it needs no memory of this process. Raises `StoreError` if a call's list of
    messages is not JSON.
    """
    chosen = [("1", ())] if runs is None else [('"run" = ?', (run,)) for run in runs]
    connection.execute('CREATE TEMP TABLE "referred" ("digest" TEXT PRIMARY KEY) WITHOUT ROWID')
    try:
        for which, values in chosen:
            for query in (
                f'SELECT one."value" FROM "calls", json_each("calls"."messages") AS one WHERE {which}',
                f'SELECT "frame" FROM "calls" WHERE {which}',
                f"""SELECT "request" FROM "calls" WHERE "kind" NOT IN ('complete', 'now') AND {which}""",
            ):
                connection.execute(f'INSERT OR IGNORE INTO temp."referred" {query}', values)
        yield
    except sqlite3.OperationalError as error:
        if "JSON" not in str(error):
            raise
        raise StoreError(
            "store: a call's list of messages is not JSON, so nobody knows which are needed; see what is "
            "damaged with: pyscrai runs verify"
        ) from None
    finally:
        connection.execute('DROP TABLE temp."referred"')
