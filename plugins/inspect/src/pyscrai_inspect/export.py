"""The exporter `inspect`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile

import orjson
from attrs import field, frozen, validators

from pyscrai_core import Exporter, StoredRun
from pyscrai_records.base.atomic_files import replace_files
from pyscrai_tabular.rows import scenario_of

from .convert import moment
from .sample import model_of, model_usage, sample, scores, summary

#: The version of Inspect's log format.
VERSION = 2
_STATUS = {"completed": "success", "running": "started", "paused": "started", "interrupted": "cancelled"}


class Inspect(Exporter):
    """Writes logs of Inspect, `NAME.eval`: one for each scenario and arm, in which each run is a sample."""

    @frozen
    class Config:
        """
        messages
            how many of the last messages of each request the log has; each request repeats the history
        arm
            the label whose texts tell apart runs of one scenario: each has a log of its own
        """

        messages: int = field(default=20, validator=validators.ge(0))
        arm: str = "arm"

    def export(self, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
        logs: dict[tuple[str, str], list[StoredRun]] = {}
        for run in runs:
            logs.setdefault((run.scenario, run.labels.get(self.config.arm, "")), []).append(run)
        paths: list[Path] = []
        for scenario, arm in logs:
            paths.append(_path(destination, "-".join(filter(None, (scenario, arm))), paths))
        with replace_files(paths) as files:
            for file, (about, found) in zip(files, logs.items(), strict=True):
                self._write(file, about, found)
        return paths

    def _write(self, file: BinaryIO, about: tuple[str, str], runs: Sequence[StoredRun]) -> None:
        header = _header(*about, runs)
        summaries = [summary(run) for run in runs]
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            start = {key: header[key] for key in ("version", "eval", "plan")}
            archive.writestr("_journal/start.json", orjson.dumps(start))
            for run in runs:
                with archive.open(f"samples/{run.id}_epoch_1.json", "w", force_zip64=True) as member:
                    for piece in sample(run, self.config.messages):
                        member.write(piece)
            archive.writestr("_journal/summaries/1.json", orjson.dumps(summaries))
            archive.writestr("summaries.json", orjson.dumps(summaries))
            archive.writestr("header.json", orjson.dumps(header))


def _path(folder: Path, name: str, taken: Sequence[Path]) -> Path:
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "log"
    number, path = 1, folder / f"{plain}.eval"
    while path in taken:
        number += 1
        path = folder / f"{plain}-{number}.eval"
    return path


def _header(scenario: str, arm: str, runs: Sequence[StoredRun]) -> dict[str, Any]:
    """The log without its samples (`EvalLog` in inspect_ai.log)."""
    first, manifest = runs[0], runs[0].manifest
    statuses = {_STATUS.get(run.status, "error") for run in runs}
    status = next((one for one in ("started", "error", "cancelled") if one in statuses), "success")
    ended = [run.ended for run in runs if run.ended is not None]
    started = min(run.created for run in runs)
    task = f"{scenario} ({arm})" if arm else scenario
    described = {"task_description": text} if (text := scenario_of(first).get("description")) else {}
    return {
        "version": VERSION,
        "status": status,
        "eval": {
            "eval_id": first.id,
            "run_id": first.id,
            "created": moment(started),
            "task": task,
            "task_id": first.id,
            "task_display_name": task,
            **described,
            "solver": "pyscrai",
            "tags": ["pyscrai"],
            "dataset": {"name": scenario, "samples": len(runs), "sample_ids": [run.id for run in runs]},
            "model": model_of(first),
            "config": {"epochs": 1},
            "packages": _packages(manifest),
            "metadata": {"scenario": scenario, "arm": arm},
        },
        "plan": {"name": "plan", "steps": [{"solver": "pyscrai", "params": {}}]},
        "results": {
            "total_samples": len(runs),
            "completed_samples": sum(run.status == "completed" for run in runs),
            "scores": _means(runs),
        },
        "stats": {
            "started_at": moment(started),
            "completed_at": moment(max(ended)) if ended else "",
            "model_usage": _total(runs),
        },
    }


def _packages(manifest: Mapping[str, Any]) -> dict[str, str]:
    kernel = {"pyscrai-core": str(manifest["kernel"])} if "kernel" in manifest else {}
    return kernel | {one["distribution"]: str(one["version"]) for one in manifest.get("plugins", ())}


def _means(runs: Sequence[StoredRun]) -> list[dict[str, Any]]:
    """The mean of each outcome over the runs that have a number for it."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for name, score in scores(run).items():
            if isinstance(score["value"], (int, float)):
                values.setdefault(name, []).append(float(score["value"]))
    return [
        {
            "name": name,
            "scorer": name,
            "scored_samples": len(found),
            "unscored_samples": len(runs) - len(found),
            "metrics": {"mean": {"name": "mean", "value": sum(found) / len(found)}},
        }
        for name, found in values.items()
    ]


def _total(runs: Sequence[StoredRun]) -> dict[str, dict[str, float]]:
    """The tokens of all runs by model."""
    total: dict[str, dict[str, float]] = {}
    for run in runs:
        for name, used in model_usage(run).items():
            known = total.setdefault(name, dict.fromkeys(used, 0))
            for key, number in used.items():
                known[key] += number
    return total
