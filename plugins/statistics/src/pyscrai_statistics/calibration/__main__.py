"""Prints the tables of the README."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator

from .cases import Case, coverage_cases, level_cases, method_cases, sequence_cases
from .measure import Figure, PowerFigure, measure, measure_power


def label(name: str) -> str:
    """A case's name, with its function as code."""
    function, _, detail = name.partition(", ")
    return f"`{function}`{', ' + detail if detail else ''}"


def test_cell(figure: Figure) -> str:
    rates = (figure.rejects, figure.rejects_mid, figure.rejects_randomized)
    return f"{figure.n}: " + " / ".join(f"{100 * (rate or 0):.1f}" for rate in rates)


def interval_cell(figure: Figure, recommended: int) -> str:
    """The coverage; an asterisk marks an n for which the result carries a warning."""
    return f"{figure.n}: {100 * (figure.covers or 0):.1f}{'*' if figure.n < recommended else ''}"


def _tests(cases: Iterable[Case], experiments: int) -> Iterator[str]:
    yield "| test | data | rejections in %, n: by p / mid-p / randomized p |\n| --- | --- | --- |"
    for case in cases:
        cells = [test_cell(measure(case, n, experiments)) for n in case.sizes]
        yield f"| {label(case.name)} | {case.data} | {', '.join(cells)} |"


def _intervals(title: str, cases: Iterable[Case], experiments: int) -> Iterator[str]:
    yield f"\n| {title} | data | coverage in %, by n |\n| --- | --- | --- |"
    for case in cases:
        cells = [interval_cell(measure(case, n, experiments), case.recommended) for n in case.sizes]
        yield f"| {label(case.name)} | {case.data} | {', '.join(cells)} |"


def _power(figures: Iterable[PowerFigure]) -> Iterator[str]:
    yield "\n| power | data | n | predicted | formula | measured |\n| --- | --- | --- | --- | --- | --- |"
    for each in figures:
        shares = " | ".join(f"{100 * share:.1f}" for share in (each.predicted, each.analytic, each.measured))
        yield f"| {label(each.name)} | {each.data} | {each.n} | {shares} |"


def _order(case: Case) -> tuple[str, str]:
    """By function and data, so that methods stand side by side."""
    return case.name.partition(", ")[0], case.data


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pyscrai_statistics.calibration",
        description="Measure the error rates of tests and intervals.",
    )
    parser.add_argument("--experiments", type=int, default=2000, help="per case and size (default: 2000)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    started = time.monotonic()

    def chosen(cases: Iterable[Case]) -> list[Case]:
        return [case for case in cases if options.only in case.name]

    def lines() -> Iterator[str]:
        yield from _tests(chosen(level_cases()), options.experiments)
        yield from _intervals("interval", chosen(coverage_cases()), options.experiments)
        yield from _intervals("method", sorted(chosen(method_cases()), key=_order), options.experiments)
        yield from _intervals(
            "sequence, looked at after every value", chosen(sequence_cases()), options.experiments
        )
        if options.only in "power":
            yield from _power(measure_power(options.experiments))

    for line in lines():
        print(line, flush=True)
    print(f"\n{options.experiments} experiments each, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
