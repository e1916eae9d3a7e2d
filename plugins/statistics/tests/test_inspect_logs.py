"""Logs of Inspect. `data/capitals.eval` was written by inspect-ai 0.3.285 with its provider `mockllm`."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import pyscrai_statistics as st
from pyscrai_statistics.inspect_logs import _member, score_number

LOG = Path(__file__).parent / "data" / "capitals.eval"


def without_zstandard(folder: Path, *, summaries: bool) -> Path:
    """The log as older versions of Inspect write it: compressed with deflate, and without summaries."""
    path = folder / "old.eval"
    with zipfile.ZipFile(LOG) as log, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as old:
        for name in log.namelist():
            if summaries or "summaries" not in name:
                old.writestr(name, _member(log, name))
    return path


def test_a_row_per_sample_epoch_and_scorer() -> None:
    pytest.importorskip("zstandard")
    table = st.read_inspect(LOG)
    rows = [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]
    assert len(rows) == 3 * 3 + 1  # two scorers, one of which gives two numbers; and a sample that failed
    assert rows[0] == {
        "log": "capitals.eval",
        "task": "capitals",
        "model": "mockllm/model",
        "status": "success",
        "sample": "s1",
        "item": "capitals/s1",
        "epoch": 1,
        "scorer": "match",
        "value": "C",
        "score": 1.0,
        "error": None,
        "input_tokens": 11,
        "output_tokens": 3,
        "total_tokens": 14,
    }
    by_scorer = {(row["sample"], row["epoch"], row["scorer"]): row["score"] for row in rows}
    assert by_scorer["s1", 2, "match"] == 0.0  # "Rome"
    assert by_scorer["s1", 1, "parts.length"] == 5.0
    assert by_scorer["s1", 1, "parts.polite"] == 1.0
    failed = rows[-1]
    assert (failed["scorer"], failed["score"], failed["error"]) == (None, None, "RuntimeError('boom')")


def test_old_logs_and_json_logs_give_the_same(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    expected = {**st.read_inspect(LOG), "log": ["old.eval"] * 10}
    for summaries in (True, False):
        assert st.read_inspect(without_zstandard(tmp_path, summaries=summaries)) == expected
    with zipfile.ZipFile(LOG) as log:
        header = json.loads(_member(log, "header.json"))
        names = [name for name in log.namelist() if name.startswith("samples/")]
        header["samples"] = [json.loads(_member(log, name)) for name in names]
    (tmp_path / "old.eval").unlink()
    (tmp_path / "new.json").write_text(json.dumps(header))
    with pytest.raises(
        st.StatisticsError, match="it is a log of Inspect; expected a table; use read_inspect"
    ):
        st.read_table(tmp_path / "new.json")
    assert st.read_inspect(tmp_path / "new.json") == {**expected, "log": ["new.json"] * 10}
    assert st.read_inspect(tmp_path) == st.read_inspect(tmp_path / "new.json")


def test_scores_as_numbers() -> None:
    values = ["C", "I", "P", "N", True, 3, "0.25", "yes", "No", "maybe", [1], float("nan"), None]
    expected = [1.0, 0.0, 0.5, 0.0, 1.0, 3.0, 0.25, 1.0, 0.0, None, None, None, None]
    assert [score_number(value) for value in values] == expected


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python reads Zstandard itself")
def test_what_cannot_be_decompressed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(
        st.StatisticsError, match=r"zstandard: it is not installed; .*pyscrai-statistics\[inspect\]"
    ):
        st.read_inspect(LOG)


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(st.StatisticsError, match="has no logs"):
        st.read_inspect(tmp_path)
    contents: dict[str, Any] = {"a.json": "[]", "b.json": '{"eval": {}}', "c.eval": "no zip", "d.json": "{"}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(st.StatisticsError, match=f"read_inspect, {name}: it cannot be read"):
            st.read_inspect(tmp_path / name)


def test_models_are_compared_from_their_logs(tmp_path: Path) -> None:
    """What Inspect's users asked for: a paired comparison of two models on the same samples."""
    for model, letters in (("old", "CIICIICICIII"), ("new", "CCICCCCICCIC")):
        samples = [
            {"id": number, "epoch": 1, "scores": {"match": {"value": letter}}}
            for number, letter in enumerate(letters)
        ]
        log = {"status": "success", "eval": {"task": "t", "model": model}, "samples": samples}
        (tmp_path / f"{model}.json").write_text(json.dumps(log))
    found = st.compare(
        st.read_inspect(tmp_path),
        outcome="score",
        arm="model",
        pair="sample",
        reference="old",
        kind="proportion",
    )
    assert found.contrasts[0].difference.estimate == pytest.approx(5 / 12)
