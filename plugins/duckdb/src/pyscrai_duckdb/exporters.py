"""The exporters `parquet` and `duckdb`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from attrs import field, frozen, validators

from pyscrai_core import Exporter, StoredRun
from pyscrai_records.base.atomic_files import replace_paths
from pyscrai_tabular.fill import PAYLOAD_COLUMNS, fill
from pyscrai_tabular.schema import Table

from .database import GROUP, create, describe, open_database, quoted


class Parquet(Exporter):
    """Writes all tables of the runs, each as a Parquet file."""

    @frozen
    class Config:
        """
        compression
            how the columns are compressed
        payload_columns
            how many columns the events' payloads get at most
        """

        compression: Literal["zstd", "snappy", "gzip", "uncompressed"] = "zstd"
        payload_columns: int = field(default=PAYLOAD_COLUMNS, validator=validators.ge(0))

    def export(self, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
        tables = fill(runs, self.config.payload_columns)
        paths = [destination / f"{one.table.name}.parquet" for one in tables]
        with replace_paths([*paths, destination / "temporary.duckdb"]) as (*parts, database):
            for part, one in zip(parts, tables, strict=True):
                # Each table has a database of its own, so that there is never more on the disk than one.
                with open_database(database) as connection:
                    create(connection, one)
                    connection.execute(
                        f"COPY (SELECT {_plain(one.table)} FROM {quoted(one.table.name)}) TO ? "
                        f"(FORMAT parquet, COMPRESSION {self.config.compression}, ROW_GROUP_SIZE {GROUP})",
                        [str(part)],
                    )
                database.unlink()
        return paths


def _plain(table: Table) -> str:
    """The columns for Parquet, in which JSON is text: not every reader knows it as a type."""
    return ", ".join(
        f"{quoted(column.name)}::VARCHAR AS {quoted(column.name)}"
        if column.type == "json"
        else quoted(column.name)
        for column in table.columns
    )


class DuckDB(Exporter):
    """Writes all tables of the runs into one DuckDB database, with what they mean as comments."""

    @frozen
    class Config:
        """
        file
            the name of the database's file
        payload_columns
            how many columns the events' payloads get at most
        """

        file: str = field(default="runs.duckdb", validator=validators.matches_re(r"[\w-][\w .-]*"))
        payload_columns: int = field(default=PAYLOAD_COLUMNS, validator=validators.ge(0))

    def export(self, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
        paths = [destination / self.config.file]
        with replace_paths(paths) as (part,), open_database(part) as connection:
            for one in fill(runs, self.config.payload_columns):
                create(connection, one)
                describe(connection, one.table)
        return paths
