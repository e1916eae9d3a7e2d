"""Maintenance of a store: remove runs, and the messages that no run needs any more."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from attrs import frozen
from peewee import Model

from ..errors import StoreError
from .models import ACTIVE, TABLES, MessageRow, RunRow
from .opening import translate_errors
from .store import Store

#: A query of the digests that `referenced_messages` has found.
REFERENCED = 'SELECT "digest" FROM temp."referenced"'


def table_name(table: type[Model]) -> str:
    """A table's name in the database."""
    return str(table._meta.table_name)


def remove_runs(store: Store, runs: Sequence[str]) -> None:
    """Remove runs, by their ids, with all their rows. Their messages stay until `collect_garbage`.

    Raises `StoreError`, and removes nothing, if one of them is being executed.
    """
    runs = list(dict.fromkeys(runs))
    with ExitStack() as stack:
        for run in runs:
            store.own(run)
            stack.callback(store.release, run)
        with store.transaction():
            for table in TABLES:
                if table is not MessageRow:
                    column = "id" if table is RunRow else "run"
                    delete = f'DELETE FROM "{table_name(table)}" WHERE "{column}" = ?'
                    store.connection.executemany(delete, [(run,) for run in runs])


def list_executing(store: Store) -> list[str]:
    """The ids of the runs that some process executes now."""
    query = f'SELECT "id" FROM "runs" WHERE "status" IN {ACTIVE}'
    return [run for (run,) in store.connection.execute(query) if store.locks.held(run)]


def check_not_executing(store: Store, runs: Sequence[str] | None = None) -> None:
    """Raise `StoreError` if one of these runs (None: of all) is being executed."""
    for run in list_executing(store):
        if runs is None or run in runs:
            who = store.run(run).owner or "a process"
            raise StoreError(f"run {run}: it is executed by {who}; wait for it, or stop it, and try again")


@frozen
class Collected:
    """What `collect_garbage` removed: the number of messages, and the bytes of their bodies."""

    messages: int
    bytes: int


def collect_garbage(store: Store) -> Collected:
    """Remove the messages that no call refers to, and shrink the file.

    Raises `StoreError`, and removes nothing, while a run of the store is being executed: it may be about to
    refer to a message that it stored before.
    """
    connection = store.connection
    unused = f'FROM "messages" WHERE "digest" NOT IN ({REFERENCED})'
    with store.transaction():
        # A run that starts now waits for the transaction, and then stores all its messages again.
        check_not_executing(store)
        with referenced_messages(connection):
            count = f'SELECT count(*), coalesce(sum(length("body")), 0) {unused}'
            collected = Collected(*connection.execute(count).fetchone())
            connection.execute(f"DELETE {unused}")
    store.known_messages.clear()
    try:
        with translate_errors(store.path):
            connection.execute("PRAGMA busy_timeout=30000")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute("PRAGMA busy_timeout=0")
    return collected


@contextmanager
def referenced_messages(connection: sqlite3.Connection, runs: Iterable[str] | None = None) -> Iterator[None]:
    """Inside, the query `REFERENCED` gives the digests that the calls of `runs` (None: of all) refer to.

    They are in a temporary table, so that they need no memory of this process. Raises `StoreError` if a
    call's list of messages is not JSON.
    """
    chosen = [("1", ())] if runs is None else [('"run" = ?', (run,)) for run in runs]
    connection.execute('CREATE TEMP TABLE "referenced" ("digest" TEXT PRIMARY KEY) WITHOUT ROWID')
    try:
        for where, values in chosen:
            for query in (
                f'SELECT one."value" FROM "calls", json_each("calls"."messages") AS one WHERE {where}',
                f'SELECT "frame" FROM "calls" WHERE {where}',
                f"""SELECT "request" FROM "calls" WHERE "kind" NOT IN ('complete', 'now') AND {where}""",
            ):
                connection.execute(f'INSERT OR IGNORE INTO temp."referenced" {query}', values)
        yield
    except sqlite3.OperationalError as error:
        if "JSON" not in str(error):
            raise
        raise StoreError(
            "store: a call's list of messages is not JSON, so that it is not known which are needed; find "
            "the damage with: pyscrai runs verify"
        ) from None
    finally:
        connection.execute('DROP TABLE temp."referenced"')
