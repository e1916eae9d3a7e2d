"""`pyscrai diff`: where two runs part, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from . import options, output
from .completion import complete_run
from .paging import paged
from .wrapping import head_of, wrapped

if TYPE_CHECKING:
    from pyscrai_core import Event
    from pyscrai_records.store.runs import RecordedRun

#: So many events are shown of each run from the first that differs.
SHOWN = 3
#: A terminal with fewer columns gets the two runs one below the other.
WIDE = 80
#: So many characters are shown before the first difference of long values.
AROUND = 8
#: What stands for a value that one of the two does not have.
MISSING = "-"


@click.command()
@click.argument("left", metavar="LEFT", shell_complete=complete_run)
@click.argument("right", metavar="RIGHT", shell_complete=complete_run)
@options.pager_option
@options.store_option
@options.json_option
def diff(left: str, right: str, pager: bool, store: str | None, as_json: bool) -> int:
    """Compare two runs: where their logs part, and what differs in their scenarios and outcomes.

    The exit status is 0 if the runs are the same, 1 if they differ, and 2 for bad input. Runs are the same if
    their scenarios, seeds, statuses, logs, outcomes, measures and tables are. Calls, tokens and costs are
    shown, and decide nothing.

    \b
    Examples:
      pyscrai diff 1f2e 77ab
      pyscrai diff 1f2e last --json
      pyscrai diff 1f2e last && echo the same
    """
    from pyscrai_records.store.store import Store

    from .perform import settings_for

    settings, _ = settings_for(store)
    with Store.open(settings.store, create=False) as opened, opened.snapshot():
        found = compare(opened.run(left), opened.run(right))
    if as_json:
        output.print_json(found)
    else:
        with paged(pager):
            _show(found)
    return 0 if found["same"] else 1


def compare(left: RecordedRun, right: RecordedRun) -> dict[str, Any]:
    """The differences of two runs, as JSON.

    `log` has the number of events that both begin with (`common`), and the first ones behind them. Each entry
    of `scenario`, `outcomes`, `results` and `counts` has `left` and `right`, or one of them if the other run
    has no such value.
    """
    log = _logs(left, right)
    runs = (left, right)
    facts = [{"scenario": run.scenario, "seed": run.seed, "status": run.status} for run in runs]
    scenarios = [_manifest(run) for run in runs]
    outcomes = _differences(left.outcomes, right.outcomes)
    results = _differences(_results(left), _results(right))
    same = log["same"] and not (outcomes or results or _differences(*scenarios) or _differences(*facts))
    return {
        "same": bool(same),
        "runs": [{"run": run.id, **fact} for run, fact in zip(runs, facts, strict=True)],
        "log": log,
        "scenario": _differences(*scenarios),
        "outcomes": outcomes,
        "results": results,
        "counts": _differences(*map(_counts, runs)),
    }


def _logs(left: RecordedRun, right: RecordedRun) -> dict[str, Any]:
    """How many events the logs have in common at their beginning, and the first of each behind those."""
    common = 0
    behind: tuple[list[Event], list[Event]] = ([], [])
    for pair in zip_longest(left.events(), right.events()):
        first, second = pair
        if not any(behind) and first is not None and second is not None and first.line() == second.line():
            common += 1
            continue
        for events, event in zip(behind, pair, strict=True):
            if event is not None:
                events.append(event)
        if max(map(len, behind)) == SHOWN:
            break
    return {
        "same": not any(behind),
        "common": common,
        "left": [event.to_dict() for event in behind[0]],
        "right": [event.to_dict() for event in behind[1]],
    }


def _manifest(run: RecordedRun) -> dict[str, Any]:
    """What a run was made with, by path: its scenario as it is at the run's end, versions, hashes."""
    from pyscrai_core.scenario.manifest import Manifest

    manifest = Manifest.from_dict(run.manifest)
    made = manifest.settled(manifest.changes)
    scenario = {key: value for key, value in made.last_scenario.items() if key not in ("scenario", "seed")}
    return {
        **dict(_paths(scenario, "")),
        **{f"files.{name}": text for name, text in made.known_files.items()},
        **{f"prompts.{name}": text for name, text in made.prompts.items()},
        **{f"modules.{name}": text for name, text in made.modules.items()},
        **{f"plugins.{one['distribution']}": one["version"] for one in made.last_plugins},
        "format": made.format,
    }


