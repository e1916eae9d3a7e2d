"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_exporters() -> list[Extension]:
    return [
        Extension("jsonl", "pyscrai_tables.jsonl_export:JsonLines", "events, calls and outcomes as JSON"),
        Extension("csv", "pyscrai_tables.csv_export:Csv", "events, calls and outcomes as CSV"),
    ]
