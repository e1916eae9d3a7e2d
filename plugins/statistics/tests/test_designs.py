"""Spread, agreement, references, factors, power and sequences: known results, and what is refused."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyscrai_statistics as st

RANDOM = np.random.default_rng(11)
#: Krippendorff (2011), part C: four observers, twelve units, five values.
RATINGS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def test_krippendorffs_example() -> None:
    published = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849, "ratio": 0.797}
    for metric, alpha in published.items():
        found = st.krippendorff_alpha(RATINGS, metric=metric)
        assert found.estimate == pytest.approx(alpha, abs=0.0005)
        assert found.interval
        assert alpha in found.interval
    # Krippendorff (2011), part A: two observers, ten units, two values.
    two = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
    assert st.krippendorff_alpha(two).estimate == pytest.approx(0.095, abs=0.0005)


def test_ratings_from_a_tidy_table() -> None:
    rows = [
        {"unit": unit, "rater": rater, "value": value}
        for rater, row in enumerate(RATINGS)
        for unit, value in enumerate(row)
        if value is not None
    ]
    ratings = st.ratings_of(rows, unit="unit", rater="rater", value="value")
    assert st.krippendorff_alpha(ratings).estimate == st.krippendorff_alpha(RATINGS).estimate


def test_variance_components_by_hand() -> None:
    # Means 2, 4, 9 of two values each; mean squares: within 2 (3 degrees of freedom), between 26.
    found = st.variance_components([1, 3, 3, 5, 8, 10], ["a", "a", "b", "b", "c", "c"])
    assert found.within_agents.estimate == pytest.approx(2)
    assert found.between_agents.estimate == pytest.approx((26 - 2) / 2)
    assert found.between_runs is None
    # Two runs with the same agents' names: agents are nested in runs.
    nested = st.variance_components([1, 3, 3, 5, 11, 13, 13, 15], list("aabbaabb"), [0, 0, 0, 0, 1, 1, 1, 1])
    assert nested.between_agents.estimate == pytest.approx(2 - 2 / 2)
    assert nested.between_runs
    assert nested.between_runs.estimate == pytest.approx(50 - 2 / 2)


def test_entropy_by_hand() -> None:
    found = st.entropy(list("aabb") * 10)
    # One bit, and (2 - 1) / (2 * 40) nats of Miller and Madow.
    assert found.estimate == pytest.approx(1 + 1 / 80 / math.log(2))
    bounded = st.entropy(list("aabb") * 10, categories=["a", "b"])
    assert bounded.interval
    assert bounded.interval.high == bounded.estimate == 1.0
    assert st.entropy(["a", "a"]).interval is None


def test_an_entropy_is_within_what_is_possible() -> None:
    runs = [run for run in range(10) for _ in range(4)]
    for known, most in ((["a", "b"], 1.0), (None, math.inf)):
        found = st.entropy(["a", "b"] * 20, runs=runs, categories=known)
        assert found.interval
        # All runs have the same shares, so that they differ by nothing; what remains is of second order.
        assert 0.5 < found.interval.low < found.estimate <= found.interval.high <= most


def test_habits_of_answering() -> None:
    found = st.first_option_share(["A", "A", "B", "A"], ["A", "B", "B", "A"])
    assert (found.estimate, found.n) == (0.75, 4)
    by_agent = st.first_option_share(["A", "A", "A", "B"], "A", agents=[1, 1, 1, 2])
    assert (by_agent.estimate, by_agent.n) == (0.5, 2)
    assert st.straight_lining_share([[3, 3, 3], [1, 2, 3], [2, 2, 2]]).estimate == pytest.approx(2 / 3)


def test_a_reference_by_hand() -> None:
    values = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    found = st.compare_to_reference(values, {"a": 50, "b": 30, "c": 20}, order=["a", "b", "c"])
    assert found.test.statistic == pytest.approx(100 / 50 + 0 + 100 / 20)
    assert found.total_variation.details["uncorrected"] == pytest.approx(0.1)
    assert found.wasserstein
    assert found.wasserstein.details["uncorrected"] == pytest.approx(0.1 + 0.1)
    assert found.test.p_value == pytest.approx(
        math.exp(-7 / 2), abs=0.01
    )  # chi-squared with 2 degrees of freedom
    same = st.compare_to_reference(["a", "b"] * 50, {"a": 1, "b": 1})
    assert same.jensen_shannon.interval
    assert same.jensen_shannon.interval.low == 0.0
    assert same.wasserstein is None


def test_effects_of_a_grid_by_hand() -> None:
    cells = {("a", 0): 1.0, ("a", 1): 2.0, ("b", 0): 3.0, ("b", 1): 6.0}
    rows = [{"f": f, "g": g, "y": y + e} for (f, g), y in cells.items() for e in (-0.5, 0.5)]
    found = st.factor_effects(rows, outcome="y", factors=["f", "g"])
    values = {each.name: each.estimate for each in (*found.main, *found.interactions)}
    assert values == pytest.approx({"f: b - a": 3.0, "g: 1 - 0": 2.0, "(f: b - a) x (g: 1 - 0)": 2.0})
    as_levels = st.factor_effects(rows, outcome="y", factors=["f", "g"], categorical=["g"])
    assert as_levels.main[1].estimate == pytest.approx(2.0)


def test_effects_of_a_space_filling_design() -> None:
    x, z = RANDOM.random((2, 60))
    table = {"x": (10 * x).tolist(), "z": z.tolist(), "block": list("ab") * 30, "y": (3 * x + z).tolist()}
    found = st.factor_effects(table, outcome="y", factors=["x", "z"], block="block")
    span = x.max() - x.min()
    assert found.main[0].estimate == pytest.approx(3 * span)
    assert [each.details["factor"] for each in found.main] == ["x", "z"]


def test_sobol_and_morris_of_a_known_function() -> None:
    pytest.importorskip("SALib")
    bounds = {"x": (0.0, 1.0), "z": (0.0, 1.0), "idle": (0.0, 1.0)}
    design = st.sobol_design(bounds, n=256, seed=3)
    found = st.sobol_indices(bounds, [2 * row["x"] + row["z"] for row in design])
    for name, share in (("x", 0.8), ("z", 0.2), ("idle", 0.0)):  # 4 : 1 : 0
        assert found.first[name].estimate == pytest.approx(share, abs=0.05)
        assert found.total[name].estimate == pytest.approx(share, abs=0.05)
    steps = st.morris_design(bounds, n=8, seed=3)
    effects = st.morris_indices(bounds, steps, [2 * row["x"] - row["z"] for row in steps])
    assert {name: each.estimate for name, each in effects.importance.items()} == pytest.approx(
        {"x": 2.0, "z": 1.0, "idle": 0.0}
    )
    assert effects.mean["z"] == pytest.approx(-1.0)


def test_with_one_run_of_each_point_indices_are_those_of_salib() -> None:
    sobol, morris = (pytest.importorskip(f"SALib.analyze.{name}") for name in ("sobol", "morris"))
    bounds = {"x": (0.0, 2.0), "z": (-1.0, 1.0)}
    problem = {"num_vars": 2, "names": list(bounds), "bounds": [list(each) for each in bounds.values()]}
    design = st.sobol_design(bounds, n=64, seed=3)
    values = np.array([row["x"] ** 2 + row["x"] * row["z"] for row in design])
    theirs = sobol.analyze(problem, values, calc_second_order=False)
    ours = st.sobol_indices(bounds, values)
    assert [each.estimate for each in ours.first.values()] == pytest.approx(theirs["S1"].tolist())
    assert [each.estimate for each in ours.total.values()] == pytest.approx(theirs["ST"].tolist())
    halves = [each.interval.high - each.estimate for each in ours.total.values()]  # type: ignore[union-attr,operator]
    assert halves == pytest.approx(theirs["ST_conf"].tolist(), rel=0.35)
    assert (ours.replicates, ours.noise) == (1, None)
    assert "part of the total indices" in ours.warnings[0]
    steps = st.morris_design(bounds, n=12, seed=3)
    values = np.array([row["x"] ** 2 + row["x"] * row["z"] for row in steps])
    theirs = morris.analyze(problem, np.array([list(row.values()) for row in steps]), values, num_levels=4)
    ours_of_morris = st.morris_indices(bounds, steps, values)
    assert [each.estimate for each in ours_of_morris.importance.values()] == pytest.approx(
        theirs["mu_star"].tolist()
    )
    assert list(ours_of_morris.sd.values()) == pytest.approx(theirs["sigma"].tolist())
    assert "part of importance and sd" in ours_of_morris.warnings[0]


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_noise_of_runs_is_no_effect(shared: float) -> None:
    """Noise of the size of the effects; a part of it may be common to all points of a replicate."""
    pytest.importorskip("SALib")
    bounds = {"x": (0.0, 1.0), "z": (0.0, 1.0), "idle": (0.0, 1.0)}
    random = np.random.default_rng(8)

    def noisy(true: list[float], replicates: int) -> list[list[float]]:
        common = shared * random.normal(size=replicates)
        return [(value + common + (1 - shared) * random.normal(size=replicates)).tolist() for value in true]

    design = st.sobol_design(bounds, n=512, seed=3)
    found = st.sobol_indices(bounds, noisy([2 * row["x"] + row["z"] for row in design], 4))
    for name, share in (("x", 0.8), ("z", 0.2), ("idle", 0.0)):
        assert found.first[name].estimate == pytest.approx(share, abs=0.2)
        assert found.total[name].estimate == pytest.approx(share, abs=0.2)
    interval = found.total["idle"].interval
    assert interval
    assert 0.0 in interval
    assert found.noise
    assert found.warnings == ()
    steps = st.morris_design(bounds, n=60, seed=3)
    effects = st.morris_indices(bounds, steps, noisy([2 * row["x"] - row["z"] for row in steps], 6))
    assert effects.importance["x"].estimate == pytest.approx(2.0, abs=0.3)
    interval = effects.importance["idle"].interval
    assert interval
    assert 0.0 in interval
    assert effects.sd["x"] < 0.6


def test_a_mixed_model_finds_an_effect() -> None:
    seeds, agents = RANDOM.normal(size=8), RANDOM.normal(size=6)
    rows = [
        {
            "model": arm,
            "seed": seed,
            "agent": agent,
            "the score": 2 * (arm == "new") + s + a + RANDOM.normal() / 4,
        }
        for seed, s in enumerate(seeds)
        for agent, a in enumerate(agents)
        for arm in ("old", "new")
    ]
    found = st.mixed_model(rows, outcome="the score", fixed=["model"], random=["seed", "agent"])
    effect = found.effects["model: new - old"]
    assert effect.estimate == pytest.approx(2, abs=0.2)
    assert found.converged
    assert found.variances["residual"] == pytest.approx(1 / 16, rel=0.5)
    assert found.variances["seed"] > 0.1
    assert "fewer than 20 levels" in found.warnings[-1]


def nested(seeds: int, agents: int, spread: float = 0.7) -> list[dict[str, Any]]:
    random = np.random.default_rng(4)
    of_seeds, of_agents = random.normal(size=seeds), spread * random.normal(size=(seeds, agents))
    return [
        {
            "arm": arm, "step": place, "seed": str(seed), "agent": f"{seed}/{agent}",
            "value": 2 * (place == 2) + of_seeds[seed] + of_agents[seed, agent] + random.normal(),
        }
        for place, arm in enumerate("abc") for seed in range(seeds) for agent in range(agents)
    ]  # fmt: skip


def test_a_mixed_model_is_that_of_statsmodels() -> None:
    pandas = pytest.importorskip("pandas")
    models = pytest.importorskip("statsmodels.regression.mixed_linear_model")
    rows = nested(8, 6)
    ours = st.mixed_model(rows, outcome="value", fixed=["arm"], random=["seed", "agent"])
    theirs = models.MixedLM.from_formula(
        "value ~ arm", groups="seed", re_formula="1", vc_formula={"agent": "0 + C(agent)"},
        data=pandas.DataFrame(rows),
    ).fit(reml=True)  # fmt: skip
    assert [each.estimate for each in ours.effects.values()] == pytest.approx(
        theirs.fe_params.tolist(), abs=1e-4
    )
    halves = [each.interval.high - each.estimate for each in ours.effects.values()]  # type: ignore[union-attr,operator]
    assert halves == pytest.approx((1.959964 * theirs.bse_fe).tolist(), rel=1e-3)
    variances = [float(theirs.cov_re.iloc[0, 0]), float(theirs.vcomp[0]), float(theirs.scale)]
    assert list(ours.variances.values()) == pytest.approx(variances, rel=2e-3)


def test_a_mixed_model_of_thousands_of_values_takes_seconds() -> None:
    rows = nested(40, 60)
    started = time.process_time()
    found = st.mixed_model(rows, outcome="value", fixed=["arm"], random=["seed", "agent"])
    assert time.process_time() - started < 30  # of 7,200 values; it took hours
    assert found.effects["arm: c - a"].estimate == pytest.approx(2.0, abs=0.15)
    assert found.variances["agent"] == pytest.approx(0.49, abs=0.1)


def test_numbers_are_a_line_or_levels_in_a_mixed_model() -> None:
    rows = nested(8, 6)
    line = st.mixed_model(rows, outcome="value", fixed=["step"], random=["seed"])
    assert list(line.effects) == ["intercept", "step"]
    levels = st.mixed_model(rows, outcome="value", fixed=["step"], random=["seed"], categorical=["step"])
    assert list(levels.effects) == ["intercept", "step: 1 - 0", "step: 2 - 0"]
    by_name = st.mixed_model(rows, outcome="value", fixed=["arm"], random=["seed"])
    for one, other in zip(levels.effects.values(), by_name.effects.values(), strict=True):
        assert one.estimate == pytest.approx(other.estimate)


def test_a_variance_that_is_not_there_is_told() -> None:
    random = np.random.default_rng(6)
    rows = [{"seed": seed, "y": value} for value in random.normal(size=4) for seed in range(20)]
    rows = [{**row, "y": row["y"] + random.normal() / 10 * (1 if row["seed"] % 2 else -1)} for row in rows]
    found = st.mixed_model(rows, outcome="y", fixed=[], random=["seed"])
    assert found.variances["seed"] == 0.0
    assert any("the variance of seed is estimated as 0" in each for each in found.warnings)
    with pytest.raises(st.StatisticsError, match="a random effect has a level for each value"):
        st.mixed_model(
            [{"a": number, "y": number % 3} for number in range(9)], outcome="y", fixed=[], random=["a"]
        )
    with pytest.raises(st.StatisticsError, match="some fixed effects follow from others"):
        st.mixed_model(
            [{**row, "again": row["arm"]} for row in nested(4, 2)], outcome="value", fixed=["arm", "again"],
            random=["seed"],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("module", "extra", "call"),
    [
        ("SALib.sample.sobol", "sensitivity", lambda: st.sobol_design({"x": (0, 1)}, n=4)),
        ("SALib.sample.morris", "sensitivity", lambda: st.morris_design({"x": (0, 1)}, n=4)),
        ("pyarrow.parquet", "parquet", lambda: st.read_table("t.parquet")),
    ],
)
def test_a_missing_extra_is_named(
    module: str, extra: str, call: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(st.StatisticsError, match=rf"pip install 'pyscrai-statistics\[{extra}\]'"):
        call()


def test_power_agrees_with_the_formula() -> None:
    pilot = RANDOM.normal(size=400)
    for n, difference in ((12, 0.9), (30, 0.5)):
        found = st.power_paired(pilot, difference=difference, n=n)
        assert found.estimate == pytest.approx(found.details["analytic"], abs=0.05)
    # Cohen (1988): 34 pairs for d = 0.5 at a power of 0.8.
    scaled = pilot / pilot.std(ddof=1)
    planned = st.replicates_paired(scaled, difference=0.5)
    assert planned.details["analytic"] == 34
    assert planned.estimate == pytest.approx(34, abs=3)
    assert planned.interval
    assert planned.interval.low < 34 < planned.interval.high
    assert st.power_paired(pilot, difference=-0.9, n=12, direction="less").estimate > 0.8  # type: ignore[operator]


def test_the_interval_of_a_power_knows_how_small_the_pilot_is() -> None:
    random, held = np.random.default_rng(2), 0
    true = float(st.power_paired(random.normal(size=2000), difference=0.5, n=20).details["analytic"])
    for _ in range(60):
        found = st.power_paired(random.normal(size=6), difference=0.5, n=20, simulations=200).interval
        assert found
        held += found.low <= true <= found.high
    assert held >= 50  # 57 are expected


def test_power_of_proportions_is_what_experiments_show() -> None:
    found = st.power_proportions(0.8, 0.4, n=25)
    hits = 0
    for _ in range(1000):
        one, other = RANDOM.random(25) < 0.8, RANDOM.random(25) < 0.4
        hits += st.fisher_test(one, other).p_value <= 0.05
    assert found.estimate == pytest.approx(hits / 1000, abs=0.08)  # 5 standard errors
    needed = st.replicates_proportions(0.8, 0.4).n
    assert st.power_proportions(0.8, 0.4, n=needed).estimate >= 0.8  # type: ignore[operator]
    paired = st.replicates_proportions(0.8, 0.4, both=0.4).n
    assert paired < needed


def test_sequences_narrow_and_hold() -> None:
    values = (RANDOM.random(600) < 0.3).astype(float)
    bets = st.betting_sequence(values)
    assert bets.interval
    assert 0.3 in bets.interval
    assert bets.interval.high - bets.interval.low < 0.16
    assert list(bets.low) == sorted(bets.low)
    wide = st.betting_sequence(10 * values - 5, bounds=(-5, 5))
    assert wide.high[-1] == pytest.approx(10 * bets.high[-1] - 5)
    asymptotic = st.asymptotic_sequence(values)
    assert asymptotic.to_dict()["low"][:2] == [None, None]
    assert asymptotic.interval
    # At n = 600 with sd 0.46, about 3.1 standard errors wide to each side.
    assert asymptotic.interval.high - asymptotic.interval.low == pytest.approx(
        2 * 3.1 * 0.46 / 600**0.5, rel=0.1
    )
    assert st.asymptotic_sequence([1, 2, 3]).interval is None


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "raters": (lambda: st.krippendorff_alpha([[1, 2]]), "a row for each of at least two raters"),
    "no variation": (lambda: st.krippendorff_alpha([[1, 1], [1, 1]]), "all values are equal"),
    "rated twice": (
        lambda: st.ratings_of([{"u": 1, "r": 1, "v": 1}] * 2, unit="u", rater="r", value="v"),
        "rated unit 1 twice",
    ),
    "one value per agent": (lambda: st.variance_components([1, 2, 3], "abc"), "an agent with two values"),
    "unknown category": (lambda: st.entropy(["a", "x"], categories=["a", "b"]), "unknown categories: 'x'"),
    "unknown to the reference": (
        lambda: st.compare_to_reference(["a", "x", "y"], {"a": 1}),
        "unknown categories: 'x', 'y'; expected only 'a'",
    ),
    "impossible": (
        lambda: st.compare_to_reference(["a", "b"], {"a": 1, "b": 0}),
        "b occurs, and has the weight 0",
    ),
    "too few runs": (
        lambda: st.factor_effects({"a": ["x", "y", "x"], "y": [1, 2, 3]}, outcome="y", factors=["a", "y"]),
        "there are 3 runs for 4 coefficients",
    ),
    "confounded": (
        lambda: st.factor_effects(
            {"a": list("xy") * 5, "b": list("uv") * 5, "y": range(10)}, outcome="y", factors=["a", "b"]
        ),
        "cannot be told apart",
    ),
    "unequal replicates": (
        lambda: st.sobol_indices({"x": (0, 1)}, [[1, 2], [1], [2, 3]] * 4),
        "settings have 1 to 2 replicates",
    ),
    "only noise": (
        lambda: st.sobol_indices({"x": (0, 1)}, [[1, -1], [-1, 1], [1, -0.9]] * 4),
        "points differ by no more than runs of one point",
    ),
    "no trajectory": (
        lambda: st.morris_indices({"x": (0, 1)}, [{"x": 0.0}] * 4, [1, 2, 3, 4]),
        "0 factors differ between settings 0 and 1",
    ),
    "no power of 2": (lambda: st.sobol_design({"x": (0, 1)}, n=6), "expected a power of 2; give 8"),
    "against the direction": (
        lambda: st.power_paired(range(9), difference=-1, n=9, direction="greater"),
        "difference: it is -1",
    ),
    "constant pilot": (lambda: st.power_paired([1] * 9, difference=1, n=9), "all differences are equal"),
    "impossible pairs": (lambda: st.power_proportions(0.5, 0.4, n=9, both=0.6), "both: it is 0.6"),
    "out of bounds": (lambda: st.betting_sequence([0, 2]), "2 is a value; expected values from 0 to 1"),
    "bounds": (lambda: st.betting_sequence([0], bounds=(1, 0)), "the lowest and the highest possible value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_told(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(st.StatisticsError, match=message):
        call()


def sampled(replicates: int, c: float = 0.0) -> list[dict[str, Any]]:
    """Replicates of 30 sampled points of a curved function, in which c has no effect unless it is told."""
    random = np.random.default_rng(5)
    return [
        {"a": x, "b": y, "c": z, "seed": str(seed), "y": 3 * x + 8 * y * y + c * z + random.normal(0, 0.5)}
        for x, y, z in random.random((30, 3)).tolist()
        for seed in range(replicates)
    ]


def test_replicates_of_sampled_points_are_not_independent() -> None:
    few, many = (
        st.factor_effects(sampled(count), outcome="y", factors=["a", "b", "c"], block="seed")
        for count in (2, 10)
    )
    for one in (few, many):
        assert (one.points, one.main[0].n) == (30, 30)
        assert one.lack_of_fit
        assert one.lack_of_fit.p_value < 1e-5
        assert any("the model does not fit" in each for each in one.warnings)
    # What the straight line leaves is common to the replicates of a point: more of them hardly help.
    widths = [
        one.main[2].interval.high - one.main[2].interval.low for one in (few, many) if one.main[2].interval
    ]
    assert widths[1] > 0.7 * widths[0]
    rows = st.factor_effects(
        sampled(10), outcome="y", factors=["a", "b", "c"], block="seed", points="fixed"
    ).main[2]
    assert rows.interval
    assert widths[1] > 1.5 * (rows.interval.high - rows.interval.low)


def test_errors_by_point_are_those_of_the_means() -> None:
    """With equal replicates, CR3 by point is HC3 of a regression of the points' means."""
    table = sampled(4, c=2.0)
    means = [
        {**table[place], "y": float(np.mean([row["y"] for row in table[place : place + 4]]))}
        for place in range(0, len(table), 4)
    ]
    found, of_means = (
        st.factor_effects(each, outcome="y", factors=["a", "b", "c"], points="sampled")
        for each in (table, means)
    )
    for one, other in zip(
        (*found.main, *found.interactions), (*of_means.main, *of_means.interactions), strict=True
    ):
        assert one.interval
        assert other.interval
        assert (one.estimate, one.interval.low, one.interval.high) == pytest.approx(
            (other.estimate, other.interval.low, other.interval.high)
        )
    assert of_means.lack_of_fit is None


