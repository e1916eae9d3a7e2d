"""The exporter `html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyscrai_core import Exporter, StoredRun
from pyscrai_records.base.atomic_files import replace_files

from . import parts
from .page import Limits, page


class Html(Exporter):
    """Writes a page of each run, `RUN.html`, and of several runs `index.html` with links to them.

    A page needs no other file and no network.
    """

    Config = Limits

    def export(self, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
        paths = [destination / f"{run.id}.html" for run in runs]
        if len(runs) > 1:
            paths.append(destination / "index.html")
        with replace_files(paths) as files:
            for file, run in zip(files, runs, strict=False):
                for piece in page(run, self.config):
                    file.write(piece.encode())
            if len(runs) > 1:
                files[-1].write(index(runs).encode())
        return paths


def index(runs: Sequence[StoredRun]) -> str:
    """A page with a link to the page of each run."""
    return parts.document(f"{len(runs):,} runs", f"{listed(runs, links=True)}", "default-src 'none'")


def listed(runs: Sequence[StoredRun], links: bool = False) -> str:
    """A table of the runs, with links to their pages."""
    names = list(dict.fromkeys(name for run in runs for name in run.labels))
    rows = []
    for run in runs:
        shown, labels = parts.text(run.id), run.labels
        linked = f'<a href="{shown}.html">{shown}</a>' if links else shown
        cells = [run.scenario, str(run.seed), run.status, f"{run.steps:,}"]
        cells += [labels.get(name, "") for name in names]
        rows.append(f"<tr><td>{linked}</td>{''.join(f'<td>{parts.text(cell)}</td>' for cell in cells)}</tr>")
    return parts.whole_table(["run", "scenario", "seed", "status", "steps", *names], rows)
