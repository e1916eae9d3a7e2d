"""Whether planned differences hold under variants that should not matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .arms import VARIANT
from .claims import Comparison
from .collect import Collected
from .contrasts import contrast_of
from .experiment import Experiment
from .outcomes import Resolved

#: The verdict of a comparison for which there are too few trials.
NOT_COMPARED = "not compared"


def robustness_of(
    experiment: Experiment, data: Collected, outcomes: Sequence[Resolved]
) -> list[dict[str, Any]]:
    """Each planned difference under every variant that should not matter."""
    found = []
    for one in experiment.comparisons:
        outcome = next(each for each in outcomes if each.name == one.outcome)
        if outcome.kind == "text":
            continue
        rows: list[dict[str, Any]] = []
        for variant in ("", *experiment.spec.robustness):
            suffix = VARIANT + variant if variant else ""
            changed = Comparison(
                one.outcome, one.arm + suffix, one.against + suffix, one.direction, one.smallest
            )
            contrast = contrast_of(experiment, data, outcome, changed)
            if contrast is None and not variant:
                break
            row = {"variant": variant or "as planned", "pairs": 0, "verdict": NOT_COMPARED}
            row["difference"] = {"estimate": None, "interval": None}
            if contrast is not None:
                row |= {"pairs": contrast.n[0], "difference": contrast.difference.to_dict()}
                row["verdict"] = contrast.verdict
            rows.append(row)
        if not rows:
            continue
        base, others = rows[0]["difference"], rows[1:]
        sign = _sign(base["estimate"])
        found.append(
            {
                **one.to_dict(),
                "rows": rows,
                "variants": len(others),
                "same_sign": sum(
                    _sign(row["difference"]["estimate"]) == sign for row in others if row["pairs"]
                ),
                "inside_interval": sum(_inside(base, row["difference"]) for row in others),
                "same_verdict": sum(row["verdict"] == rows[0]["verdict"] for row in others),
            }
        )
    return found


def fragile(robust: dict[str, Any]) -> Iterator[str]:
    name = f"{robust['outcome']}: {robust['arm']} - {robust['against']}"
    verdict = robust["rows"][0]["verdict"]
    if none := [row["variant"] for row in robust["rows"] if row["verdict"] == NOT_COMPARED]:
        yield f"{name} could not be compared under {', '.join(none)}: too few completed trials"
    other = [row["variant"] for row in robust["rows"] if row["verdict"] not in (verdict, NOT_COMPARED)]
    if other:
        some = ", ".join(other)
        yield f"{name} is not robust: of {robust['variants']} variants, {some} had another verdict"
    first = robust["rows"][0]["difference"]
    if same := [row["variant"] for row in robust["rows"][1:] if row["difference"] == first]:
        yield f"{name}: to the digit the same as planned under {', '.join(same)}: was anything varied?"


def _sign(value: float | None) -> int:
    return 0 if not value else 1 if value > 0 else -1


def _inside(base: dict[str, Any], other: dict[str, Any]) -> bool:
    interval = base["interval"]
    return bool(
        interval
        and other["estimate"] is not None
        and interval["low"] <= other["estimate"] <= interval["high"]
    )
