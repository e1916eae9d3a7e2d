"""Results against scipy, published examples and hand calculations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import pyscrai_statistics as st

RANDOM = np.random.default_rng(5)
#: Darwin's maize: heights of crossed minus self-fertilized plants, in eighths of an inch (Fisher 1935).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def test_thousands_of_pairs_are_no_problem() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(0.1, 1, 3000), random.normal(0, 1, 3000)
    found = st.contrast(first.tolist(), second.tolist(), paired=True, smallest=0.5)
    assert found.difference.interval is not None
    assert found.difference.interval.method == "Student t"
    unpaired = st.unpaired_difference(first.tolist(), second.tolist())
    assert unpaired.interval is not None
    assert unpaired.interval.low < 0.1 < unpaired.interval.high


def test_darwins_plants_have_fishers_p_value() -> None:
    """Fisher (1935, section 21) counted 1726 of 32768 sums that are at least as large in size."""
    found = st.sign_flip_test(DARWIN)
    assert found.p_value == 1726 / 32768
    assert st.sign_flip_test(DARWIN, direction="greater").p_value == 863 / 32768
    low, high = (st.sign_flip_test(DARWIN, direction=each).p_value for each in ("greater", "less"))
    assert low + high > 1  # the observed sum counts in both


def test_sign_flips_agree_with_scipy() -> None:
    for size in (5, 12):
        values = RANDOM.integers(-3, 4, size).astype(float)
        for direction in ("two-sided", "greater", "less"):
            expected = stats.permutation_test(
                (values,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative=direction
            )
            assert st.sign_flip_test(values, direction=direction).p_value == pytest.approx(expected.pvalue)


def test_drawn_assignments_come_close_to_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = RANDOM.normal(0.4, 1, 15), RANDOM.normal(0, 1, 15)
    exact = st.sign_flip_test(one, other), st.permutation_test(one[:8], other[:8])
    monkeypatch.setattr("pyscrai_statistics.permutation.EXACT", 1)
    monkeypatch.setattr("pyscrai_statistics.permutation.LISTED", 1)
    drawn = st.sign_flip_test(one, other), st.permutation_test(one[:8], other[:8])
    for few, many in zip(drawn, exact, strict=True):
        assert "random" in few.method
        assert "all" in many.method
        assert abs(few.p_value - many.p_value) < 0.03


def test_unpaired_permutations_agree_with_scipy() -> None:
    def welch(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        found: np.ndarray = stats.ttest_ind(one, other, axis=axis, equal_var=False).statistic
        return found

    one, other = RANDOM.normal(size=7), RANDOM.normal(0.5, 2, 7)
    for direction in ("two-sided", "greater", "less"):
        expected = stats.permutation_test(
            (one, other), welch, n_resamples=np.inf, alternative=direction, vectorized=True
        )
        found = st.permutation_test(one, other, direction=direction)
        assert found.p_value == pytest.approx(expected.pvalue)
        assert found.statistic == pytest.approx(welch(one, other, 0))


def test_mid_p_counts_the_observed_outcome_half() -> None:
    # Of the 8 sums of +-1 +-1 +-1, one is 3 and one -3.
    found = st.sign_flip_test([1, 1, 1])
    assert (found.p_value, found.p_mid) == (2 / 8, 1 / 8)
    assert st.sign_flip_test([1, 1, -1]).p_mid == (2 + 6 / 2) / 8


def test_exact_tests_of_proportions_agree_with_scipy() -> None:
    one, other = RANDOM.random(24) < 0.7, RANDOM.random(24) < 0.4
    up, down = int((one & ~other).sum()), int((~one & other).sum())
    assert st.mcnemar_test(one, other).p_value == pytest.approx(stats.binomtest(up, up + down).pvalue)
    table = [[one.sum(), (~one).sum()], [other.sum(), (~other).sum()]]
    for direction in ("two-sided", "greater", "less"):  # of equal sizes, both orders of outcomes agree
        expected = stats.fisher_exact(table, alternative=direction).pvalue
        assert st.fisher_test(one, other, direction=direction).p_value == pytest.approx(expected)


def test_corrections_of_a_published_example() -> None:
    """Benjamini & Hochberg (1995, section 3.2): 15 p-values; at 0.05, theirs rejects 4, Bonferroni's 3."""
    values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    values += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    adjusted = st.benjamini_hochberg(values)
    assert sum(p <= 0.05 for p in adjusted) == 4
    assert adjusted == pytest.approx(stats.false_discovery_control(values))
    assert sum(p <= 0.05 for p in st.holm(values)) == 3
    # By hand: 3 * 0.01, 2 * 0.02 and the maximum of what came before.
    assert st.holm({"a": 0.01, "b": 0.03, "c": 0.02}) == pytest.approx({"a": 0.03, "b": 0.04, "c": 0.04})


def test_intervals_agree_with_scipy() -> None:
    values = RANDOM.exponential(size=25)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    found = st.mean(values, method="t").interval
    assert found
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    for method in ("bca", "percentile"):
        # Expanded levels are wider than scipy's, which match the plain levels of a larger sample.
        many = RANDOM.exponential(size=400)
        theirs = stats.bootstrap((many,), np.mean, method=method).confidence_interval
        ours = st.mean(many, method=method).interval
        assert ours
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    share = stats.binomtest(3, 20).proportion_ci(method="wilson")
    wilson = st.wilson(3, 20).interval
    assert wilson
    assert (wilson.low, wilson.high) == pytest.approx((share.low, share.high))
    one, other = RANDOM.normal(size=12), RANDOM.normal(1, 3, 30)
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    difference = st.unpaired_difference(one, other).interval
    assert difference
    assert difference.method == "Welch t"
    assert (difference.low, difference.high) == pytest.approx((welch.low, welch.high))


