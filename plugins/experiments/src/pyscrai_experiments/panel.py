"""The report of an experiment for the dashboard (hook `pyscrai_panels`), which draws it itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from pyscrai_core import ConfigError, InputError, read_file
from pyscrai_records.base.suggest import expected, list_some
from pyscrai_records.store.store import Store

from .analysis import make_report
from .control import ACTIONS, control, status_of
from .experiment import Experiment, read_experiment
from .registry import lock_of

#: Files and folders that are looked at for the file of an experiment, and folders that are not.
LOOKED_AT = 5000
SKIPPED = {"node_modules", "__pycache__", "site-packages"}
LARGEST = 2_000_000


def data(store: Store, name: str) -> dict[str, Any]:
    """The experiment `name`, as plain JSON: its report as the dashboard draws it, and what can be controlled.

    The file is looked for below the current folder; if there is no report without it, `why` says so.
    """
    found = {"control": status_of(store, name) if store.locks.held(lock_of(name)) else None}
    try:
        return {**found, **_report(make_report(_find(name), store).content)}
    except InputError as error:
        return {**found, "why": str(error)}


def act(store: Store, name: str, order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out an order of the dashboard: `action` as `pyscrai experiment control` has it, and `limits`.

    Returns the status. Raises `InputError`.
    """
    action, limits = order.get("action"), order.get("limits")
    if action not in ACTIONS:
        raise ConfigError(f"action: {expected(f'one of {list_some(ACTIONS)}', action)}")
    return control(store, name, action, None if limits is None else orjson.dumps(limits).decode())


def _report(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "description": content["description"],
        "scenario": content["scenario"],
        "claim": content["claim"],
        "warnings": content["warnings"],
        "arms": [_arm(arm, content["outcomes"]) for arm in content["arms"]],
        "outcomes": [{key: one[key] for key in ("name", "kind", "unit")} for one in content["outcomes"]],
        "comparisons": [
            _comparison(outcome["name"], one)
            for outcome in content["outcomes"]
            for one in outcome["comparisons"]
        ],
        "factors": [
            {
                "outcome": one["outcome"],
                "unit": one["unit"],
                "responses": [
                    {
                        "factor": response["factor"],
                        "points": [{"level": point["level"], **_ends(point)} for point in response["points"]],
                    }
                    for response in one["responses"]
                ],
            }
            for one in content.get("factors", ())
        ],
        "curve": [
            {
                "outcome": one["outcome"],
                "first": one["arm"],
                "second": one["against"],
                "points": [
                    {"variant": row["variant"], **_ends(row["difference"]), "verdict": row["verdict"]}
                    for row in one["rows"]
                ],
            }
            for one in content.get("robustness", ())
        ],
        "report": content,
    }


PANEL = {"for": "experiment", "data": data, "act": act}


def _arm(arm: Mapping[str, Any], outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """An arm with what its trials came to."""
    name = arm["arm"]
    found = {}
    for outcome in outcomes:
        summary = next(one for one in outcome["arms"] if one["arm"] == name)
        shares = summary.get("proportions") or {}
        main = summary.get("mean") or shares.get("success")
        found[outcome["name"]] = {
            "n": summary["n"],
            "kind": outcome["kind"],
            **({"mean": main["estimate"], **_ends(main)} if main else {}),
            **({"categories": {key: _ends(one) for key, one in shares.items()}} if shares else {}),
        }
    return {**arm, "name": name, "outcomes": found}


def _comparison(outcome: str, one: Mapping[str, Any]) -> dict[str, Any]:
    test, difference = one.get("test") or {}, one.get("difference")
    return {
        "outcome": outcome,
        **{key: one[key] for key in ("first", "second", "planned", "exploratory", "verdict", "sentence")},
        **(_ends(difference) if difference else {"estimate": None, "low": None, "high": None}),
        "n": one["n"],
        "p": test.get("p_value"),
        "p_adjusted": one["p_adjusted"],
        "smallest": one["smallest"],
    }


def _ends(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """An estimate with the ends of its interval; None: there is none."""
    interval = estimate.get("interval") or {}
    return {"estimate": estimate["estimate"], "low": interval.get("low"), "high": interval.get("high")}


def _find(name: str) -> Experiment:
    """The experiment in the file below the current folder that has this name."""
    problems = []
    for path in _files(Path.cwd(), name):
        try:
            found = read_experiment(path, confirm=lambda question: True)
        except InputError as error:
            problems.append(str(error))
            continue
        if found.name == name:
            return found
    if problems:
        raise ConfigError(problems[0])
    raise ConfigError(
        f"experiment {name!r}: its file is not below {Path.cwd()}; start the dashboard in the file's folder"
    )


def _files(folder: Path, name: str) -> Iterator[Path]:
    """The YAML files that have a key `experiment` and the name in them, in a fixed order."""
    looked = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if one[0] != "." and one not in SKIPPED)
        for file in sorted(files):
            path = Path(place, file)
            if path.suffix.lower() in (".yaml", ".yml") and _names(path, name):
                yield path
        looked += len(files) + len(folders)
        if looked > LOOKED_AT:
            return


def _names(path: Path, name: str) -> bool:
    try:
        text = read_file(path, LARGEST).decode()
    except (OSError, UnicodeDecodeError):
        return False
    return name in text and any(
        line.startswith(("experiment:", '"experiment"')) for line in text.splitlines()
    )
