"""A report as text: for a terminal, as Markdown, as JSON and as a table of all trials."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from .collect import Collected
from .experiment import Experiment
from .sections import Row, failures, head, tables

#: How the cells begin that a spreadsheet would take for formulas.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def as_json(content: dict[str, Any]) -> str:
    """The whole report as JSON."""
    return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode() + "\n"


def as_csv(experiment: Experiment, data: Collected) -> str:
    """One line for each trial: its arm, replicate, seed, status, factors and outcomes."""
    names = list(dict.fromkeys(name for trial in data.trials for name in trial.outcomes))
    levels = {arm.name: arm.levels for arm in experiment.arms}
    factors = list(experiment.spec.factors)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    taken = ("arm", "replicate", "seed", "status", *factors)
    writer.writerow([*taken, *(f"outcome.{name}" if name in taken else name for name in names)])
    for trial in data.trials:
        chosen = [levels[trial.arm].get(factor, "") for factor in factors]
        values = [_cell(trial.outcomes.get(name)) for name in names]
        row = [trial.arm, trial.replicate, trial.seed, trial.status, *chosen, *values]
        writer.writerow(map(_neutral, row))
    return out.getvalue()


def _neutral(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, with an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return (
        orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if isinstance(value, list | dict) else value
    )


# -- Markdown --


def as_markdown(content: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"# {_escaped(content['experiment'])}", ""]
    for line in head(content):
        lines += [_escaped(line), ""]
    if content["warnings"]:
        lines += ["## Warnings", "", *(f"- {_escaped(one)}" for one in content["warnings"]), ""]
    for title, rows, below in tables(content):
        lines += [f"## {_escaped(title)}", "", *_pipes(rows), ""]
        for line in below:
            lines += [_escaped(line), ""]
    if content["failures"]:
        lines += ["## Trials that did not complete", "", *_pipes(failures(content)), ""]
    lines += ["## Methods", "", _escaped(content["methods"]), ""]
    return "\n".join(lines)


def _pipes(rows: Sequence[Row]) -> Iterator[str]:
    for index, row in enumerate(rows):
        yield f"| {' | '.join(_escaped(cell) for cell in row)} |"
        if index == 0:
            yield f"|{' --- |' * len(row)}"


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


# -- terminal --


def as_text(content: dict[str, Any]) -> str:
    """The report for a terminal."""
    lines = [content["experiment"], "=" * len(content["experiment"]), *head(content), ""]
    if content["warnings"]:
        lines += ["Warnings", *(f"  ! {one}" for one in content["warnings"]), ""]
    for title, rows, below in tables(content):
        lines += [title, *_columns(rows), *(f"  {line}" for line in below), ""]
    if content["failures"]:
        lines += ["Trials that did not complete", *_columns(failures(content)), ""]
    lines += ["Methods", f"  {content['methods']}"]
    return "\n".join(lines) + "\n"


def _columns(rows: Sequence[Row]) -> Iterator[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    texts = [name in ("verdict", "replicates", "status", "why") for name in rows[0]]
    for row in rows:
        cells = [
            cell.ljust(width) if index == 0 or texts[index] else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()