def test_a_median_interval_between_order_statistics() -> None:
    # Of 10 values: 2nd to 9th cover 97.85 %, 3rd to 8th 89.06 %; the ends for 95 % lie between them.
    found = st.median(range(1, 11))
    assert found.estimate == 5.5
    assert found.interval
    assert 2 < found.interval.low < 3
    assert found.interval.low + found.interval.high == pytest.approx(11)
    assert st.median([1, 2, 3, 4, 5]).interval is None


def test_the_interval_belongs_to_the_test() -> None:
    """The interval of the paired difference holds exactly the shifts that the test does not reject."""
    values = RANDOM.normal(size=11)
    interval = st.paired_difference(values, np.zeros(11), resamples=99_999).interval
    assert interval
    assert interval.method == "inverted sign-flip test"
    for bound in (interval.low, interval.high):
        assert st.sign_flip_test(values - bound).p_mid == pytest.approx(0.05, abs=0.006)


def test_an_interval_of_too_few_values_is_students() -> None:
    """Of 5 pairs, no assignment is rare enough for 95 %; of 6, two of 64 are."""
    methods = [st.paired_difference(RANDOM.normal(size=n), np.zeros(n)).interval for n in (5, 6)]
    assert [each and each.method for each in methods] == ["Student t", "inverted sign-flip test"]
    few = st.unpaired_difference([1, 2, 5], [3, 4, 7]).interval
    assert few
    assert few.method == "Welch t"


def test_effect_sizes_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, standard deviation 1.
    found = st.cohens_dz([2, 4, 6], [1, 2, 3])
    assert found.estimate == 2
    assert found.interval
    for bound, tail in ((found.interval.low, 0.975), (found.interval.high, 0.025)):
        assert stats.nct.cdf(2 * math.sqrt(3), 2, bound * math.sqrt(3)) == pytest.approx(tail, abs=1e-4)
    # Means 2 and 4, pooled standard deviation 1, correction 1 - 3 / (4 * 4 - 1) to a first approximation.
    g = st.hedges_g([1, 2, 3], [3, 4, 5])
    assert g.estimate == pytest.approx(-2 * 0.7979, abs=1e-4)
    assert g.interval
    assert g.interval.low < -1.6 < g.interval.high


def test_cliffs_delta_by_hand() -> None:
    # Of 9 pairs, the first is greater in 1, smaller in 6, and equal in 2.
    assert st.cliffs_delta([1, 2, 3], [2, 3, 4]).estimate == pytest.approx(-5 / 9)
    words = st.cliffs_delta(["lo", "mid", "hi"], ["mid", "hi", "hi"], order=["lo", "mid", "hi"])
    assert words.estimate == pytest.approx((0 - 3 + 0 - 2 + 1 + 0) / 9)
    one, other = RANDOM.integers(0, 5, 14), RANDOM.integers(0, 5, 9)
    expected = 2 * stats.mannwhitneyu(one, other).statistic / (14 * 9) - 1
    assert st.cliffs_delta(one, other).estimate == pytest.approx(expected)


def test_categories_agree_with_scipy() -> None:
    one, other = list("aaaaaaaabbbc"), list("abbbbcccccc")
    table = [[list(sample).count(name) for name in "abc"] for sample in (one, other)]
    found = st.cramers_v(one, other)
    assert found.details["chi_squared"] == pytest.approx(stats.chi2_contingency(table).statistic)
    assert found.details["uncorrected"] == pytest.approx(stats.contingency.association(table))
    # Of 5 values in each sample, all assignments can be listed.
    few, others = np.array([0, 0, 0, 1, 2]), np.array([1, 2, 2, 2, 2])
    expected = stats.permutation_test(
        (few, others),
        lambda a, b: stats.chi2_contingency([np.bincount(each, minlength=3) for each in (a, b)]).statistic,
        vectorized=False,
        alternative="greater",
    )
    assert st.categories_test(few, others).p_value == pytest.approx(expected.pvalue, abs=0.02)
    # Only 2 of 2**4 exchanges within the pairs are as extreme as these.
    paired = st.categories_test(list("aaaa"), list("bbbb"), paired=True)
    assert paired.p_value == pytest.approx(2 / 16, abs=0.02)


def test_the_variance_ratio_is_what_the_variances_say() -> None:
    base = RANDOM.normal(size=60)
    one, other = base + 0.3 * RANDOM.normal(size=60), base + 0.3 * RANDOM.normal(size=60)
    found = st.variance_ratio(one, other)
    expected = np.var(one - other) / (np.var(one) + np.var(other))
    assert found.estimate == pytest.approx(expected)
    assert found.interval
    assert found.interval.low < 0.09 / 1.09 < found.interval.high < 0.2


def test_equivalence_by_two_one_sided_tests() -> None:
    one, other = RANDOM.normal(0, 1, 30), RANDOM.normal(0, 1, 30)
    for paired in (True, False):
        found = st.equivalence_test(one, other, 1.0, paired=paired)
        sides = [
            (stats.ttest_rel if paired else stats.ttest_ind)(one + shift, other, alternative=way).pvalue
            for shift, way in ((1.0, "greater"), (-1.0, "less"))
        ]
        assert found.p_value == pytest.approx(max(sides), abs=0.01)
    assert st.equivalence_test(one, other, 0.01, paired=True).p_value > 0.3
