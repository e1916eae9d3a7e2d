"""Bundles: runs as one file that a colleague can replay, written from a store and read into another.

A bundle is a zip archive with a member of JSON lines for each table, and `bundle.json`, which says what is in
it and has the SHA-256 of each. Nothing in it says on which machine it was made. Reading one executes nothing.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import time
import zipfile
import zlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import orjson
from attrs import asdict, frozen
from peewee import Model

from pyscrai_core import ConfigError, StoreError, __version__
from pyscrai_records.base.atomic_files import replace_files
from pyscrai_records.base.files import open_file
from pyscrai_records.base.private import private_files
from pyscrai_records.canonical import canonical, digest
from pyscrai_records.secret import redact_bytes
from pyscrai_records.store.checksums import is_body
from pyscrai_records.store.locks import RUN_ID
from pyscrai_records.store.maintenance import REFERENCED, check_not_executing, referenced_messages, table_name
from pyscrai_records.store.models import EventRow, ImportRow, ManifestRow, MessageRow, RunRow
from pyscrai_records.store.store import Store

from .checks import CHECKSUMS, KEYS, Row, check_run, columns, misfit, rows

#: Raised when the members or their columns change: a bundle is read by those who know its format.
FORMAT = 6
#: The oldest that can be read: its runs have no checksums.
OLDEST = 5
HEADER = "bundle.json"
#: The members: the keys by which their rows are ordered, so that none can be there twice.
MEMBERS: dict[type[Model], tuple[str, ...]] = {**KEYS, MessageRow: ("digest",)}
#: Bytes of the longest row (and header): a file from somewhere must not decide how much memory is needed.
LONGEST = 64 * 1024 * 1024
CHUNK = 1024 * 1024
ANEW = "have it made again, of a run that `pyscrai runs verify` finds fine"
#: What zipfile raises for an archive that is damaged in one way or another.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@frozen
class Member:
    """What `bundle.json` says of a member: its rows, and its size in bytes and SHA-256 before compression."""

    rows: int
    bytes: int
    sha256: str


# -- writing --


def export_bundle(store: Store, runs: Sequence[str], out: Path, *, force: bool = False) -> dict[str, Member]:
    """Write runs, by their ids, into the file `out`; what it holds, by the names of the tables.

    With `force` a file that is there is replaced, once the new one is whole. Raises `ConfigError` if it
    cannot be written, `StoreError` if a run is being executed or is damaged.
    """
    if out.exists() and not (force and out.is_file()):
        kind = "a folder" if out.is_dir() else "a device or a pipe"
        what = "there already; replace it with --force" if out.is_file() else f"{kind}, expected a file"
        raise ConfigError(f"--out {out}: it is {what}, or choose another name")
    ids = sorted(set(runs))
    try:
        with (
            private_files(),
            replace_files([out]) as (written,),
            zipfile.ZipFile(written, "w") as archive,
            store.snapshot() as connection,
            referenced_messages(connection, ids),
        ):
            check_not_executing(store, ids)
            for run in ids:
                if (problem := next(check_run(connection, run), None)) is not None:
                    raise StoreError(problem)
            members = {table_name(table): _write(archive, connection, table, ids) for table in MEMBERS}
            header = {
                "format": FORMAT,
                "kernel": __version__,
                "created": time.time(),
                "runs": {row["id"]: row["fingerprint"] for row in _rows(connection, RunRow, ids)},
                "members": {name: asdict(member) for name, member in members.items()},
            }
            with _opened(archive, HEADER) as file:
                file.write(canonical({**header, "sha256": digest(canonical(header))}))
    except OSError as error:
        raise ConfigError(
            f"--out {out}: {error.strerror or error}; make room, change its permissions, or choose another "
            "place"
        ) from error
    return members


def _opened(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    member = zipfile.ZipInfo(name)  # which has no date
    member.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(member, "w", force_zip64=True)


def _write(
    archive: zipfile.ZipFile, connection: sqlite3.Connection, table: type[Model], runs: list[str]
) -> Member:
    name, count, size, hashed = table_name(table), 0, 0, sha256()
    with _opened(archive, f"{name}.jsonl") as file, closing(_rows(connection, table, runs)) as written:
        for row in written:
            plain = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
            line = redact_bytes(plain)
            if line != plain and table in (EventRow, MessageRow):
                raise StoreError(
                    f"{name}: a secret stands in a row, and what is hashed cannot be changed; give the run "
                    "to nobody, and replace the secret"
                )
            if line != plain:
                line = orjson.dumps(_sealed(table, orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE)
            if len(line) > LONGEST:
                raise StoreError(f"{name}: a row has {len(line):,} bytes, expected {LONGEST:,} at most")
            file.write(line)
            hashed.update(line)
            count, size = count + 1, size + len(line)
    return Member(count, size, hashed.hexdigest())


def _rows(connection: sqlite3.Connection, table: type[Model], runs: list[str]) -> Generator[Row]:
    """The rows of a table as a bundle has them."""
    if table is not MessageRow:
        for run in runs:
            for row in rows(connection, table, run):
                yield _portable(table, row)
        return
    wanted = f'"digest" IN ({REFERENCED}) ORDER BY "digest"'
    for key, body in connection.execute(f'SELECT "digest", "body" FROM "messages" WHERE {wanted}'):
        if not is_body(key, body):
            raise StoreError(f"message {key}: its body was changed; see what is damaged: pyscrai runs verify")
        yield {"digest": key, "body": body.decode()}


def _portable(table: type[Model], row: Row) -> Row:
    """A row without what is of this process or this machine alone."""
    if table is RunRow:
        row["owner"] = ""
        if row["status"] in ("running", "paused"):
            row.update(status="interrupted", fingerprint="", ended=None)
            _sealed(table, row)
    elif table is ManifestRow:
        manifest = orjson.loads(row["body"])
        # Configurations have paths as they were found.
        manifest["extensions"] = _relative(manifest.get("extensions", []), str(manifest.get("folder")))
        manifest["folder"] = "."
        manifest.pop("trusted", None)  # whoever has the bundle is asked anew
        row["body"] = orjson.dumps(manifest).decode()
        _sealed(table, row)
    return row


def _sealed(table: type[Model], row: Row) -> Row:
    """A row that was changed, with the checksum of what it has now, if it had one."""
    if row["checksum"]:
        row["checksum"] = CHECKSUMS[table](row)
    return row


def _relative(value: Any, folder: str) -> Any:
    if isinstance(value, dict):
        return {key: _relative(part, folder) for key, part in value.items()}
    if isinstance(value, list):
        return [_relative(part, folder) for part in value]
    if isinstance(value, str) and (value == folder or value.startswith(folder + os.sep)):
        return "." + value[len(folder) :]
    return value


# -- reading --


class Bundle:
    """A bundle, checked as far as that needs no store. Use it as a context manager.

    `runs` are the ids of its runs, with their fingerprints; `members` what it holds, by the tables' names.
    """

    def __init__(self, path: Path) -> None:
        """Raises `StoreError` if it is missing, no bundle, damaged, changed, or made by a newer version."""
        self.path = path
        self.runs: dict[str, str] = {}
        self.members: dict[str, Member] = {}
        try:
            self._file = open_file(path)
        except OSError as error:
            raise self._wrong(
                f"{error.strerror}; name a file that pyscrai runs export-bundle wrote"
            ) from None
        try:
            self._archive = zipfile.ZipFile(self._file)
        except DAMAGED as error:
            self._file.close()
            raise self._wrong(f"it is no bundle, or was cut off ({error}); have it sent again") from None
        try:
            self._check()
        except BaseException:
            self._archive.close()
            self._file.close()
            raise

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *exc: object) -> None:
        self._archive.close()
        self._file.close()

    def write(self, store: Store) -> None:
        """Write all of its runs into a store, or none.

        Raises `StoreError` if one is there already, or is not whole.
        """
        size = sum(member.bytes for member in self.members.values())
        if (free := shutil.disk_usage(store.path.parent).free) < size:
            raise self._wrong(f"it needs {size:,} bytes, beside {store.path} are {free:,} free; make room")
        with store.transaction():
            for run in self.runs:
                if next(rows(store.connection, RunRow, run), None) is not None:
                    raise self._wrong(
                        f"run {run} is in {store.path} already, and nothing was imported; remove it with "
                        f"pyscrai runs rm {run}, or import into another store with --store"
                    )
            for table in MEMBERS:
                names = list(columns(table))
                insert = "INSERT OR IGNORE" if table is MessageRow else "INSERT"
                listed, marks = ",".join(f'"{name}"' for name in names), ",".join("?" * len(names))
                try:
                    store.connection.executemany(
                        f'{insert} INTO "{table_name(table)}" ({listed}) VALUES ({marks})',
                        (tuple(row.values()) for row in self._rows(table)),
                    )
                except sqlite3.IntegrityError as error:
                    raise self._wrong(
                        f"{table_name(table)}: a row is there twice ({error}); {ANEW}"
                    ) from None
            marked = f'INSERT INTO "{table_name(ImportRow)}" ("run") VALUES (?)'
            store.connection.executemany(marked, [(run,) for run in self.runs])
            for run in self.runs:
                if (problem := next(check_run(store.connection, run), None)) is not None:
                    raise self._wrong(f"{problem.rpartition(';')[0]}; {ANEW}")

    # -- checking --

    def _wrong(self, what: str) -> StoreError:
        return StoreError(f"bundle {self.path}: {what}")

    def _changed(self, name: str, what: object) -> StoreError:
        return self._wrong(f"{name}: {what}; it was damaged or changed on its way: have it sent again")

    def _check(self) -> None:
        listed = sorted(info.filename for info in self._archive.infolist())
        if HEADER not in listed:
            raise self._wrong(f"it has no {HEADER}; expected a file that pyscrai runs export-bundle wrote")
        self._read_header()
        expected = sorted([HEADER, *(f"{name}.jsonl" for name in self.members)])
        if listed != expected:
            raise self._changed(
                "members", f"they are {', '.join(listed)!r:.200}, expected {', '.join(expected)}"
            )
        for name, member in self.members.items():
            # Nothing is inflated beyond the size that the archive says, so it has to be this one.
            if self._archive.getinfo(f"{name}.jsonl").file_size != member.bytes:
                raise self._changed(f"{name}.jsonl", f"its size is another than {HEADER} says")
            hashed = sha256()
            for chunk in self._read(f"{name}.jsonl"):
                hashed.update(chunk)
            if hashed.hexdigest() != member.sha256:
                raise self._changed(f"{name}.jsonl", f"its SHA-256 is another than {HEADER} says")
        # `write` checks each row as well. Nothing of a stranger's bundle is written before all is checked.
        for table in MEMBERS:
            deque(self._rows(table), maxlen=0)

    def _read_header(self) -> None:
        data = next(self._read(HEADER, lines=True), b"")
        try:
            header = orjson.loads(data)
            if type(header["format"]) is int and header["format"] > FORMAT:
                raise self._wrong(
                    f"its format is {header['format']}, of pyscrai-core {header['kernel']!s:.40}; this one "
                    f"reads {FORMAT}: upgrade with: pip install -U pyscrai-core"
                )
            if type(header["format"]) is int and 0 < header["format"] < OLDEST:
                raise self._wrong(
                    f"its format is {header['format']}, of pyscrai-core {header['kernel']!s:.40}; this one "
                    f"reads {OLDEST} to {FORMAT}: have it exported anew with a newer pyscrai-core"
                )
            said = header.pop("sha256")
            if digest(canonical(header)) != said or canonical({**header, "sha256": said}) != data:
                raise ValueError("it is not what its SHA-256 says")
            if type(header["format"]) is not int or not OLDEST <= header["format"] <= FORMAT:
                raise ValueError(f"its format is {header['format']!r:.80}, expected {FORMAT}")
            self._format = header["format"]
            self.runs = {run: str(fingerprint) for run, fingerprint in header["runs"].items()}
            self.members = {name: Member(**member) for name, member in header["members"].items()}
            if list(self.members) != sorted(table_name(table) for table in MEMBERS):
                raise ValueError(f"it describes the tables {', '.join(self.members)!r:.200}")
            for run in self.runs:
                if not RUN_ID.fullmatch(run):
                    raise ValueError(f"{run!r:.80} is no id of a run")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # It may hold anything: no object, one without these keys, a number for a text.
            raise self._changed(HEADER, f"{type(error).__name__}: {error}") from None

    def _read(self, name: str, lines: bool = False) -> Iterator[bytes]:
        """A member in chunks or in lines, a line cut off where it is longer than `LONGEST`."""
        try:
            info = self._archive.getinfo(name)
            if info.compress_type != zipfile.ZIP_DEFLATED:
                raise ValueError("it is compressed in another way")
            with io.BufferedReader(self._archive.open(info), CHUNK) as file:  # type: ignore[type-var]
                while data := file.readline(LONGEST) if lines else file.read(CHUNK):
                    yield data
        except DAMAGED as error:
            raise self._changed(name, f"it cannot be read ({error})") from None

    def _rows(self, table: type[Model]) -> Iterator[Row]:
        """The rows of a member as they are written into a store, each checked by itself and in its place."""
        name = table_name(table)
        last: tuple[Any, ...] = ()
        count = 0
        for count, line in enumerate(self._read(f"{name}.jsonl", lines=True), 1):
            try:
                row = self._row(table, line)
                place = tuple(row[column] for column in MEMBERS[table])
                if place <= last:
                    raise ValueError("it is there twice, or not in its place")
            except (ValueError, RecursionError) as error:
                raise self._changed(f"{name}.jsonl, line {count}", error) from None
            last = place
            yield row
        if count != self.members[name].rows or (table is RunRow and count != len(self.runs)):
            raise self._changed(f"{name}.jsonl", f"it has {count:,} rows, {HEADER} says otherwise")

    def _row(self, table: type[Model], line: bytes) -> Row:
        if not line.endswith(b"\n"):
            raise ValueError(f"it has no end, or more than {LONGEST:,} bytes")
        row = orjson.loads(line)
        if type(row) is dict and table is RunRow and self._format == OLDEST:
            row.setdefault("checksum", "")
        if type(row) is not dict or list(row) != list(columns(table)):
            raise ValueError(f"expected the columns {', '.join(columns(table))}")
        if table is MessageRow:
            row["body"] = str(row["body"]).encode()
        if (wrong := misfit(table, row)) is not None:
            raise ValueError(wrong)
        if table is MessageRow:
            if not is_body(row["digest"], row["body"]):
                raise ValueError("the body has another digest")
            return row
        if (run := row[MEMBERS[table][0]]) not in self.runs:
            raise ValueError(f"{HEADER} has no run {run!r:.80}")
        if table is RunRow and self.runs[run] != row["fingerprint"]:
            raise ValueError(f"its fingerprint is another than {HEADER} says")
        for other in ("parent", "reused"):
            if row.get(other) and not RUN_ID.fullmatch(row[other]):
                raise ValueError(f"{other} is {row[other]!r:.80}, which is no id of a run")
        if row.get("reused") and row["reused"] not in self.runs:
            # A run of this machine with that id is not the one that was asked.
            row["reused"] = run
            _sealed(table, row)
        return _portable(table, row)
