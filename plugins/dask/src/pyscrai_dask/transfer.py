"""What travels between the experiment and a worker: parts of blocks, results, and runs in a database."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen
from peewee import Model

from pyscrai_core import PyscraiError, StoreError, Trial, TrialResult
from pyscrai_records.store.maintenance import REFERENCED, referenced_messages, remove_runs, table_name
from pyscrai_records.store.models import (
    ACTIVE,
    CallRow,
    EventRow,
    ManifestRow,
    MessageRow,
    OutcomeRow,
    RunRow,
)
from pyscrai_records.store.opening import translate_errors
from pyscrai_records.store.store import Store

#: The tables that travel, with the columns that name a row's run.
TABLES: dict[type[Model], str] = {
    RunRow: "id", ManifestRow: "run", EventRow: "run", CallRow: "run", OutcomeRow: "run",
}  # fmt: skip
#: Of zlib: most of what it can save for little of its time.
COMPRESSION = 1


@frozen
class Part:
    """What is left of a block, and whether some of it was run already.

    `number` is the experiment's own for it; `runs` are those that its trials resume or take answers from.
    """

    number: int
    trials: tuple[Trial, ...]
    begun: bool
    runs: frozenset[str]


@frozen
class Chunk:
    """What a worker gets beside what it has: parts of blocks, and the runs that they need.

    It answers when it has results and nothing else to do, or no more than `low` parts that it could begin, or
    after so many `seconds`.
    """

    parts: tuple[Part, ...]
    runs: bytes
    low: int
    seconds: float


@frozen
class Delivery:
    """What a worker answers: results, each with the number of its part, and the runs.

    Parts that are `over` may have trials that were not run. `error` is why the worker could not go on.
    """

    results: tuple[tuple[int, TrialResult], ...]
    runs: bytes
    over: tuple[int, ...]
    error: PyscraiError | None = None


def pack(store: Store, runs: Collection[str]) -> bytes:
    """Runs of a store, with all that they need; empty if there are none. Raises `StoreError`.

    What the process that executed them wrote of itself stays here.
    """
    if not runs:
        return b""
    connection = store.connection
    with _beside(store) as path:
        connection.execute("BEGIN")
        try:
            connection.execute('CREATE TABLE packed."chosen" ("run" TEXT PRIMARY KEY)')
            connection.executemany('INSERT INTO packed."chosen" VALUES (?)', [(run,) for run in runs])
            for table, key in TABLES.items():
                name = table_name(table)
                connection.execute(
                    f'CREATE TABLE packed."{name}" AS SELECT * FROM main."{name}" '
                    f'WHERE "{key}" IN (SELECT "run" FROM packed."chosen")'
                )
            with referenced_messages(connection, runs):
                connection.execute(
                    f'CREATE TABLE packed."messages" AS SELECT * FROM main."messages" '
                    f'WHERE "digest" IN ({REFERENCED})'
                )
            connection.execute('UPDATE packed."runs" SET "owner"=\'\'')
            connection.execute(
                'UPDATE packed."runs" SET "status"=\'interrupted\', "fingerprint"=\'\', "ended"=NULL, '
                f'"checksum"=\'\' WHERE "status" IN {ACTIVE}'
            )
        finally:
            connection.execute("COMMIT")
        return zlib.compress(path.read_bytes(), COMPRESSION)


def unpack(store: Store, runs: bytes, *, replaced: Sequence[str] = ()) -> None:
    """Write packed runs into a store, all of them or none; but not those that are there already.

    Those that are `replaced` go before. Raises `StoreError`.
    """
    if not runs:
        return
    with _beside(store, zlib.decompress(runs)), store.transaction():
        remove_runs(store, replaced)
        store.connection.execute('DELETE FROM packed."chosen" WHERE "run" IN (SELECT "id" FROM main."runs")')
        tables: list[type[Model]] = [*TABLES, MessageRow]
        for table in tables:
            name, key = table_name(table), TABLES.get(table)
            columns = ",".join(f'"{field.column_name}"' for field in table._meta.sorted_fields)
            chosen = f'WHERE "{key}" IN (SELECT "run" FROM packed."chosen")' if key else ""
            store.connection.execute(
                f'INSERT {"" if key else "OR IGNORE "}INTO main."{name}" ({columns}) '
                f'SELECT {columns} FROM packed."{name}" {chosen}'
            )


@contextmanager
def _beside(store: Store, content: bytes = b"") -> Iterator[Path]:
    """A database of some content, as a file, attached to a store as `packed`."""
    try:
        with tempfile.TemporaryDirectory(prefix="pyscrai-") as folder, translate_errors(store.path):
            path = Path(folder) / "runs.db"
            path.write_bytes(content)
            store.connection.execute("ATTACH DATABASE ? AS packed", (str(path),))
            try:
                # It is read once, and by this process alone.
                store.connection.execute("PRAGMA packed.journal_mode=OFF")
                store.connection.execute("PRAGMA packed.synchronous=OFF")
                yield path
            finally:
                store.connection.execute("DETACH DATABASE packed")
    except OSError as error:
        folder = tempfile.gettempdir()
        raise StoreError(
            f"runs of {store.path} could not be packed in {folder} ({error.strerror or error}); make room "
            "there, or set TMPDIR to another folder"
        ) from error
