"""The data dictionary as a page: `python -m pyscrai_tables.dictionary` prints what the README has."""

from __future__ import annotations

from collections.abc import Iterator

from pyscrai_tabular.schema import BASE, DECLARED, DICTIONARY, Table


def as_markdown() -> str:
    """The tables of every export, with the type, unit and meaning of each column."""
    return "\n".join(line for table in (*BASE, DECLARED, DICTIONARY) for line in _lines(table)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    name = "table-NAME" if table is DECLARED else table.name
    yield f"**{name}**: {table.meaning}."
    yield ""
    yield "| column | type | unit | meaning |"
    yield "| --- | --- | --- | --- |"
    for column in table.columns:
        yield f"| `{column.name}` | {column.type} | {column.unit} | {column.meaning} |"
    if table.name == "events":
        yield "| `KIND.KEY` | its own | | the value of `KEY` in the payload of events of the kind `KIND` |"
    if table is DECLARED:
        yield "| `COLUMN` | its own | as the scenario states it | a column of the scenario's table |"
    yield ""


if __name__ == "__main__":
    print(as_markdown(), end="")
