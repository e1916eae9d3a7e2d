"""The command: `python -m pyscrai_statistics compare TABLE …` and `summarize TABLE …`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from . import Comparison, Estimate, StatisticsError, compare, read_inspect, read_table, summarize
from .summary import ArmSummary

EXAMPLES = """\
examples:
  python -m pyscrai_statistics compare runs.csv --outcome score --arm model --pair seed
  python -m pyscrai_statistics compare runs.csv --outcome won --arm model --pair task --kind proportion --json
  python -m pyscrai_statistics compare logs/ --outcome score --arm model --pair item --smallest 0.05
  python -m pyscrai_statistics summarize runs.jsonl --outcome score --arm model --unit run

TABLE is a .csv, .jsonl, .json or .parquet file, a log of Inspect (.eval; .json with --scorer), or a folder of
such logs.
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m pyscrai_statistics",
        description="Compare arms of experiments, with intervals and tests whose error rates were measured.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    both: list[argparse.ArgumentParser] = []
    for name, text in (("compare", "compare each arm with a reference"), ("summarize", "each arm by itself")):
        each = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        both.append(each)
        each.add_argument("table", metavar="TABLE")
        each.add_argument("--outcome", required=True, help="the column of the outcome")
        each.add_argument("--arm", required=name == "compare", help="the column that names the arm")
        each.add_argument("--unit", help="the column that names the unit of replication, such as the run")
        each.add_argument("--kind", default="number", help="number, proportion, category or ordered")
        each.add_argument("--success", help="for proportions: the value that is a success")
        each.add_argument(
            "--order", help="for ordered: the categories from the lowest, with commas between them"
        )
        each.add_argument("--scorer", help="for logs of Inspect: the rows of this scorer only")
        each.add_argument("--level", type=float, default=0.95, help="the confidence level (default: 0.95)")
        each.add_argument("--seed", type=int, default=0, help="of the resamples (default: 0)")
        each.add_argument("--json", action="store_true", help="print everything as JSON")
    first = both[0]
    first.add_argument("--pair", help="the column that pairs units across arms, such as the seed")
    first.add_argument("--reference", help="the arm with which the others are compared (default: the first)")
    first.add_argument(
        "--direction", default="two-sided", help="two-sided, greater or less than the reference"
    )
    first.add_argument("--alpha", type=float, default=0.05, help="the error rate (default: 0.05)")
    first.add_argument("--smallest", type=float, help="the smallest difference of interest")
    first.add_argument("--correction", default="holm", help="holm, benjamini-hochberg or none")
    first.add_argument("--incomplete", default="error", help="pairs without a partner: error or drop")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    options = vars(parser().parse_args(arguments))
    command, path, as_json = options.pop("command"), options.pop("table"), options.pop("json")
    scorer, order = options.pop("scorer"), options["order"]
    options["order"] = order.split(",") if order else None
    try:
        table = _read(path, scorer)
        if options["success"] is not None:
            table[options["outcome"]] = [
                None if one is None else str(one) for one in table.get(options["outcome"], [])
            ]
        found = compare(table, **options) if command == "compare" else summarize(table, **options)
    except StatisticsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arms = found.arms if isinstance(found, Comparison) else found
    if as_json:
        content = (
            found.to_dict()
            if isinstance(found, Comparison)
            else {name: one.to_dict() for name, one in arms.items()}
        )
        print(json.dumps(content, indent=2, allow_nan=False))
        return 0
    for arm in arms.values():
        print(_line(arm))
    if isinstance(found, Comparison):
        for contrast in found.contrasts:
            print(f"\n{contrast.sentence}")
        warnings = [*found.warnings, *(one for each in found.contrasts for one in each.warnings)]
        for warning in dict.fromkeys(warnings):
            print(f"\nwarning: {warning}")
    return 0


def _read(path: str, scorer: str | None) -> dict[str, list[Any]]:
    inspects = scorer is not None or path.endswith(".eval") or Path(path).is_dir()
    table = read_inspect(path) if inspects else read_table(path)
    if scorer is None:
        return table
    kept = [place for place, name in enumerate(table["scorer"]) if name == scorer]
    if not kept:
        names = sorted({str(name) for name in table["scorer"] if name is not None})
        near = get_close_matches(scorer, names, 1)
        remedy = f"did you mean {near[0]!r}?" if near else "name one of them"
        raise StatisticsError(
            "--scorer", f"there is no scorer {scorer!r}", "one of " + ", ".join(names), remedy
        )
    return {name: [cells[place] for place in kept] for name, cells in table.items()}


def _line(arm: ArmSummary) -> str:
    parts = [f"{arm.arm}: {arm.n} values"]
    if arm.failures:
        parts.append(f"{arm.failures} failures")
    parts.extend(_shown(one.name, one) for one in (arm.mean, arm.median) if one is not None)
    parts.extend(_shown(name, share) for name, share in arm.proportions.items())
    return ", ".join(parts)


def _shown(name: str, found: Estimate) -> str:
    text = f"{name} {found.estimate:.4g}"
    return f"{text} ({found.interval.low:.4g} to {found.interval.high:.4g})" if found.interval else text


if __name__ == "__main__":
    sys.exit(main())
