"""The plots of a report, as SVG without scripts that follows the colours of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

from pyscrai_core import ConfigError

from .sections import effects_title, outcome_title, robust_title

#: Rows of a plot; more would not be readable.
MOST = 40
COLOUR = "#3070c0"
#: Of what is planned, beside its variants.
MARKED = "#c05020"

#: What is drawn on a figure; it has the width in inches.
Draw = Callable[[Any], None]


def plots_of(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Plots by the title of the table that they belong to. Raises `ConfigError` without matplotlib."""
    for outcome in content["outcomes"]:
        unit = f" ({outcome['unit']})" if outcome["unit"] else ""
        title = outcome_title(outcome)
        if outcome["kind"] == "number":
            points = [(one["arm"], one.get("mean")) for one in outcome["arms"]]
            yield title, _forest(points, f"mean {outcome['name']}{unit}")
        elif outcome["kind"] == "proportion":
            shares = [(one["arm"], (one.get("proportions") or {}).get("success")) for one in outcome["arms"]]
            yield title, _forest(shares, f"proportion {outcome['name']}")
        planned = [one for one in outcome["comparisons"] if one["planned"]]
        differences = [(f"{one['first']} - {one['second']}", one["difference"]) for one in planned]
        if differences and outcome["kind"] in ("number", "proportion", "ordered"):
            smallest = [one["smallest"] for one in planned]
            # One band for all, so only where all have the same.
            band = smallest[:1] if smallest[0] and all(one == smallest[0] for one in smallest) else []
            plot = _forest(differences, f"difference{unit}", zero=True, smallest=band)
            yield f"{outcome['name']}: planned comparisons", plot
    for effects in content.get("factors", ()):
        yield effects_title(effects), _responses(effects)
    for robust in content.get("robustness", ()):
        yield robust_title(robust), _specification_curve(robust)


def _forest(
    points: Sequence[tuple[str, dict[str, Any] | None]],
    label: str,
    *,
    zero: bool = False,
    smallest: Sequence[Sequence[float]] = (),
    marked: str = "",
) -> str:
    """Estimates with their intervals, one a row."""
    shown = [(name, one) for name, one in points if one and one["estimate"] is not None][:MOST]
    if not shown:
        return ""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for low, high in smallest:
            axes.axvspan(low, high, color="#888888", alpha=0.25, linewidth=0)
        if zero:
            axes.axvline(0, color="#000000", linewidth=0.8, linestyle=":")
        for place, (name, one) in enumerate(shown):
            interval = one["interval"]
            if interval:
                axes.plot([interval["low"], interval["high"]], [place, place], color="#000000", linewidth=1.2)
            axes.plot(
                [one["estimate"]], [place], "o", color=MARKED if name == marked else COLOUR, markersize=6
            )
        axes.set_yticks(
            range(len(shown)), [name if len(name) <= 40 else f"{name[:39]}…" for name, _ in shown]
        )
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel(label)
        _open(axes, "left")

    caption = f"{label[:1].upper()}{label[1:]}, with intervals."
    if smallest:
        caption += " The grey band holds what is smaller than the smallest difference of interest."
    if marked:
        caption += f" The one in another colour is {marked}."
    return _figure(draw, 0.9 + 0.35 * len(shown), caption)


def _specification_curve(robust: dict[str, Any]) -> str:
    """The planned difference under every variant, from the lowest to the highest (Simonsohn et al. 2020)."""
    rows = sorted(
        (row for row in robust["rows"] if row["difference"]["estimate"] is not None),
        key=lambda row: (row["difference"]["estimate"], row["variant"]),
    )
    label = f"difference in {robust['outcome']}, {robust['arm']} - {robust['against']}"
    points = [(row["variant"], row["difference"]) for row in rows]
    return _forest(points, label, zero=True, marked=robust["rows"][0]["variant"])


def _responses(effects: dict[str, Any]) -> str:
    """The outcome by the levels of each factor: one plot for each, on one scale."""
    responses = [one for one in effects["responses"] if one["points"]]
    if not responses:
        return ""
    rows = -(-len(responses) // 3)

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, min(3, len(responses)), sharey=True, squeeze=False)
        for axes, one in zip(grid.flat, responses, strict=False):
            _response(axes, one)
        for row in grid:
            row[0].set_ylabel(effects["outcome"] + (f" ({effects['unit']})" if effects["unit"] else ""))
        for axes in grid.flat[len(responses) :]:
            axes.set_visible(False)

    caption = (
        "The outcome by the levels of each factor, averaged over the others; intervals where there are any."
    )
    return _figure(draw, 2.6 * rows, caption)


def _response(axes: Any, response: dict[str, Any]) -> None:
    points = response["points"]
    numeric = all(isinstance(one["level"], int | float) for one in points)
    if numeric:
        points = sorted(points, key=lambda one: one["level"])
    places = [one["level"] for one in points] if numeric else list(range(len(points)))
    for place, one in zip(places, points, strict=True):
        if one["interval"]:
            ends = [one["interval"]["low"], one["interval"]["high"]]
            axes.plot([place, place], ends, color="#000000", linewidth=1.2)
    line = "-" if numeric and any(one["interval"] for one in points) else ""
    axes.plot(
        places, [one["estimate"] for one in points], f"o{line}", color=COLOUR, markersize=5, linewidth=0.8
    )
    axes.set_xlabel(response["factor"])
    if not numeric:
        axes.set_xticks(places, [str(one["level"])[:20] for one in points])
        axes.set_xlim(-0.5, len(points) - 0.5)
    _open(axes)


def _open(axes: Any, *more: str) -> None:
    for side in ("top", "right", *more):
        axes.spines[side].set_visible(False)


def _figure(draw: Draw, height: float, caption: str) -> str:
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "report --format html: matplotlib is not installed; install it with: pip install "
            '"pyscrai-experiments[plots]"'
        ) from error
    with matplotlib.rc_context({"svg.hashsalt": "pyscrai", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(7, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Black is the page's text colour, so that dark pages can be read.
    text = re.sub(r"#000000|(?<=fill: )black|(?<=stroke: )black", "currentColor", text)
    text = text.replace("<text ", '<text fill="currentColor" ')
    return f"<figure>{text}<figcaption>{escape(caption)}</figcaption></figure>"
