"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_exporters() -> list[Extension]:
    return [
        Extension("parquet", "pyscrai_duckdb.exporters:Parquet", "all tables as Parquet files"),
        Extension("duckdb", "pyscrai_duckdb.exporters:DuckDB", "all tables in a DuckDB database"),
    ]
