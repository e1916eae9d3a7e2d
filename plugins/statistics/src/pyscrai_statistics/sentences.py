"""What follows from a comparison, and what does not, in words."""

from __future__ import annotations

from .results import Contrast

QUANTITY = {
    "number": "the difference of means",
    "proportion": "the difference of proportions",
    "ordered": "Cliff's delta",
    "category": "Cramér's V",
}


def verdict_of(found: Contrast) -> tuple[str, str]:
    """The verdict on the claim, and the reason. Both rest on tests at `alpha`, whatever the intervals' level.

    `supported`: the (adjusted) test rejects in the claimed direction, and the difference was not shown to be
    smaller than the smallest one of interest. `not supported`: a test against the claim rejects: that of
    equivalence or, of a claim with a direction, the one-sided test that the difference is below the smallest
    one of interest, or on the other side of zero. `undecided`: neither.
    """
    if found.equivalence is not None and found.equivalence.p_value <= found.alpha:
        return "not supported", "negligible"
    if found.contrary is not None and found.contrary.p_value <= found.alpha:
        return "not supported", "too small" if found.smallest else "opposite"
    if found.p_adjusted <= found.alpha:
        return "supported", "significant"
    return "undecided", "identical" if found.test.name == "none" else "not significant"


def sentence_of(found: Contrast, verdict: str, reason: str, correction: str, family: int) -> str:
    """The verdict in words, with the numbers that it rests on."""
    claim = {
        "two-sided": f"{found.first} and {found.second} differ",
        "greater": f"{found.first} is greater than {found.second}",
        "less": f"{found.first} is less than {found.second}",
    }[found.direction]
    head = {
        "supported": "Supported: that",
        "not supported": "Not supported: that",
        "undecided": "Undecided: whether",
    }[verdict]
    return f"{head} {claim}. {_numbers(found, correction, family)}. {_meaning(found, reason)}"


def _numbers(found: Contrast, correction: str, family: int) -> str:
    size = f"{found.n[0]} pairs" if found.paired else f"{found.n[0]} and {found.n[1]} values"
    estimate, interval = found.difference.estimate, found.difference.interval
    text = f"{QUANTITY[found.kind]} is {'unknown' if estimate is None else _short(estimate)}"
    if interval:
        text += f" ({interval.level * 100:g} % interval {_short(interval.low)} to {_short(interval.high)}"
        text += f", {interval.method}; {size})"
    else:
        text += f" (no interval; {size})"
    text += f", p {_p(found.test.p_value)}"
    if correction != "none" and family > 1:
        name = "Holm" if correction == "holm" else "Benjamini-Hochberg"
        after = f"after {name}'s correction for {family} comparisons"
        changed = _p(found.p_adjusted) != _p(found.test.p_value)
        text += f", p {_p(found.p_adjusted)} {after}" if changed else f", also {after}"
    return text[0].upper() + text[1:]


def _meaning(found: Contrast, reason: str) -> str:
    bounds = "" if found.smallest is None else f"{_short(found.smallest[0])} to {_short(found.smallest[1])}"
    if reason == "significant":
        if found.smallest is None:
            text = "It does not follow that the difference is large enough to matter"
            return f"{text}: no smallest difference was given."
        interval = found.difference.interval
        low, high = found.smallest
        if interval is None:
            return (
                "It does not follow how large the difference is: the values allow no interval "
                f"(the smallest difference of interest: {bounds})."
            )
        text = "It does not follow that the difference is large enough to matter"
        if not (interval.low >= high or interval.high <= low):
            return f"{text}: the interval reaches into the range of differences that do not ({bounds})."
        if not _as_sure(found, interval.level):
            return f"{text}: a level of {interval.level * 100:g} % is too low for that."
        return f"The whole interval is beyond the smallest difference of interest ({bounds})."
    if reason == "negligible":
        assert found.equivalence
        text = f"The difference was shown to lie between the smallest differences of interest ({bounds}; "
        text += f"p {_p(found.equivalence.p_value)})"
        if found.p_adjusted <= found.alpha:
            return f"{text}: it is not zero, but too small to matter."
        return f"{text}, so larger ones are excluded; it does not follow that it is exactly zero."
    if reason in ("too small", "opposite"):
        assert found.contrary
        p = f"(one-sided test, p {_p(found.contrary.p_value)})"
        if found.smallest is None:
            return f"The difference was shown to lie on the other side of zero {p}."
        below = f"below {_short(found.smallest[1])}"
        if found.direction == "less":
            below = f"above {_short(found.smallest[0])}"
        return f"The difference was shown to be {below}, the smallest one of interest {p}."
    if reason == "identical":
        return (
            "The arms are identical in every value. It does not follow that they would stay so in other runs."
        )
    text = "It does not follow that there is no difference"
    interval = found.difference.interval
    if interval is None or not _as_sure(found, interval.level):
        return f"{text}."
    return f"{text}: the interval holds all that the data do not exclude."


def _as_sure(found: Contrast, level: float) -> bool:
    """Whether intervals of a level err no more often than the tests."""
    return 1 - level <= found.alpha + 1e-12


def _short(value: float) -> str:
    return f"{value:.3g}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}" if value < 0.1 else f"= {value:.2f}"
