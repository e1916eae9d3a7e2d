"""Reads the logs of Inspect (https://inspect.aisi.org.uk), without Inspect."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .results import StatisticsError
from .tables import Columns, columns, optional_module

#: What Inspect's `value_to_float` makes of its letters and of words: correct, incorrect, partial, no answer.
LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def read_inspect(path: str | Path) -> Columns:
    """A table of Inspect's logs: a row per log, sample, epoch and scorer.

    Columns: `log` (the file's name), `task`, `model`, `status` (of the log), `sample`, `item` (task and
    sample: it pairs models if there are several tasks), `epoch`, `scorer`, `value` (as logged), `score` (as a
    number), `error`, `input_tokens`, `output_tokens`, `total_tokens`.

    `score` is what Inspect's `value_to_float` gives: C (correct) is 1, I (incorrect) 0, P (partial) 0.5, N
    (no answer) 0; yes and true are 1, no and false 0; texts of digits are numbers. Other texts and lists have
    no number: None (Inspect counts them as 0). A value that is a mapping gives a row per key, with the scorer
    `scorer.key`. A sample without scores, such as one that failed, gives one row without scorer and score.

    Args:
        path: a file (`.eval` or `.json`), or a folder, in which such files are read in the order of their
            names, with those of its folders.

    Raises:
        StatisticsError: no such file, none in the folder, one that is not a log of Inspect, and a compressed
            file for which the extra `inspect` is needed.
    """
    source = Path(path)
    if source.is_dir():
        files = sorted(each for each in source.rglob("*") if each.suffix in (".eval", ".json"))
    else:
        files = [source]
    if not files:
        raise StatisticsError(
            "read_inspect", f"{source} has no logs", ".eval or .json files", "check the folder"
        )
    return columns([row for each in files for row in _rows(each)])


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    where = f"read_inspect, {file.name}"
    try:
        header, samples = _from_archive(file) if file.suffix == ".eval" else _from_json(file)
        about = header["eval"]
        base = {
            "log": file.name,
            "task": about["task"],
            "model": about["model"],
            "status": header.get("status"),
        }
        for sample in samples:
            yield from _rows_of_sample(base, sample)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, StatisticsError):
            raise
        raise StatisticsError(
            where,
            f"it cannot be read ({type(error).__name__}: {error})",
            "a log of Inspect",
            "check the file",
        ) from error


def _from_json(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    log = json.loads(file.read_text(encoding="utf-8"))
    return log, log.get("samples") or []


def _from_archive(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header and the samples of an `.eval` file; of one that is still being written, what is there."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        header = json.loads(
            _member(archive, "header.json" if "header.json" in names else "_journal/start.json")
        )
        if "summaries.json" in names:
            return header, json.loads(_member(archive, "summaries.json"))
        parts = [name for name in names if name.startswith("_journal/summaries/")]
        if parts:
            parts.sort(key=lambda name: int(Path(name).stem))
            return header, [one for name in parts for one in json.loads(_member(archive, name))]
        found = [name for name in names if name.startswith("samples/")]
        return header, [json.loads(_member(archive, name)) for name in found]


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes. Inspect compresses with Zstandard, which Python's zipfile reads from 3.14 on."""
    try:
        return archive.read(name)
    except NotImplementedError:
        pass
    about = archive.getinfo(name)
    if about.compress_type != 93:
        raise ValueError(f"{name} has the unknown compression {about.compress_type}")
    zstandard = optional_module("zstandard", "inspect")
    assert archive.fp is not None
    archive.fp.seek(about.header_offset)
    start = archive.fp.read(30)  # the fixed part of a local header; two lengths are at its end
    archive.fp.seek(int.from_bytes(start[26:28], "little") + int.from_bytes(start[28:30], "little"), 1)
    packed = io.BytesIO(archive.fp.read(about.compress_size))
    reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    content: bytes = reader.read()
    return content


def _rows_of_sample(base: Mapping[str, Any], sample: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    usage = (sample.get("model_usage") or {}).values()
    error = sample.get("error")
    tail = {
        "error": error.get("message") if isinstance(error, Mapping) else error,
        **{
            name: sum(each.get(name) or 0 for each in usage) if usage else None
            for name in ("input_tokens", "output_tokens", "total_tokens")
        },
    }
    name = sample["id"]
    head = {**base, "sample": name, "item": f"{base['task']}/{name}", "epoch": sample.get("epoch", 1)}
    scored: list[tuple[str | None, Any]] = []
    for scorer, score in (sample.get("scores") or {}).items():
        value = score["value"]
        if isinstance(value, Mapping):
            scored.extend((f"{scorer}.{key}", one) for key, one in value.items())
        else:
            scored.append((scorer, value))
    for scorer_name, value in scored or [(None, None)]:
        yield {**head, "scorer": scorer_name, "value": value, "score": score_number(value), **tail}


def score_number(value: Any) -> float | None:
    """A score's value as a number, or None: see `read_inspect`."""
    if isinstance(value, str):
        if value in LETTERS:
            return LETTERS[value]
        if value.lower() in WORDS:
            return WORDS[value.lower()]
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None
