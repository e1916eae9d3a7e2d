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
    """The verdict on the claim, and the reason.

    `supported`: the (adjusted) test rejects in the claimed direction, and the difference was not shown to be
    smaller than the smallest one of interest. `not supported`: the interval excludes what is claimed, or the
    difference was shown to be too small to matter. `undecided`: neither.
    """
    interval = found.difference.interval
    significant = found.p_adjusted <= found.alpha
    if found.smallest and interval:
        low, high = found.smallest
        shown = found.equivalence is not None and found.equivalence.p_value <= found.alpha
        if shown or (low < interval.low and interval.high < high):
            return "not supported", "negligible"
        if (found.direction == "greater" and interval.high < high) or (
            found.direction == "less" and interval.low > low
        ):
            return "not supported", "too small"
    if significant:
        return "supported", "significant"
    if interval and (
        (found.direction == "greater" and interval.high < 0)
        or (found.direction == "less" and interval.low > 0)
    ):
        return "not supported", "opposite"
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
        text += f", p {_p(found.p_adjusted)} after {name}'s correction for {family} comparisons"
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
        if interval.low >= high or interval.high <= low:
            return f"The whole interval is beyond the smallest difference of interest ({bounds})."
        return (
            "It does not follow that the difference is large enough to matter: the interval reaches into the "
            f"range of differences that do not ({bounds})."
        )
    if reason == "negligible":
        text = f"The difference was shown to lie between the smallest differences of interest ({bounds})"
        if found.p_adjusted <= found.alpha:
            return f"{text}: it is not zero, but too small to matter."
        return f"{text}, so larger ones are excluded; it does not follow that it is exactly zero."
    if reason == "too small":
        return f"The interval excludes differences of the smallest size of interest ({bounds}) in this way."
    if reason == "opposite":
        return "The interval lies wholly on the other side of zero."
    if reason == "identical":
        return (
            "The arms are identical in every value. It does not follow that they would stay so in other runs."
        )
    return (
        "It does not follow that there is no difference: the interval holds all that the data do not exclude."
    )


def _short(value: float) -> str:
    return f"{value:.3g}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}" if value < 0.1 else f"= {value:.2f}"
