"""Prints the tables of the README."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator

from .cases import Case, coverage_cases, level_cases, sequence_cases
from .measure import Figure, PowerFigure, measure, measure_power


def _head(name: str, data: str, n: int) -> str:
    function, _, detail = name.partition(", ")
    return f"| `{function}`{', ' + detail if detail else ''} | {data} | {n} |"


def _percent(*values: float | None) -> str:
    return "".join(f" {100 * (value or 0):.1f} |" for value in values)


def _rows(cases: Iterable[Case], experiments: int) -> Iterator[tuple[Case, Figure]]:
    for case in cases:
        for n in case.sizes:
            yield case, measure(case, n, experiments)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pyscrai_statistics.calibration",
        description="Measure the error rates of tests and intervals.",
    )
    parser.add_argument("--experiments", type=int, default=2000, help="per case and size (default: 2000)")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    started = time.monotonic()

    def chosen(cases: Iterable[Case]) -> Iterator[Case]:
        return (case for case in cases if options.only in case.name)

    print("| test | data | n | p | mid-p | randomized |\n| --- | --- | --- | --- | --- | --- |")
    for _, each in _rows(chosen(level_cases()), options.experiments):
        rates = _percent(each.rejects, each.rejects_mid, each.rejects_randomized)
        print(_head(each.name, each.data, each.n) + rates, flush=True)
    for title, cases in (("interval", coverage_cases()), ("sequence", sequence_cases())):
        print(f"\n| {title} | data | n | covers | absent | |\n| --- | --- | --- | --- | --- | --- |")
        for case, each in _rows(chosen(cases), options.experiments):
            note = " below the recommended n |" if each.n < case.recommended else " |"
            print(_head(each.name, each.data, each.n) + _percent(each.covers, each.absent) + note, flush=True)
    if options.only in "power":
        print(
            "\n| power | data | n | predicted | formula | measured |\n| --- | --- | --- | --- | --- | --- |"
        )
        for figure in measure_power(options.experiments):
            print(_power(figure))
    print(f"\n{options.experiments} experiments each, {time.monotonic() - started:.0f} s")


def _power(figure: PowerFigure) -> str:
    return _head(figure.name, figure.data, figure.n) + _percent(
        figure.predicted, figure.analytic, figure.measured
    )


if __name__ == "__main__":
    main()
