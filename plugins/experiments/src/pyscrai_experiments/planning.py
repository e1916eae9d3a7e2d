"""Before anything is spent: what an experiment will need, and how many replicates find a difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyscrai_core import ConfigError
from pyscrai_records.store.store import Store

from .claims import Comparison
from .collect import Collected, used_by_run
from .experiment import Experiment
from .outcomes import resolve, values_of
from .registry import trials_of

#: What is estimated, with its unit for people.
USED = ("calls", "tokens", "dollars")
#: A pilot's differences that a power can be computed from.
LEAST = 5


def estimate_use(experiment: Experiment, store: Store | None, seeds: Sequence[int]) -> dict[str, Any]:
    """The trials of an experiment, and the calls, tokens and money that it will need in all.

    From the replicates that are completed in every arm; without one, nothing is estimated.
    """
    arms = [arm.name for arm in experiment.arms]
    known = trials_of(store, experiment.name) if store else {}
    done = {
        (arm, number): run.id
        for (arm, number), run in known.items()
        if run.status == "completed" and arm in arms and number <= len(seeds)
    }
    used = used_by_run(store, list(done.values())) if store else {}
    whole: list[dict[str, float]] = []
    for number in range(1, len(seeds) + 1):
        runs = [done[arm, number] for arm in arms if (arm, number) in done]
        if len(runs) == len(arms):
            whole.append({name: sum(used[run][name] for run in runs) for name in USED})
    found: dict[str, Any] = {
        "arms": len(arms), "replicates": len(seeds), "trials": len(arms) * len(seeds),
        "completed": len(done), "pilot": len(whole), "expected": {}, "warnings": [],
        "unpriced": sum(int(one["unpriced"]) for one in used.values()),
        "spent": sum(one["dollars"] for one in used.values()),
    }  # fmt: skip
    for name in USED if whole else ():
        values = [one[name] for one in whole]
        average = sum(values) / len(values)
        interval = None
        if len(values) > 1 and len(set(values)) > 1:
            import pyscrai_statistics as st  # which takes longer than the rest of a start

            bounds = st.mean(values, level=experiment.spec.level).interval
            interval = bounds and [max(0.0, bounds.low) * len(seeds), bounds.high * len(seeds)]
        elif len(values) > 1:
            interval = [average * len(seeds)] * 2
        found["expected"][name] = {"estimate": average * len(seeds), "interval": interval}
    if found["unpriced"]:
        found["warnings"].append(
            f"{found['unpriced']} answers have no known price, so money is underestimated; add prices to "
            "pyscrai.toml"
        )
    if 0 < len(whole) < LEAST:
        found["warnings"].append(f"the pilot has {len(whole)} replicates: the estimate is rough")
    budget = experiment.spec.budget
    for limit, name in ((budget.calls, "calls"), (budget.money, "dollars")):
        if limit is not None and whole and found["expected"][name]["estimate"] > limit:
            found["warnings"].append(
                f"the budget of {limit:,} {name} will be spent before the end: "
                f"{found['expected'][name]['estimate']:,.4g} are expected"
            )
    return found


def check_budget(experiment: Experiment, found: dict[str, Any]) -> None:
    """Raise `ScenarioError` if a budget is too small for one trial, as far as earlier trials tell."""
    budget = experiment.spec.budget
    for key, limit, name in (("calls", budget.calls, "calls"), ("money", budget.money, "dollars")):
        if limit is None or not found["pilot"]:
            continue
        each = found["expected"][name]["estimate"] / found["trials"]
        if limit < each:
            raise experiment.error(
                ("budget", key), f"{limit:,} {name} are too few for one trial, which needs {each:,.4g}; "
                f"expected at least that; the whole experiment needs {each * found['trials']:,.4g}"
            )  # fmt: skip


def describe_use(found: dict[str, Any]) -> list[str]:
    """The estimate in lines for people."""
    lines = [
        f"{found['arms']} arms with {found['replicates']} replicates: {found['trials']:,} trials, "
        f"{found['completed']:,} completed"
    ]
    if not found["pilot"]:
        lines.append("calls, tokens and money are not known before a trial was run; try some: --pilot 3")
    for name, one in found["expected"].items():
        mark = "$" if name == "dollars" else ""
        label = "money" if name == "dollars" else name
        text = f"{label}: about {mark}{one['estimate']:,.6g} in all"
        if one["interval"]:
            low, high = one["interval"]
            text += f" ({mark}{low:,.6g} to {mark}{high:,.6g})"
        lines.append(text)
    if found["pilot"]:
        lines.append(f"estimated from {found['pilot']} replicates, which are part of the experiment")
    return [*lines, *(f"! {warning}" for warning in found["warnings"])]


def power_of(experiment: Experiment, data: Collected, power: float) -> list[dict[str, Any]]:
    """For each planned comparison: its power as planned, and the replicates that it needs."""
    if not experiment.comparisons:
        raise ConfigError(
            f"{experiment.path}: no comparison is planned; expected one under outcomes.NAME.compare, with "
            "`smallest`, the difference that is to be found"
        )
    return [_power(experiment, data, index, power) for index in range(len(experiment.comparisons))]


def _power(experiment: Experiment, data: Collected, index: int, power: float) -> dict[str, Any]:
    import pyscrai_statistics as st

    one = experiment.comparisons[index]
    outcome = resolve(experiment, data, one.outcome)
    found: dict[str, Any] = {**one.to_dict(), "power": None, "replicates": None, "note": ""}
    smallest = _sought(one)
    if smallest is None or outcome.kind not in ("number", "proportion"):
        found["note"] = "it has no smallest difference of interest; give `smallest`"
        return found
    first, second = (values_of(data, outcome, arm) for arm in (one.arm, one.against))
    both = sorted(first.keys() & second.keys())
    if len(both) < LEAST:
        found["note"] = (
            f"the pilot has {len(both)} pairs; expected {LEAST} or more: run some replicates first"
        )
        return found
    # Holm's first step: the smallest p-value of the family has to be below alpha divided by its size.
    alpha = experiment.spec.alpha / len(experiment.comparisons)
    difference = smallest
    shared: dict[str, Any] = {"alpha": alpha, "direction": one.direction}
    planned = experiment.spec.replicates
    try:
        if outcome.kind == "number":
            values = [first[key] - second[key] for key in both]
            found["power"] = st.power_paired(values, difference=difference, n=planned, **shared).to_dict()
            needed = st.replicates_paired(values, difference=difference, power=power, **shared)
        else:
            base = sum(second[key] for key in both) / len(both)
            other = min(1.0, max(0.0, base + difference))
            found["power"] = st.power_proportions(other, base, n=planned, **shared).to_dict()
            needed = st.replicates_proportions(other, base, power=power, **shared)
            found["note"] = "as if unpaired, which needs no fewer replicates than pairs that help"
        found["replicates"] = needed.to_dict()
    except st.StatisticsError as error:
        found["note"] = str(error)
    return found


def _sought(one: Comparison) -> float | None:
    """The difference that a comparison is to find: that end of `smallest` that it claims.

    A comparison in both directions has to find the difference that is nearer to 0.
    """
    if one.smallest is None:
        return None
    low, high = one.smallest if isinstance(one.smallest, tuple) else (-one.smallest, one.smallest)
    if one.direction == "two-sided":
        return min(-low, high)
    return low if one.direction == "less" else high


def describe_power(found: Sequence[dict[str, Any]], planned: int, power: float) -> list[str]:
    """The powers in lines for people."""
    lines = []
    for one in found:
        head = f"{one['outcome']}: {one['arm']} - {one['against']}"
        if one["power"]:
            head += f": power {one['power']['estimate']:.2f}"
            if one["power"]["interval"]:
                head += f" ({one['power']['interval']['low']:.2f} to {one['power']['interval']['high']:.2f})"
            head += f" with {planned} replicates"
        if one["replicates"]:
            needed = one["replicates"]
            head += f"; {needed['estimate']:.0f} replicates for power {power:g}"
            if needed["interval"]:
                head += f" ({needed['interval']['low']:.0f} to {needed['interval']['high']:.0f})"
        lines.append(head)
        if one["note"]:
            lines.append(f"  {one['note']}")
        lines += [
            f"  ! {text}" for key in ("power", "replicates") for text in (one[key] or {}).get("warnings", ())
        ]
    return list(dict.fromkeys(lines))
