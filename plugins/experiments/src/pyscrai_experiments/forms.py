"""The forms of a report."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import orjson

from pyscrai_core import ConfigError
from pyscrai_records.base.atomic_files import replace_file
from pyscrai_records.secret import redact
from pyscrai_records.store.store import Store

from .analysis import make_report
from .collect import collect
from .experiment import Experiment
from .registry import registered_seeds, registrations
from .render import as_csv, as_json, as_markdown, as_text

FILES = {"csv": "trials.csv", "json": "report.json", "markdown": "report.md", "html": "report.html"}


FORMS = ("terminal", *FILES)


def render(experiment: Experiment, store: Store, form: str) -> str:
    """The report in a form: terminal, json, csv, markdown or html. Raises `InputError`."""
    if form not in FORMS:
        raise ConfigError(f"form: expected one of {', '.join(FORMS)}, got {form!r}")
    if form == "csv":
        return as_csv(experiment, collect(experiment, store, registered_seeds(experiment, store)))
    content = make_report(experiment, store).content
    if form == "html":
        from .page import as_html

        return as_html(content)
    return {"json": as_json, "markdown": as_markdown, "terminal": as_text}[form](content)


def write_out(path: Path, text: str) -> None:
    """Write a text to a file, whole or not at all. Raises `ConfigError`."""
    try:
        replace_file(path, redact(text).encode())
    except OSError as error:
        what = f"it cannot be written ({error.strerror})"
        raise ConfigError(f"--out {path}: {what}; choose another place") from None


def write_all(experiment: Experiment, store: Store, folder: Path) -> list[Path]:
    """Write the report in all forms, and the registered plans, into a folder; the files.

    The HTML page is left out where matplotlib is not installed. Raises `InputError`.
    """
    forms = [form for form in FILES if form != "html" or find_spec("matplotlib")]
    texts = {FILES[form]: render(experiment, store, form) for form in forms}
    plans = [
        {"number": one.number, "hash": one.hash, "plan": one.body}
        for one in registrations(store, experiment.name)
    ]
    texts["plan.json"] = orjson.dumps(plans, option=orjson.OPT_INDENT_2).decode() + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the folder cannot be made ({error.strerror})"
        raise ConfigError(f"--out {folder}: {what}; choose another place") from None
    for name, text in texts.items():
        write_out(folder / name, text)
    return [folder / name for name in texts]
