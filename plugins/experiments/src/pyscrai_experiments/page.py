"""The report as one HTML page, without scripts and without other files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from pyscrai_core.errors import ConfigError

from .render import Row, failures, head, outcome_title, tables

STYLE = """
:root { color-scheme: light dark; --line: #ccc; --soft: #f4f4f4; --warn: #a04000; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #222; --warn: #ffb070; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2rem; font-size: 1.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; } thead th { background: var(--soft); }
.warnings { border-left: 4px solid var(--warn); padding-left: 1rem; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; } svg { max-width: 100%; height: auto; }
@media print { body { margin: 0; max-width: none; font-size: 11pt; } section { break-inside: avoid; } }
"""
#: Arms of a plot; more would not be readable.
MOST = 40


def as_html(content: dict[str, Any]) -> str:
    """The report as an HTML page. Raises `ConfigError` if matplotlib is not installed."""
    parts = [f"<h1>{escape(content['experiment'])}</h1>"]
    parts += [f"<p>{escape(line)}</p>" for line in head(content)]
    if content["warnings"]:
        items = "".join(f"<li>{escape(one)}</li>" for one in content["warnings"])
        parts.append(f'<section class="warnings"><h2>Warnings</h2><ul>{items}</ul></section>')
    plots = dict(_plots(content))
    for title, rows, below in tables(content):
        lines = "".join(f"<p>{escape(line)}</p>" for line in below)
        parts.append(
            f"<section><h2>{escape(title)}</h2>{_table(rows)}{plots.get(title, '')}{lines}</section>"
        )
    if content["failures"]:
        parts.append(f"<section><h2>Trials that did not complete</h2>{_table(failures(content))}</section>")
    parts.append(f"<section><h2>Methods</h2><p>{escape(content['methods'])}</p></section>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(content['experiment'])}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _table(rows: Sequence[Row]) -> str:
    first, *others = rows
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in first)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in others)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'


# -- plots --


def _plots(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Plots by the title of the table that they belong to."""
    for outcome in content["outcomes"]:
        unit = f" ({outcome['unit']})" if outcome["unit"] else ""
        title = outcome_title(outcome)
        if outcome["kind"] == "number":
            points = [(one["arm"], one.get("mean")) for one in outcome["arms"]]
            yield title, _forest(points, f"mean {outcome['name']}{unit}", zero=False)
        elif outcome["kind"] == "proportion":
            shares = [(one["arm"], (one.get("proportions") or {}).get("success")) for one in outcome["arms"]]
            yield title, _forest(shares, f"proportion {outcome['name']}", zero=False)
        planned = [one for one in outcome["comparisons"] if one["planned"]]
        differences = [(f"{one['first']} - {one['second']}", one["difference"]) for one in planned]
        if differences and outcome["kind"] in ("number", "proportion", "ordered"):
            smallest = [one["smallest"] for one in planned]
            # One band for all, so only where all have the same.
            band = smallest[:1] if smallest[0] and all(one == smallest[0] for one in smallest) else []
            plot = _forest(differences, f"difference{unit}", zero=True, smallest=band)
            yield f"{outcome['name']}: planned comparisons", plot


def _forest(
    points: Sequence[tuple[str, dict[str, Any] | None]],
    label: str,
    *,
    zero: bool,
    smallest: Sequence[Sequence[float]] = (),
) -> str:
    """Estimates with their intervals, one a row."""
    shown = [(name, one) for name, one in points if one and one["estimate"] is not None][:MOST]
    if not shown:
        return ""
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
        figure = Figure(figsize=(7, 0.9 + 0.35 * len(shown)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for low, high in smallest:
            axes.axvspan(low, high, color="#888888", alpha=0.25, linewidth=0)
        if zero:
            axes.axvline(0, color="#000000", linewidth=0.8, linestyle=":")
        for place, (_, one) in enumerate(shown):
            interval = one["interval"]
            if interval:
                axes.plot([interval["low"], interval["high"]], [place, place], color="#000000", linewidth=1.2)
            axes.plot([one["estimate"]], [place], "o", color="#3070c0", markersize=6)
        axes.set_yticks(
            range(len(shown)), [name if len(name) <= 40 else f"{name[:39]}…" for name, _ in shown]
        )
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel(label)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Black is the page's text colour, so that dark pages can be read.
    text = re.sub(r"#000000|(?<=fill: )black|(?<=stroke: )black", "currentColor", text)
    text = text.replace("<text ", '<text fill="currentColor" ')
    caption = f"{label[:1].upper()}{label[1:]}, with intervals."
    if smallest:
        caption += " The grey band holds what is smaller than the smallest difference of interest."
    return f"<figure>{text}<figcaption>{escape(caption)}</figcaption></figure>"
