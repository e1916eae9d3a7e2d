"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_exporters() -> list[Extension]:
    return [
        Extension("jsonl", "pyscrai_tables.jsonl_export:JsonLines", "events, calls and outcomes as JSON"),
        Extension("csv", "pyscrai_tables.csv_export:Csv", "all tables as CSV, for spreadsheets"),
        Extension("graphml", "pyscrai_tables.graphml_export:GraphML", "who speaks to whom, as a network"),
    ]


@hookimpl
def pyscrai_displays() -> list[Extension]:
    return [
        Extension("pandas", "pyscrai_tables.frames:to_pandas", "logs and runs as pandas data frames"),
        Extension("polars", "pyscrai_tables.frames:to_polars", "logs and runs as polars data frames"),
        Extension("arrow", "pyscrai_tables.frames:to_arrow", "logs and runs as pyarrow tables"),
    ]
