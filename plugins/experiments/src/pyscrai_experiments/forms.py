"""The forms of a report."""

from __future__ import annotations

from pyscrai_core.store.store import Store

from .collect import collect
from .experiment import Experiment
from .registry import registrations
from .render import as_csv, as_json, as_markdown, as_text
from .report import make_report


def render(experiment: Experiment, store: Store, form: str) -> str:
    """The report in a form: terminal, json, csv, markdown or html."""
    report = make_report(experiment, store)
    if form == "csv":
        seeds = registrations(store, experiment.name)[-1].body["seeds"]
        return as_csv(experiment, collect(experiment, store, seeds))
    if form == "html":
        from .page import as_html

        return as_html(report.content)
    return {"json": as_json, "markdown": as_markdown, "terminal": as_text}[form](report.content)
