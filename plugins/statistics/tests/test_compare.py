"""Tables, arms and contrasts; what a sentence says; and that equal seeds give equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyscrai_statistics as st


def table(effect: float = 1.0, pairs: int = 20) -> list[dict[str, Any]]:
    random = np.random.default_rng(3)
    rows = []
    for seed in range(pairs):
        base = float(random.normal(0, 2))
        for arm, shift in (("plain", 0.0), ("new", effect)):
            score = base + shift + float(random.normal(0, 0.5))
            rows.append(
                {"arm": arm, "seed": seed, "run": f"{arm}-{seed}", "score": score, "won": score > 0.5}
            )
    return rows


def test_a_supported_difference() -> None:
    found = st.compare(table(), outcome="score", arm="arm", pair="seed", direction="greater", smallest=0.5)
    (contrast,) = found.contrasts
    assert (contrast.first, contrast.second, contrast.n, contrast.verdict) == (
        "new",
        "plain",
        (20, 20),
        "supported",
    )
    assert contrast.difference.interval
    assert 1.0 in contrast.difference.interval
    assert contrast.variance_ratio
    assert contrast.variance_ratio.estimate
    assert contrast.variance_ratio.estimate < 0.2
    assert found.sentence.startswith("Supported: that new is greater than plain. The difference of means is ")
    assert "beyond the smallest difference of interest" in found.sentence
    # The same comparison without the pairs cannot see it.
    unpaired = st.compare(table(), outcome="score", arm="arm").contrasts[0]
    assert unpaired.verdict == "undecided"
    assert "does not follow that there is no difference" in unpaired.sentence


def test_what_is_not_supported() -> None:
    tiny = st.compare(table(0.02), outcome="score", arm="arm", pair="seed", smallest=1.0).contrasts[0]
    assert tiny.verdict == "not supported"
    assert tiny.equivalence
    assert tiny.equivalence.p_value < 0.05
    assert "does not follow that it is exactly zero" in tiny.sentence
    wrong = st.compare(table(-1), outcome="score", arm="arm", pair="seed", direction="greater").contrasts[0]
    assert wrong.verdict == "not supported"
    assert "other side of zero" in wrong.sentence
    small = st.compare(table(0.3), outcome="score", arm="arm", pair="seed", direction="greater", smallest=2)
    assert small.contrasts[0].verdict == "not supported"
    assert "does not follow" in st.compare(table(), outcome="score", arm="arm", pair="seed").sentence


def test_arms_are_corrected_as_a_family() -> None:
    rows = [*table(), *({**row, "arm": "other"} for row in table() if row["arm"] == "new")]
    found = st.compare(rows, outcome="score", arm="arm", pair="seed", reference="plain")
    assert [each.first for each in found.contrasts] == ["new", "other"]
    for each in found.contrasts:
        assert each.p_adjusted == pytest.approx(2 * each.test.p_value)
        assert "Holm's correction for 2 comparisons" in each.sentence


def test_every_kind_in_both_designs() -> None:
    answers = ["no", "perhaps", "yes"]
    rows = [{**row, "answer": answers[int(row["score"] > 0) + int(row["score"] > 1)]} for row in table()]
    expected = {
        ("proportion", True): ("McNemar", "adjusted Wald"),
        ("proportion", False): ("Fisher", "Agresti-Caffo"),
        ("ordered", True): ("sign", "Bonett-Price"),
        ("ordered", False): ("ordered", "Feng-Cliff"),
        ("category", True): ("categories", "bootstrap, corrected for bias"),
        ("category", False): ("categories", "bootstrap, corrected for bias"),
    }
    for (kind, paired), names in expected.items():
        found = st.compare(
            rows,
            outcome="won" if kind == "proportion" else "answer",
            arm="arm",
            pair="seed" if paired else None,
            kind=kind,
            order=answers if kind == "ordered" else None,
        )
        contrast = found.contrasts[0]
        assert contrast.difference.interval
        assert (contrast.test.name, contrast.difference.interval.method) == names
        assert set(found.arms["new"].proportions) == ({"success"} if kind == "proportion" else set(answers))
        json.dumps(found.to_dict(), allow_nan=False)


def test_numbers_that_are_proportions_are_told() -> None:
    found = st.compare(table(), outcome="won", arm="arm", pair="seed").contrasts[0]
    assert "the kind 'proportion'" in found.warnings[-1]
    assert not st.compare(table(), outcome="score", arm="arm", pair="seed").contrasts[0].warnings


def test_rows_of_one_unit_count_once() -> None:
    rows = table() + table()
    with_units = st.compare(rows, outcome="score", arm="arm", unit="run", pair="seed")
    assert with_units.contrasts[0].n == (20, 20)
    assert "several rows" in with_units.warnings[0]
    assert (
        with_units.contrasts[0].test
        == st.compare(table(), outcome="score", arm="arm", pair="seed").contrasts[0].test
    )
    assert st.summarize(rows, outcome="score", arm="arm", unit="run")["new"].n == 20


def test_failures_are_told() -> None:
    rows: list[dict[str, Any]] = [*table(), {"arm": "new", "seed": 99, "score": None}]
    found = st.summarize(rows, outcome="score", arm="arm", failures={"plain": 3})
    assert (found["new"].failures, found["plain"].failures, found["plain"].n) == (1, 3, 20)
    assert "3 units gave no value" in found["plain"].warnings[0]


def test_pairs_without_a_partner() -> None:
    with pytest.raises(st.StatisticsError, match=r"no partner \(seed: 0\).*incomplete='drop'"):
        st.compare(table()[1:], outcome="score", arm="arm", pair="seed")
    found = st.compare(table()[1:], outcome="score", arm="arm", pair="seed", incomplete="drop")
    assert found.contrasts[0].n == (19, 19)
    assert found.dropped == {"new": ("0",)}
    assert "left out" in found.warnings[0]


def test_identical_arms_are_undecided() -> None:
    rows = [{"arm": arm, "seed": seed, "score": 1} for arm in "ab" for seed in range(12)]
    for pair in ("seed", None):
        for kind in ("number", "proportion", "category", "ordered"):
            contrast = st.compare(rows, outcome="score", arm="arm", pair=pair, kind=kind).contrasts[0]
            assert (contrast.verdict, contrast.test.p_value) == ("undecided", 1.0)
            assert "identical in every value" in contrast.sentence


def test_equal_seeds_give_equal_bytes() -> None:
    def run(seed: int) -> str:
        return json.dumps(st.compare(table(), outcome="score", arm="arm", pair="seed", seed=seed).to_dict())

    assert run(1) == run(1) != run(2)


def test_tables_of_all_shapes(tmp_path: Path) -> None:
    rows = [{"arm": "a", "score": 1.5}, {"arm": "b", "score": 2}]
    frame = {"arm": ["a", "b"], "score": [1.5, 2]}

    class Frame:
        def to_dict(self, orient: str) -> dict[str, list[Any]]:
            assert orient == "list"
            return frame

    for each in (rows, frame, Frame()):
        assert st.summarize(each, outcome="score", arm="arm")["b"].mean.estimate == 2  # type: ignore[union-attr]
    (tmp_path / "t.csv").write_text("arm,score,code\na,1.5,007\nb,,7\n")
    assert st.read_table(tmp_path / "t.csv") == {
        "arm": ["a", "b"],
        "score": [1.5, None],
        "code": ["007", "7"],
    }
    (tmp_path / "t.json").write_text(json.dumps(rows))
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    for name in ("t.json", "t.jsonl"):
        assert st.read_table(tmp_path / name) == frame
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(frame), tmp_path / "t.parquet")
    assert st.read_table(tmp_path / "t.parquet") == frame


def test_a_constant_difference_has_no_interval_and_the_sentence_says_so() -> None:
    first = [3, 4, 5, 6, 4, 5, 3, 7, 8, 2, 4, 5]
    found = st.contrast(first, [value - 2 for value in first], paired=True, smallest=0.5)
    assert found.difference.interval is None
    assert "the values allow no interval" in found.sentence
    assert "reaches into" not in found.sentence
    assert found.variance_ratio is not None
    assert found.variance_ratio.estimate == 0


NARROW = [0.3, -0.1, 0.4, 0.2, 0.0, 0.5, -0.2, 0.35, 0.15, 0.1, 0.45, -0.05]


@pytest.mark.parametrize("level", [0.3, 0.8, 0.95, 0.999])
def test_verdicts_rest_on_tests_at_alpha_whatever_the_level(level: float) -> None:
    base = np.arange(12.0)
    options: dict[str, Any] = {"paired": True, "level": level}
    wide = [5 * each for each in NARROW]
    # Equivalence has p = 0.1: a narrow interval (at a low level) lies within the bounds, and shows nothing.
    unsure = st.contrast(base + wide, base, smallest=1.2, direction="two-sided", **options)
    assert unsure.equivalence
    assert unsure.equivalence.p_value > 0.05
    assert unsure.verdict != "not supported"
    sure = st.contrast(base + NARROW, base, smallest=1.2, **options)
    assert sure.equivalence
    assert f"p {'< 0.0001' if sure.equivalence.p_value < 1e-4 else '= '}"[:3] in sure.sentence
    assert (sure.verdict, "was shown to lie between" in sure.sentence) == ("not supported", True)
    strict = st.contrast(base + NARROW, base, smallest=1.2, alpha=1e-4, **options)
    assert strict.verdict == "undecided"
    against = st.contrast(base - np.array(NARROW), base, direction="greater", **options)
    assert against.contrary
    assert against.contrary.p_value < 0.05
    assert (against.verdict, "other side of zero" in against.sentence) == ("not supported", True)
    stricter = st.contrast(base - np.array(NARROW), base, direction="greater", alpha=1e-3, **options)
    assert stricter.verdict == "undecided"


def test_a_claim_against_which_a_test_rejects() -> None:
    base = np.arange(12.0)
    small = st.contrast(base + NARROW, base, paired=True, direction="greater", smallest=(-9, 0.5))
    assert small.contrary
    assert (
        small.contrary.p_value
        == st.sign_flip_test(base + NARROW - np.float64(0.5), base, direction="less").p_value
    )
    for kind, values in (("proportion", [0] * 11 + [1]), ("ordered", [1] * 11 + [2])):
        other = [max(values)] * 12
        for paired in (True, False):
            found = st.contrast(values, other, paired=paired, kind=kind, direction="greater")
            assert found.contrary
            assert found.contrary.p_value < 0.01
            assert found.verdict == "not supported"


def test_what_only_rounding_makes_different_is_constant() -> None:
    base = [1000.1, 2000.7, 3000.3, 1234.9, 4321.1, 999.9]
    found = st.contrast([each - 0.0004 for each in base], base, paired=True)
    assert found.difference.interval is None
    assert "d_z" not in found.effects
    assert any("equal" in each for each in found.warnings)
    assert found.effects["d_av"].interval is None


def test_sizes_by_the_spread_of_pairs_and_of_arms() -> None:
    one, other = [3.0, 5.0, 4.0, 8.0, 6.0], [2.0, 3.0, 4.0, 6.0, 4.5]
    effects = st.contrast(one, other, paired=True).effects
    unit = ((np.var(one, ddof=1) + np.var(other, ddof=1)) / 2) ** 0.5
    assert effects["d_av"].estimate == pytest.approx((5.2 - 3.9) / unit)
    differences = np.subtract(one, other)
    assert effects["d_z"].estimate == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert list(st.contrast(one, other, paired=False).effects) == ["hedges_g"]
    # Both intervals come from one noncentral t, so that they are the same in units of their estimates.
    z, av = (effects[name].interval for name in ("d_z", "d_av"))
    assert z
    assert av
    ratio = effects["d_av"].estimate / effects["d_z"].estimate  # type: ignore[operator]
    assert (av.low, av.high) == pytest.approx((z.low * ratio, z.high * ratio))
