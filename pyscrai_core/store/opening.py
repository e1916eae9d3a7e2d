"""Where a store is: its address, its file, its tables brought up to date; and what SQLite's errors mean."""

from __future__ import annotations

import importlib.resources
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import DatabaseError, SqliteDatabase

from ..errors import StoreError
from .locks import Locks

#: The table of the migrations that were applied.
HISTORY = "schema_migration"
#: How far a commit goes: `normal` survives the end of the process, `full` also that of the machine's power.
SYNCHRONOUS = ("normal", "full")


def path_of(url: str) -> Path:
    """The file of a store's URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, or a plain path."""
    return parse_url(url)[0]


def parse_url(url: str) -> tuple[Path, str]:
    """The file of a store's URL, and how far commits go: `sqlite:///runs.db?synchronous=full`."""
    synchronous = SYNCHRONOUS[0]
    if url.startswith("sqlite:///"):
        url, _, query = url[len("sqlite:///") :].partition("?")
        if query:
            key, _, synchronous = query.partition("=")
            if key != "synchronous" or synchronous not in SYNCHRONOUS:
                raise StoreError(
                    f"store: the option {query!r} is not known; expected synchronous=normal or "
                    "synchronous=full (which also survives a loss of power)"
                )
    elif "?" in url:
        raise StoreError(f"store {url!r}: options are part of a URL; expected sqlite:///{url}")
    elif "://" in url:
        scheme = url.split("://", 1)[0]
        raise StoreError(
            f"store {url!r}: the scheme {scheme!r} is not supported; expected a path or sqlite:///PATH "
            "(three slashes)"
        )
    if not url:
        raise StoreError("store: the path is empty; expected a path or sqlite:///PATH")
    return Path(url).expanduser(), synchronous


def connection_of(database: SqliteDatabase) -> sqlite3.Connection:
    """The connection below peewee."""
    connection: sqlite3.Connection = database.connection()  # type: ignore[no-untyped-call]
    return connection


def check_file(path: Path, create: bool) -> bool:
    """Whether the store can be written; raises `StoreError` if it cannot be used at all."""
    if path.is_dir():
        raise StoreError(f"store {path}: it is a folder; expected a file")
    if not path.exists():
        if not create:
            raise StoreError(
                f"store {path}: it does not exist; run a scenario first, or name another with --store"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"store {path}: its folder cannot be made ({error.strerror}); "
                "choose another place with --store"
            ) from None
        if not os.access(path.parent, os.W_OK):
            raise StoreError(f"store {path}: its folder is read-only; choose another place with --store")
        return True
    # Never opened here: closing a file drops the locks that SQLite holds on it for all of this process, and
    # others would then remove the log of a run that goes on.
    if not os.access(path, os.R_OK):
        raise StoreError(f"store {path}: it cannot be read; change its permissions")
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return True
    log = path.with_name(path.name + "-wal")
    if create or (log.exists() and log.stat().st_size):
        what = "is read-only" if create else f"is read-only, and a part of it is still in {log.name}"
        raise StoreError(
            f"store {path}: it {what}; change its permissions, or copy it to where it can be written, with "
            "the files beside it"
        )
    return False


def migrate(path: Path, database: SqliteDatabase) -> None:
    """Bring the tables up to date. Raises `StoreError` for another program's database or a newer version."""
    folder = importlib.resources.files(__package__) / "migrations"
    names = {entry.name[:-3] for entry in folder.iterdir() if entry.name[:1].isdigit()}
    tables = set(database.get_tables())
    applied: set[str] = set()
    if HISTORY in tables:
        applied = {row[0] for row in connection_of(database).execute(f'SELECT "name" FROM "{HISTORY}"')}
    elif tables:
        raise StoreError(f"store {path}: it is a database of something else; name another with --store")
    if applied - names:
        raise StoreError(
            f"store {path}: it was made by a newer version ({', '.join(sorted(applied - names))}); "
            "upgrade with: pip install -U pyscrai-core"
        )
    if names - applied:
        # Imported only when there is something to do: it takes longer than opening the store.
        from playhouse.migrations import Runner

        with importlib.resources.as_file(folder) as directory, Locks(path).exclusive():
            Runner(database, str(directory), table_name=HISTORY).up()


def as_store_error(path: Path, error: BaseException) -> StoreError:
    """What went wrong with the database, and what to do about it."""
    while "cannot rollback" in str(error) and error.__context__ is not None:
        error = error.__context__  # SQLite had rolled back already; this is why
    words = str(error)
    remedy = "make room or choose another place with --store"
    if "locked" in words:
        remedy = "another program is writing to it: wait for it, or end it"
    elif "readonly" in words:
        remedy = "change its permissions, or choose another place with --store"
    elif "not a database" in words or "malformed" in words:
        words = f"it is damaged ({words})" if "malformed" in words else "it is not a database, or damaged"
        remedy = "restore it, or name another with --store"
    return StoreError(f"store {path}: {words}; {remedy}")


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise the database's errors as `StoreError`."""
    try:
        yield
    except (DatabaseError, sqlite3.Error) as error:
        raise as_store_error(path, error) from None
