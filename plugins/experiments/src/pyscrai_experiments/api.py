"""Experiments from Python: what the command does too."""

from __future__ import annotations

import asyncio
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from pyscrai_core import ConfigError
from pyscrai_core.config import Settings, load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.base.time_limit import run_alone
from pyscrai_records.store.store import Store

from .experiment import read_experiment
from .perform import Summary
from .running import arun_experiment


@frozen
class Result:
    """What an experiment came to: a `summary` of this execution, and the report's plain data as `content`."""

    summary: Summary
    content: dict[str, Any]
    trials: list[dict[str, Any]]

    @property
    def status(self) -> str:
        """`completed`, `failed` (some trials did), `stopped` (by a budget) or `interrupted`."""
        return self.summary.status

    def to_dict(self) -> dict[str, Any]:
        """The summary and the report as plain data."""
        return {"summary": self.summary.to_dict(), "report": self.content}

    def _repr_html_(self) -> str | None:
        """The report for a notebook, in a frame of its own; None without matplotlib, which draws in it."""
        from .page import as_html

        try:
            page = as_html(self.content)
        except ConfigError:
            return None
        style = "width:100%;height:40rem;border:0"
        return f'<iframe sandbox srcdoc="{escape(page)}" title="report" style="{style}"></iframe>'

    def to_pandas(self) -> Any:
        """A data frame with a row for each trial: arm, replicate, seed, status, factors and outcomes."""
        return import_module("pandas").DataFrame(self.trials)


def run(file: str | Path, **options: Any) -> Result:
    """Run the experiment in a file, or what is left of it, and return what it came to.

    replicates
        overrules the file's
    extend
        add the arms and replicates that are new since it was registered
    retry_failed
        run trials again that failed before
    store, trust, host
        as for `pyscrai_core.run`
    yes
        make also very many arms and trials

    Raises `InputError` and its kinds for bad input, before anything is run. Where an event loop runs already,
    as in a notebook, use `await arun(…)`.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_alone(arun(file, **options))
    raise RuntimeError("an event loop is running already: use `await pyscrai_experiments.arun(…)`")


async def arun(
    file: str | Path,
    *,
    replicates: int | None = None,
    extend: bool = False,
    retry_failed: bool = False,
    store: str | Path | None = None,
    trust: bool = False,
    host: Host | None = None,
    yes: bool = False,
) -> Result:
    """The awaitable twin of `run`."""
    confirm = (lambda question: True) if yes else None
    experiment = read_experiment(Path(file), replicates=replicates, confirm=confirm)
    settings = _settings(store)
    summary = await arun_experiment(
        experiment, settings, Gate(trust), host=host, extend=extend, retry_failed=retry_failed
    )
    return _result(experiment, settings, summary)


def report(file: str | Path, *, form: str = "json", store: str | Path | None = None) -> str:
    """The report as `terminal`, `json`, `csv`, `markdown` or `html`. Raises `InputError`."""
    from .forms import render

    experiment = read_experiment(Path(file), confirm=lambda question: True)
    with Store.open(_settings(store).store, create=False) as opened:
        return render(experiment, opened, form)


def _settings(store: str | Path | None) -> Settings:
    return load_settings(store=None if store is None else str(store))


def _result(experiment: Any, settings: Settings, summary: Summary) -> Result:
    from .analysis import make_report
    from .collect import collect
    from .registry import registered_seeds

    with Store.open(settings.store, create=False) as opened:
        content = make_report(experiment, opened).content
        data = collect(experiment, opened, registered_seeds(experiment, opened))
    levels = {arm.name: dict(arm.levels) for arm in experiment.arms}
    trials = []
    for one in data.trials:
        plain = attrs.asdict(one, recurse=False)
        outcomes = plain.pop("outcomes")
        trials.append({**plain, **levels[one.arm], **{k: v for k, v in outcomes.items() if k not in plain}})
    return Result(summary, content, trials)
