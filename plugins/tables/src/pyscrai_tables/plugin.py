"""What this distribution adds to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_exporters() -> list[Extension]:
    return [
        Extension("jsonl", "pyscrai_tables.jsonl:JsonLines", "events, calls and outcomes as JSON lines"),
        Extension("csv", "pyscrai_tables.spreadsheet:Csv", "events, calls and outcomes as CSV"),
    ]