def test_lack_of_fit_by_hand_and_its_error_rate() -> None:
    # Means 1, 4 and 2 of two replicates each; the line has the slope 1/2 and the middle 7/3.
    rows = [{"x": x, "y": y + e} for x, y in ((0, 1.0), (1, 4.0), (2, 2.0)) for e in (-0.5, 0.5)]
    found = st.factor_effects(rows, outcome="y", factors=["x"], points="fixed").lack_of_fit
    assert found
    residuals = np.array([1.0, 4.0, 2.0]) - (7 / 3 + 0.5 * np.array([-1, 0, 1]))
    assert found.statistic == pytest.approx((2 * residuals @ residuals / 1) / (6 * 0.25 / 3))
    random, rejected = np.random.default_rng(3), 0
    for _ in range(300):
        true = [{"x": x, "y": 2 * x + random.normal()} for x in (0.0, 0.3, 0.5, 0.9) for _ in range(3)]
        one = st.factor_effects(true, outcome="y", factors=["x"], points="fixed").lack_of_fit
        assert one
        rejected += one.p_value <= 0.05
    assert 3 <= rejected <= 32  # 15 are expected; outside once in 10,000


def test_a_complete_grid_has_its_runs_as_the_unit() -> None:
    rows = [{"f": f, "g": g, "y": RANDOM.normal()} for f in (0, 1) for g in (0, 1, 2) for _ in range(6)]
    found = st.factor_effects(rows, outcome="y", factors=["f", "g"])
    assert found.main[0].interval
    assert found.main[0].interval.method == "least squares, HC2"
    assert found.main[0].n == 36
    with pytest.raises(st.StatisticsError, match="there are 6 points for 6 coefficients"):
        st.factor_effects(rows, outcome="y", factors=["f", "g"], categorical=["g"], points="sampled")


def test_morris_sizes_of_effects_that_noise_hides_carry_a_warning() -> None:
    bounds = {"x": (0.0, 1.0), "z": (0.0, 1.0)}
    steps = st.morris_design(bounds, n=4, seed=3)
    # z changes one replicate of three: the signs of the others are 0.
    values = [[row["x"], row["x"], row["x"] - round(row["z"])] for row in steps]
    found = st.morris_indices(bounds, steps, values)
    assert found.importance["z"].estimate < abs(found.mean["z"])
    assert "below the size of the mean" in found.importance["z"].warnings[-1]
    # All effects of x are the same: their spread is not known to be nothing.
    assert found.importance["x"].estimate == pytest.approx(1)
    assert found.importance["x"].interval is None
    assert "no interval" in found.importance["x"].warnings[0]


def test_values_that_leave_no_variance_are_told() -> None:
    rows = [
        {"arm": arm, "seed": str(seed), "y": seed * seed + 3.0 * (arm == "b")}
        for arm in ("a", "b")
        for seed in range(12)
    ]
    with pytest.raises(st.StatisticsError, match="explain every value: no variance is left"):
        st.mixed_model(rows, outcome="y", fixed=["arm"], random=["seed"])
