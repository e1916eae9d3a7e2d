"""Bad input: each error says where, what is wrong, what was expected and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyscrai_statistics as st

ROWS = [{"arm": arm, "seed": seed, "score": seed} for arm in "ab" for seed in range(5)]
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "nan": (lambda: st.mean([1, math.nan]), "mean: value 1 is nan; expected finite numbers"),
    "huge": (lambda: st.mean([1, 10**400]), "value 1 is too large; expected finite numbers"),
    "all failed": (
        lambda: st.compare([*ROWS, {"arm": "c", "score": None}], outcome="score", arm="arm"),
        "arm c: none of its 1 units gave a value",
    ),
    "infinite": (lambda: st.median([1, math.inf]), "value 1 is inf"),
    "missing": (lambda: st.mean([1, None]), "value 1 is None, which is not a number"),
    "mean of categories": (lambda: st.mean(["a", "b"]), "value 0 is 'a'.*use the kind 'category'"),
    "too few": (lambda: st.mean([1]), "there are 1 values; expected at least 2; add replicates"),
    "none": (lambda: st.proportion([]), "there are 0 values"),
    "no list": (lambda: st.mean("123"), "'123' is not a list"),
    "level": (
        lambda: st.mean([1, 2], level=1.0),
        "mean, level: it is 1.0; expected a number between 0 and 1",
    ),
    "level in per cent": (lambda: st.median([1, 2], level=95), "median, level: it is 95"),
    "seed": (lambda: st.mean([1, 2], seed=-1), "seed: it is -1; expected a whole number from 0"),
    "resamples": (lambda: st.mean([1, 2], resamples=0), "resamples: it is 0"),
    "method": (lambda: st.mean([1, 2], method="BCa"), "method: it is 'BCa'; expected one of auto, bca"),
    "constant bca": (
        lambda: st.mean([2, 2, 2], method="bca"),
        "all 3 values are 2; expected different values",
    ),
    "unequal": (lambda: st.paired_difference([1, 2, 3], [1, 2]), "first list has 3 values, the second 2"),
    "same pairs": (lambda: st.sign_flip_test([1, 2], [1, 2]), "all 2 differences are 0"),
    "same values": (lambda: st.permutation_test([1, 1], [1, 1]), "all 4 values are equal"),
    "constant dz": (lambda: st.cohens_dz([2, 3, 4], [1, 2, 3]), "all differences are equal"),
    "direction": (lambda: st.sign_flip_test([1, 2], direction="up"), "direction: it is 'up'"),
    "smallest": (lambda: st.equivalence_test([1, 2], [1, 3], -1, paired=True), "smallest: it is -1"),
    "p-value": (lambda: st.holm([0.2, 1.2]), "holm: 1.2 is a p-value; expected numbers from 0 to 1"),
    "not binary": (lambda: st.mcnemar_test([0, 2], [0, 1]), "2 is a value; expected 0 and 1"),
    "counts": (lambda: st.wilson(3, 2), "3 of 2 succeeded"),
    "category": (
        lambda: st.cliffs_delta(list("ab"), list("ac"), order="ab"),
        "unknown categories: 'c'; expected only 'a', 'b'",
    ),
    "one category": (lambda: st.cramers_v(list("aa"), list("aa")), "all values are 'a'"),
    "column": (
        lambda: st.compare(ROWS, outcome="scor", arm="arm"),
        "no column 'scor'; expected one of arm, seed, score; did you mean 'score'",
    ),
    "arm": (
        lambda: st.compare(ROWS, outcome="score", arm="arm", reference="c"),
        "no arm 'c'; expected one of a, b",
    ),
    "one arm": (lambda: st.compare(ROWS[:5], outcome="score", arm="arm"), "there is one arm, 'a'"),
    "kind": (lambda: st.compare(ROWS, outcome="score", arm="arm", kind="ordinal"), "kind: it is 'ordinal'"),
    "no rows": (lambda: st.compare([], outcome="score", arm="arm"), "table: it has no rows"),
    "no table": (lambda: st.compare(3, outcome="score", arm="arm"), "it is of type int"),
    "ragged": (lambda: st.summarize({"a": [1], "b": []}, outcome="a"), r"unequal lengths \(a 1, b 0\)"),
    "no success": (
        lambda: st.summarize([{"x": "yes"}], outcome="x", kind="proportion"),
        "outcome is 'yes'.*name the value of success",
    ),
    "categories of one unit": (
        lambda: st.summarize(
            [{"x": "y", "run": 1}, {"x": "z", "run": 1}], outcome="x", unit="run", kind="category"
        ),
        "unit 1: it has 2 rows",
    ),
    "nan in a table": (
        lambda: st.summarize([{"x": 1.0}, {"x": math.nan}], outcome="x"),
        "data row 2: the outcome is nan; expected a finite number; set it to None",
    ),
    "a list as a name": (
        lambda: st.compare([{"a": "x", "y": 1, "s": [1]}], outcome="y", arm="a", pair="s"),
        r"table, unit s: value 0 is \[1\]; expected a text or a number",
    ),
    "missing pair": (
        lambda: st.compare([{"a": "x", "y": 1, "s": None}], outcome="y", arm="a", pair="s"),
        "value 0 is None",
    ),
    "suffix": (lambda: st.read_table("x.xls"), "suffix is '.xls'; expected .csv, .jsonl, .json or .parquet"),
    "no file": (lambda: st.read_table("nowhere.csv"), "nowhere.csv: it cannot be read"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told(name: str) -> None:
    call, message = CASES[name]
    with pytest.raises(st.StatisticsError, match=message) as caught:
        call()
    assert str(caught.value).count("; ") >= 2


def test_bad_files_are_told(tmp_path: Path) -> None:
    for name, text, message in (
        ("a.csv", "x,y\n1\n", "line 2 has 1 cells; expected 2"),
        ("b.csv", "x,x\n1,2\n", "a name is twice"),
        ("c.json", "{", "cannot be read"),
        ("d.jsonl", "3\n", "data row 1 is 3"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(st.StatisticsError, match=message):
            st.read_table(tmp_path / name)


def test_few_values_are_warned_of() -> None:
    assert "fewer than the 20" in st.mean([1, 2, 4, 3]).warnings[0]
    assert st.mean(range(20)).warnings == ()
    assert st.mean([3, 3]).interval is None
    assert "all 2 values are equal" in st.mean([3, 3]).warnings[0]


def test_pairs_that_are_equal_do_not_count_as_many() -> None:
    few = [0.0] * 30 + [1.0, 2.0, 3.0]
    (told,) = st.paired_difference(few, [0.0] * 33).warnings
    assert told.startswith("3 pairs that differ are fewer than the 12")
    assert st.paired_difference([float(n) for n in range(1, 34)], [0.0] * 33).warnings == ()
