"""Opening a store: its URL, its file, the migration of its tables, and messages for SQLite's errors."""

from __future__ import annotations

import importlib.resources
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.resources.abc import Traversable
from pathlib import Path

from peewee import DatabaseError, SchemaManager, SqliteDatabase

from ..base.first_use import first_use
from ..base.log import logger
from ..base.private import is_private, make_file, make_folder
from ..errors import StoreError
from .locks import Locks
from .models import HISTORY, TABLES, MigrationRow

#: What a commit survives: `normal` the end of the process, `full` a loss of power too.
SYNCHRONOUS = ("normal", "full")
#: The stores of which this process said that others can write them.
_TOLD: set[Path] = set()


def path_of(url: str) -> Path:
    """The file of a store's URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, or a plain path."""
    return parse_url(url)[0]


def parse_url(url: str) -> tuple[Path, str]:
    """The file of a store's URL, and its option `synchronous`: `sqlite:///runs.db?synchronous=full`."""
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
    """Whether the store can be written. Raises `StoreError` if it cannot be used at all."""
    if os.path.exists(path.parent) and not os.access(path.parent, os.X_OK):
        raise StoreError(f"store {path}: its folder is not yours to read; choose another place with --store")
    mode = _mode_of(path, os.stat)
    what = ""
    if mode is not None and not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
    elif mode is None and os.path.islink(path):
        what = "a link to a file that does not exist"  # that file would be made, wherever it is
    if what:
        raise StoreError(f"store {path}: it is {what}, where a file was expected; name another with --store")
    for end in ("-wal", "-shm", "-journal"):  # SQLite waits for a pipe, and obeys whatever is in these
        beside = path.with_name(path.name + end)
        if (found := _mode_of(beside, os.lstat)) is not None and not stat.S_ISREG(found):
            raise StoreError(
                f"store {path}: {beside.name} beside it is a link, a device or a pipe, which somebody put "
                "there; copy the store alone to another folder, and name it with --store"
            )
    if mode is None:
        if not create:
            raise StoreError(
                f"store {path}: it does not exist; run a scenario first, or name another with --store"
            )
        try:
            make_folder(path.parent)
        except OSError as error:
            raise StoreError(
                f"store {path}: its folder cannot be created ({error.strerror}); "
                "choose another place with --store"
            ) from None
        if not os.access(path.parent, os.W_OK):
            raise StoreError(f"store {path}: its folder is read-only; choose another place with --store")
        make_file(path)  # SQLite gives the files beside it the same permissions
        first_use(path)  # by whoever makes it
        return True
    _tell_who_writes(path)
    # The file is not opened here: closing a file releases all locks that this process has on it, also those
    # of SQLite. Other processes would then remove the write-ahead log of a run that is being executed.
    if not os.access(path, os.R_OK):
        raise StoreError(f"store {path}: it cannot be read; change its permissions")
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return True
    log = path.with_name(path.name + "-wal")
    if create or (log.exists() and log.stat().st_size):
        what = "is read-only" if create else f"is read-only, and some of its data is still in {log.name}"
        raise StoreError(
            f"store {path}: it {what}; change its permissions, or copy it to a folder that can be written, "
            "with the files beside it"
        )
    return False


def _mode_of(path: Path, look: Callable[[Path], os.stat_result]) -> int | None:
    """The mode of what is there (None: nothing), asked once: other processes make and remove files."""
    try:
        return look(path).st_mode
    except OSError:
        return None


def _tell_who_writes(path: Path) -> None:
    """Warn of a store that others can write. Nothing in it is believed; but it may say what they want."""
    if is_private(path) and (is_private(path.parent) or path.parent.stat().st_mode & stat.S_ISVTX):
        return
    resolved = path.resolve()
    if resolved not in _TOLD:
        _TOLD.add(resolved)
        logger.warning(
            "store {}: others can write it, and change what its runs say; let nobody else write it and its "
            "folder, or copy it to a folder of yours",
            path,
        )


def migrate(path: Path, database: SqliteDatabase, writable: bool) -> None:
    """Apply the migrations that are missing.

    Raises `StoreError` for the database of another program, a store of a newer version, and one of an older
    version that is not `writable`.
    """
    folder = importlib.resources.files(__package__) / "migrations"
    names = {entry.name[:-3] for entry in folder.iterdir() if entry.name[:1].isdigit()}
    tables = set(database.get_tables())
    applied: set[str] = set()
    if HISTORY in tables:
        applied = {str(row[0]) for row in connection_of(database).execute(f'SELECT "name" FROM "{HISTORY}"')}
    elif tables:
        raise StoreError(f"store {path}: it is the database of another program; name another with --store")
    computes = "SELECT 1 FROM sqlite_master WHERE type IN ('view', 'trigger')"
    if connection_of(database).execute(computes).fetchone():
        raise StoreError(
            f"store {path}: it has views or triggers, which PyScrAI never makes; do not use it, and name "
            "another with --store"
        )
    if applied - names:
        raise StoreError(
            f"store {path}: it was written by a newer version ({', '.join(sorted(applied - names))}); "
            "upgrade with: pip install -U pyscrai-core"
        )
    if names - applied:
        if not writable:
            raise StoreError(
                f"store {path}: it was written by an older version, and is read-only, so that its tables "
                "cannot be migrated; change its permissions, or copy it to a folder that can be written"
            )
        with Locks(path).exclusive():
            # Another process may have made the tables by now.
            if database.get_tables():
                _upgrade(database, folder)
            else:
                _create(database, sorted(names))


def _upgrade(database: SqliteDatabase, folder: Traversable) -> None:
    # Imported here, as it takes longer than opening the store.
    from playhouse.migrations import Runner

    with importlib.resources.as_file(folder) as directory:
        Runner(database, str(directory), table_name=HISTORY).up()


def _create(database: SqliteDatabase, names: Sequence[str]) -> None:
    """Make the tables of a new store. All migrations, one after another, take ten times as long."""
    applied = [{"name": name, "applied": datetime.now()} for name in names]
    with database.atomic():
        for model in (*TABLES, MigrationRow):
            SchemaManager(model, database).create_all(safe=False)
        MigrationRow.insert_many(applied).execute(database)


def as_store_error(path: Path, error: BaseException) -> StoreError:
    """An error of the database as a `StoreError` that says what to do."""
    while "cannot rollback" in str(error) and error.__context__ is not None:
        error = error.__context__  # the reason why SQLite had rolled back already
    problem = str(error)
    remedy = "free disk space, or choose another place with --store"
    if not path.exists():
        problem, remedy = "it was removed or moved while it was used", "put it back, and try again"
    elif "locked" in problem:
        remedy = "another program is writing to it: wait for it, or end it"
    elif "readonly" in problem:
        remedy = "change its permissions, or choose another place with --store"
    elif any(words in problem for words in ("malformed", "decode", "no such column", "no such table")):
        problem, remedy = f"it is damaged ({problem})", "restore it, or name another with --store"
    elif "not a database" in problem:
        problem, remedy = "it is not a database, or damaged", "restore it, or name another with --store"
    return StoreError(f"store {path}: {problem}; {remedy}")


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise the database's errors as `StoreError`."""
    try:
        yield
    except (DatabaseError, sqlite3.Error) as error:
        raise as_store_error(path, error) from None
