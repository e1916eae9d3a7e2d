"""Outcomes that plugins compute of finished runs (hook `pyscrai_outcomes`), such as `measures.words`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyscrai_core import ContractError, ExtensionError, PyscraiError, StoredRun
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host, known_plugins
from pyscrai_records.store.store import Store

from .experiment import Experiment


def is_later(path: str, scenario: Mapping[str, Any], host: Host) -> bool:
    """Whether the outcome at a path is a plugin's. The scenario's own come first."""
    name, dot, _ = path.partition(".")
    offered = {offer.name for offer in host.offers("outcome")}
    known = {other for kind, other in known_plugins() if kind == "outcome"}
    return bool(dot) and name not in scenario and name in offered | known


def check(path: str, host: Host) -> None:
    """Raise `ValueError` if a plugin has no outcome at a path, or is not installed."""
    try:
        _compute(path.partition(".")[0], [path], [], None, host)
    except ExtensionError as error:
        raise ValueError(str(error)) from error


def values_of(experiment: Experiment, runs: Sequence[StoredRun], store: Store) -> dict[str, dict[str, Any]]:
    """The values that plugins compute for an experiment, by run and path. Raises `ScenarioError`."""
    paths = {given.value or name: name for name, given in experiment.outcomes.items()}
    found: dict[str, dict[str, Any]] = {}
    if not runs or not any("." in path for path in paths):
        return found
    host = load_settings(tell=False).host()
    later = [path for path in paths if is_later(path, runs[0].manifest["scenario"].get("outcomes", {}), host)]
    for path in later:
        try:
            for run, values in _compute(path.partition(".")[0], [path], runs, store, host).items():
                found.setdefault(run, {}).update(values)
        except (ValueError, ExtensionError) as error:
            raise experiment.error(("outcomes", paths[path]), str(error)) from error
    return found


def reliability_of(
    experiment: Experiment, runs: Sequence[StoredRun], store: Store
) -> dict[str, dict[str, Any]]:
    """How reliable the outcomes are whose plugins tell it, such as the agreement of judges; by path."""
    paths = [given.value or name for name, given in experiment.outcomes.items()]
    found: dict[str, dict[str, Any]] = {}
    if not runs or not any("." in path for path in paths):
        return found
    host = load_settings(tell=False).host()
    known = runs[0].manifest["scenario"].get("outcomes", {})
    for path in dict.fromkeys(path for path in paths if is_later(path, known, host)):
        name, _, rest = path.partition(".")
        tell = getattr(host.load("outcome", name), "reliability", None)
        for one in tell(runs, [rest], store).values() if tell else ():
            found[path] = one
    return found


def _compute(
    name: str, paths: Sequence[str], runs: Sequence[StoredRun], store: Store | None, host: Host
) -> dict[str, dict[str, Any]]:
    """What the plugin's function returns, with whole paths."""
    compute = host.load("outcome", name)
    try:
        found = compute(runs, [path.removeprefix(f"{name}.") for path in paths], store)
    except (PyscraiError, ValueError):
        raise
    except Exception as error:  # a plugin's function may raise anything: report it as a failure of the plugin
        raise ContractError(
            f"{host.offer('outcome', name)}: it raised {type(error).__name__}: {error}; tell its author"
        ) from error
    return {run: {f"{name}.{path}": value for path, value in values.items()} for run, values in found.items()}
