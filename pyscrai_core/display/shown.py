"""Logs, results and lists of runs that can be shown: as a data frame, or as HTML in a notebook.

The displays come from plugins: `pandas`, `polars` and `arrow` from pyscrai-tables, `html` from pyscrai-html.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from attrs import field, frozen

from pyscrai_records.errors import ExtensionError
from pyscrai_records.records import Event, RunResult
from pyscrai_records.stored_run import StoredRun

from ..config import load_settings


def display(name: str, shown: Any, *arguments: Any) -> Any:
    """Show something with the display `name` of a plugin. Raises `ExtensionError` if there is none."""
    return load_settings(tell=False).host().load("display", name)(shown, *arguments)


def html(shown: Any) -> str | None:
    """Something as HTML for a notebook; None, so that the notebook shows its text, without pyscrai-html."""
    try:
        return str(display("html", shown))
    except ExtensionError:
        return None


class Events(tuple[Event, ...]):
    """The whole log of the run `run`, in order."""

    run: str

    def __new__(cls, events: Iterable[Event] = (), run: str = "") -> Self:
        log = super().__new__(cls, events)
        log.run = run
        return log

    def to_pandas(self) -> Any:
        """A pandas data frame with a row for each event, as pyscrai-tables documents its columns."""
        return display("pandas", self)

    def to_polars(self) -> Any:
        """The same as a polars data frame."""
        return display("polars", self)

    def to_arrow(self) -> Any:
        """The same as a pyarrow table."""
        return display("arrow", self)

    def _repr_html_(self) -> str | None:
        return html(self)


class Runs(tuple[StoredRun, ...]):
    """Runs of a store."""

    def to_pandas(self, table: str = "runs") -> Any:
        """One of their tables (`runs`, `agents`, `events`, `calls`, …) as a pandas data frame."""
        return display("pandas", self, table)

    def to_polars(self, table: str = "runs") -> Any:
        """The same as a polars data frame."""
        return display("polars", self, table)

    def to_arrow(self, table: str = "runs") -> Any:
        """The same as a pyarrow table."""
        return display("arrow", self, table)

    def _repr_html_(self) -> str | None:
        return html(self)


@frozen
class Result(RunResult):
    """A result whose log can be shown: `result.events.to_pandas()`, or `result` in a notebook."""

    events: Events = field(kw_only=True)

    def _repr_html_(self) -> str | None:
        return html(self)
