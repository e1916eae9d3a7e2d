"""Parts of HTML that the page of a run and notebooks share. All text is escaped, and rid of secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any
from zlib import crc32

from pyscrai_core import EVERYONE, Cost, Event, Usage
from pyscrai_records.secret import redact
from pyscrai_tabular.rows import json_text

# Control characters, which HTML cannot contain, and marks that turn the direction of writing.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: The size of a measure's line, in pixels.
WIDTH, HEIGHT = 560, 90
#: The classes of events that look different.
_MARKS = {"thought": "thought", "rejected": "rejected", "turn.failed": "failed"}
#: A line needs no more points than it has pixels.
POINTS = 500


@cache
def asset(name: str) -> str:
    """A style or a script of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def text(value: Any, most: int = 0) -> str:
    """A value as escaped text: texts by their words, the rest as JSON; cut after `most` characters."""
    words = value if isinstance(value, str) else json_text(value)
    cut = ""
    if most and len(words) > most:
        cut = f" … ({len(words) - most:,} more characters)"
        words = words[:most]
    return escape(_CONTROLS.sub("\ufffd", redact(words)) + cut)


def document(title: str, content: str, policy: str) -> str:
    """A page with this title as its heading; `policy` is its Content-Security-Policy, without the styles."""
    shown = text(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}; style-src \'unsafe-inline\'">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{shown}</title>\n<style>{asset('page.css')}</style>\n</head>\n"
        f'<body class="pyscrai">\n<h1>{shown}</h1>\n{content}\n</body>\n</html>\n'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], most: int = 0) -> str:
    """A table; cells that are numbers are set to the right."""
    return whole_table(head, (f"<tr>{''.join(_cell(value, most) for value in row)}</tr>" for row in rows))


def whole_table(head: Sequence[str], rows: Iterable[str]) -> str:
    """A table with rows that are HTML."""
    cells = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    lines = "".join(rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'


def pairs(items: Iterable[tuple[str, Any]]) -> str:
    """Names and values, as a table of two columns."""
    lines = "".join(f'<tr><th scope="row">{text(name)}</th>{_cell(value, 0)}</tr>' for name, value in items)
    return f'<div class="wide"><table><tbody>{lines}</tbody></table></div>'


def _cell(value: Any, most: int) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<td class="n">{number(value)}</td>'
    return f"<td>{text(value, most)}</td>"


def number(value: float) -> str:
    """A number to read: `12,345`, `0.333`."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def money(cost: Cost) -> str:
    """What completions cost, as far as it is known."""
    known = f"${cost.dollars:,.4f}" if cost.dollars or not cost.unpriced else ""
    unknown = f"{cost.unpriced:,.0f} calls of unknown price" if cost.unpriced else ""
    return " and ".join(part for part in (known, unknown) if part)


def tokens(usage: Usage) -> str:
    """The tokens of completions."""
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    estimated = ", partly estimated" if usage.estimated else ""
    return f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out{estimated}"


# -- the log --


def log(events: Iterable[Event], most: int) -> Iterator[str]:
    """The items of a list of events, with a line before each step; texts are cut after `most` characters."""
    step = None
    for event in events:
        if event.step != step:
            step = event.step
            yield f'<li class="step">{f"step {step}" if step else "before the first step"}</li>\n'
        yield _item(event, most)


def _item(event: Event, most: int) -> str:
    everyone = EVERYONE in event.audience
    to = "" if everyone else f' <span class="to">to {text(", ".join(event.audience) or "nobody")}</span>'
    kind = text(event.kind)
    mark = _MARKS.get(event.kind)
    named = f' class="{mark}"' if mark else ""
    return (
        f'<li{named} id="e{event.seq}" data-agent="{text(event.source)}" data-kind="{kind}"'
        f' style="--hue:{hue(event.source)}"><a class="seq" href="#e{event.seq}">{event.seq}</a> '
        f'<span class="who">{text(event.source)}</span> <span class="kind">{kind}</span>{to}'
        f"{_payload(event, most)}</li>\n"
    )


def _payload(event: Event, most: int) -> str:
    payload = dict(event.payload)
    parts = []
    words = payload.get("text", payload.get("reason"))
    if isinstance(words, str):
        parts.append(f'<span class="text">{text(words, most)}</span>')
        payload.pop("text" if "text" in payload else "reason")
    if payload:
        given = ", ".join(f"{text(name)}: {text(value, most)}" for name, value in payload.items())
        parts.append(f" <code>{given}</code>")
    return "".join(parts)


def hue(name: str) -> str:
    """The colour of an agent, which is the same on each page."""
    return "var(--line)" if name.startswith("@") else f"hsl({crc32(name.encode()) % 360} 55% 50%)"


# -- measures --


def line(name: str, series: Sequence[Sequence[Any]], unit: str) -> str:
    """A measure over the steps as a line; as a table, if its values are no numbers."""
    points = [(step, float(value)) for step, value in series if isinstance(value, (int, float))]
    if not points:
        return f"<h3>{text(name)}</h3>{table(('step', 'value'), series[-20:], 200)}"
    every = -(-len(points) // POINTS)
    points = points[::every]
    low, high = min(value for _, value in points), max(value for _, value in points)
    first, last = points[0][0], points[-1][0]

    def place(step: float, value: float) -> str:
        across = (step - first) / (last - first) if last > first else 0.5
        up = (value - low) / (high - low) if high > low else 0.5
        return f"{5 + across * (WIDTH - 10):.1f},{HEIGHT - 5 - up * (HEIGHT - 10):.1f}"

    drawn = " ".join(place(step, value) for step, value in points)
    said = (
        f"{name}: from {number(low)} to {number(high)}{f' {unit}' if unit else ''}, steps {first} to {last}"
    )
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{text(said)}"><polyline points="{drawn}" fill="none" stroke="currentColor" '
        f'stroke-width="1.5"/></svg><figcaption>{text(said)}</figcaption></figure>'
    )


def outcomes(values: Mapping[str, Any]) -> str:
    """The outcomes of a run."""
    return f"<h2>Outcomes</h2>{pairs(values.items())}" if values else ""
