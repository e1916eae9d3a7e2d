"""The report as one HTML page, without scripts and without other files."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from .plots import plots_of
from .sections import Row, failures, head, tables, verdict

STYLE = """
:root { color-scheme: light dark; --line: #ccc; --soft: #f4f4f4; --warn: #a04000; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #222; --warn: #ffb070; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2rem; font-size: 1.2rem; }
.wide { overflow-x: auto; } p { overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; } thead th { background: var(--soft); }
.warnings { border-left: 4px solid var(--warn); padding-left: 1rem; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; } svg { max-width: 100%; height: auto; }
td { white-space: nowrap; } .failures td { white-space: normal; }
.verdict { font-size: 1.2rem; font-weight: 600; }
@media print {
  body { margin: 0; max-width: none; font-size: 10pt; } table { font-size: 8pt; }
  h2, thead { break-after: avoid; } table, figure { break-inside: avoid; }
}
"""


def as_html(content: dict[str, Any]) -> str:
    """The report as an HTML page. Raises `ConfigError` if matplotlib is not installed."""
    parts = [f"<h1>{escape(content['experiment'])}</h1>"]
    if content["claim"]:
        parts.append(f'<p class="verdict">{escape(verdict(content["claim"]))}</p>')
    parts += [f"<p>{escape(line)}</p>" for line in head(content, told=True)]
    if content["warnings"]:
        items = "".join(f"<li>{escape(one)}</li>" for one in content["warnings"])
        parts.append(f'<section class="warnings"><h2>Warnings</h2><ul>{items}</ul></section>')
    plots = dict(plots_of(content))
    for title, rows, below in tables(content):
        lines = "".join(f"<p>{escape(line)}</p>" for line in below)
        parts.append(
            f"<section><h2>{escape(title)}</h2>{_table(rows)}{plots.get(title, '')}{lines}</section>"
        )
    if content["failures"]:
        table = _table(failures(content))
        parts.append(f'<section class="failures"><h2>Trials that did not complete</h2>{table}</section>')
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