def _paths(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The values of a document that are no mappings, by dotted path, and the empty mappings."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _results(run: RecordedRun) -> dict[str, Any]:
    return {
        **{f"measures.{name}": series for name, series in run.measures.items()},
        **{f"tables.{name}": rows for name, rows in run.tables.items()},
    }


def _counts(run: RecordedRun) -> dict[str, Any]:
    events = run.count_events_by_kind()
    usage, cost = run.usage(), run.cost()
    return {
        "steps": run.steps,
        "events": sum(events.values()),
        **{f"events.{kind}": count for kind, count in events.items()},
        "calls": run.count_calls(),
        "input tokens": usage.input_tokens,
        "output tokens": usage.output_tokens,
        "cost in dollars": cost.to_dict()["dollars"],
        "refused": run.failures().get("Refused", 0),
        "cut off": run.finish_reasons().get("length", 0),
    }


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What differs, by name, in the order of the left one: `left` and `right`, without what is missing."""
    sides = {"left": left, "right": right}
    found = {
        name: {side: values[name] for side, values in sides.items() if name in values}
        for name in dict.fromkeys([*left, *right])
    }
    return {
        name: pair for name, pair in found.items() if len(pair) < len(sides) or pair["left"] != pair["right"]
    }


# -- for a person --


def _show(found: dict[str, Any]) -> None:
    output.pairs(
        (side, f"{click.style(run['run'], bold=True)}  {output.status(run['status'])}  {_named(run)}")
        for side, run in zip(("left", "right"), found["runs"], strict=True)
    )
    log = found["log"]
    output.heading("log")
    common = output.counted(log["common"], "event")
    if log["same"]:
        output.echo(f"  all of it is the same: {common}")
    else:
        output.echo(
            f"  the same at the beginning: {common}" if log["common"] else "  it differs from the start"
        )
        _side_by_side(*map(_lines, (log["left"], log["right"])))
    for title in ("scenario", "outcomes", "results", "counts"):
        if found[title]:
            output.heading(title)
            _differing(found[title])
    if found["same"]:
        output.echo("the runs are the same")


def _named(run: dict[str, Any]) -> str:
    return f"{output.shown(run['scenario'])}, seed {run['seed']}"


def _lines(events: list[dict[str, Any]]) -> list[str]:
    from pyscrai_core import Event

    from .transcript import line

    if not events:
        return ["(the log ends here)"]
    return [f"{event['seq']}, step {event['step']}: {line(Event.from_dict(event))}" for event in events]


def _side_by_side(left: list[str], right: list[str]) -> None:
    """Lines of two runs in two columns; on a narrow terminal, one below the other."""
    from rich.cells import cell_len

    width = output.size_of(output.stdout()).columns
    if width < WIDE:
        for mark, lines in (("<", left), (">", right)):
            for text in lines:
                output.echo(f"  {mark} {text.replace(chr(10), chr(10) + '    ')}")
        return
    column = (width - 6) // 2
    for pair in zip_longest(left, right, fillvalue=""):
        cells = [
            [part.rstrip() for line in text.split("\n") for part in wrapped(line, column)] for text in pair
        ]
        for first, second in zip_longest(*cells, fillvalue=""):
            output.echo(f"  {first}{' ' * (column - cell_len(first))} | {second}".rstrip())


def _differing(found: dict[str, dict[str, Any]]) -> None:
    """Names with the values of both runs, cut where there is no room."""
    names = max(len(output.shown(name)) for name in found)
    width = max(24, (output.size_of(output.stdout()).columns - min(names, 60) - 8) // 2)
    rows = [[output.shown(name), *_cells(pair, width)] for name, pair in found.items()]
    output.table(("", "left", "right"), rows, indent="  ")


def _cells(pair: dict[str, Any], width: int) -> list[str]:
    """The values of both runs, cut to so many columns around their first difference."""
    texts = [output.shown(pair[side]) if side in pair else MISSING for side in ("left", "right")]
    first = (number for number, (one, other) in enumerate(zip(*texts, strict=False)) if one != other)
    common = next(first, min(map(len, texts)))
    if common > 2 * AROUND and max(map(len, texts)) > width:
        texts = [f"…{text[common - AROUND :]}" for text in texts]
    return [head_of(text, width) for text in texts]
