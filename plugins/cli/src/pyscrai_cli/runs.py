"""`pyscrai runs`, `show` and `log`: what was recorded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import attrs
import click

from pyscrai_core import Cost, RunStatus

from . import options, output
from .completion import complete_label, complete_scenario
from .group import OfferedCommands
from .output import Hints
from .paging import paged

if TYPE_CHECKING:
    from pyscrai_records.store.runs import RecordedRun

#: A terminal with fewer columns does not take the whole table of runs.
WIDE = 100
#: What differs between the reasons of rejections that are the same otherwise: texts in double quotes, and
#: numbers, unless they stand in an expression (in single quotes) or are the number of a rule.
VALUES = re.compile(r"""('[^']*')|"(?:[^"\\]|\\.)*"|(?<![\w.\[])-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?(?![\w\]])""")


@click.group(
    cls=OfferedCommands, prefix="runs ", invoke_without_command=True, subcommand_metavar="[COMMAND] …"
)
@click.option(
    "--label",
    "labels",
    metavar="NAME=TEXT",
    multiple=True,
    callback=options.labels,
    shell_complete=complete_label,
    help="Only runs with this label. Can be given more than once.",
)
@click.option(
    "--scenario",
    metavar="NAME",
    shell_complete=complete_scenario,
    help="Only runs of the scenario with this name.",
)
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only runs with this status.")
@click.option("--since", type=click.DateTime(), metavar="DATE", help="Only runs that began then or later.")
@click.option("--outcomes", is_flag=True, help="Show the runs' labels and outcomes.")
@options.pager_option
@options.store_option
@options.json_option
@click.pass_context
def runs(
    context: click.Context,
    labels: dict[str, str],
    scenario: str | None,
    status: str | None,
    since: datetime | None,
    outcomes: bool,
    pager: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """List the runs, newest first, or manage them with a subcommand.

    \b
    Examples:
      pyscrai runs
      pyscrai runs --json --store study.db
      pyscrai runs --label study=pilot --status completed --outcomes
      pyscrai runs --scenario apple-market --since 2026-05-01
      pyscrai runs rm 1f2e
    """
    if context.invoked_subcommand is not None:
        # What was given before the command is meant for it.
        given = {name: value for name, value in (("store", store), ("as_json", as_json)) if value}
        context.default_map = {context.invoked_subcommand: given}
        return
    from pyscrai_core.config import load_settings
    from pyscrai_records.store.listing import count_events, outcomes_of_all
    from pyscrai_records.store.opening import path_of
    from pyscrai_records.store.store import Store

    settings = load_settings(store=store)
    if store is None and not path_of(settings.store).exists():
        # Nothing was run yet, and nobody said that there was.
        if as_json:
            output.print_json([])
        else:
            output.echo("no runs yet; make one with: pyscrai run FILE, or: pyscrai demo")
        return
    with Store.open(settings.store, create=False) as opened:
        listed = opened.runs(
            labels=labels, scenario=scenario, status=status, since=since.timestamp() if since else None
        )
        events = count_events(opened.database)
        found = outcomes_of_all(opened.database) if outcomes else None
        if as_json:
            listing = [_brief(run, events.get(run.id, 0)) for run in listed]
            for run, brief in zip(listed, listing, strict=True):
                brief |= {} if found is None else {"outcomes": found.get(run.id, {})}
            output.print_json(listing)
        elif listed:
            with paged(pager):
                _table(listed, events, found)
        elif labels or scenario or status or since:
            output.echo("no such run; without options, pyscrai runs lists all")
        else:
            output.echo("no runs yet; make one with: pyscrai run FILE, or: pyscrai demo")


def _table(
    listed: Sequence[RecordedRun], events: Mapping[str, int], outcomes: Mapping[str, Any] | None
) -> None:
    """The runs in columns; a narrow terminal gets those that tell them apart."""
    narrow = output.stdout().isatty() and output.size_of(output.stdout()).columns < WIDE
    columns: dict[str, Callable[[RecordedRun], str]] = {
        "run": lambda run: run.id,
        "scenario": lambda run: output.shown(run.scenario),
        "seed": lambda run: str(run.seed),
        "status": lambda run: output.status(run.status),
        **({} if narrow else {"steps": lambda run: f"{run.steps:,}"}),
        "events": lambda run: f"{events.get(run.id, 0):,}",
        "created": lambda run: output.moment(run.created),
        **({} if narrow else {"fingerprint": lambda run: output.shown(run.fingerprint)[: output.SHORT]}),
        **({"fork of": lambda run: run.parent} if any(run.parent for run in listed) else {}),
    }
    found = [{} if outcomes is None else {**run.labels, **outcomes.get(run.id, {})} for run in listed]
    named = list(dict.fromkeys(name for each in found for name in each))
    rows = [
        [
            *(cell(run) for cell in columns.values()),
            *(output.shown(each[name]) if name in each else "-" for name in named),
        ]
        for run, each in zip(listed, found, strict=True)
    ]
    output.table([*columns, *map(output.shown, named)], rows)


def _brief(run: RecordedRun, events: int) -> dict[str, Any]:
    return {
        "run": run.id,
        "scenario": run.scenario,
        "seed": run.seed,
        "status": run.status,
        "steps": run.steps,
        "events": events,
        "created": run.created,
        "ended": run.ended,
        "fingerprint": run.fingerprint,
        "error": run.error,
        "parent": run.parent,
        "labels": run.labels,
    }


@click.command()
@options.run_argument
@click.option("--scenario", is_flag=True, help="Print the run's scenario instead, as YAML.")
@click.option("--file", metavar="NAME", help="Print one of the scenario's files instead.")
@click.option("--stats", is_flag=True, help="Print statistics of the calls instead, by agent and provider.")
@options.pager_option
@options.store_option
@options.json_option
def show(
    run: str, scenario: bool, file: str | None, stats: bool, pager: bool, store: str | None, as_json: bool
) -> None:
    """Summarize a run: how it ended, its outcomes, who asked how much, and what it was made with.

    \b
    Examples:
      pyscrai show
      pyscrai show 1f2e --json
      pyscrai show 1f2e --stats
      pyscrai show 1f2e --scenario
      pyscrai show 1f2e --file ./my_tools.py
    """
    from pyscrai_records.store.store import Store

    from .perform import settings_for

    settings, hints = settings_for(store)
    with Store.open(settings.store, create=False) as opened:
        stored = opened.run(run)
        if scenario or file is not None:
            text = _kept(stored, file)
            with paged(pager):
                # Somebody may read it to decide on trust: it must not tell the screen to hide a part.
                output.write_bytes((output.clean(text) if output.stdout().isatty() else text).encode())
            return
        if stats:
            from .stats import show_statistics, statistics_of

            found, show_it = statistics_of(stored), show_statistics
        else:
            found, show_it = _summary(stored), partial(_show, hints=hints)
        if as_json:
            output.print_json(found)
        else:
            with paged(pager):
                show_it(found)


def _kept(run: RecordedRun, file: str | None) -> str:
    """The text of one of the scenario's files, or of the scenario itself, as they are at the run's end."""
    import yaml

    from pyscrai_core import ConfigError
    from pyscrai_core.scenario.manifest import Manifest

    manifest = Manifest.from_dict(run.manifest)
    if file is None:
        return str(yaml.safe_dump(manifest.last_scenario, sort_keys=False, allow_unicode=True))
    files = manifest.known_files
    if file not in files:
        known = ", ".join(files) or "none"
        raise ConfigError(f"--file {file}: run {run.id} has no such file; its files: {known}")
    text = files[file]
    return text if text.endswith("\n") else text + "\n"


def _summary(run: RecordedRun) -> dict[str, Any]:
    from pyscrai_core.scenario.manifest import Manifest

    manifest = Manifest.from_dict(run.manifest)
    costs = run.cost_by_agent()
    providers = manifest.scenario.get("providers", {})
    return {
        **_brief(run, run.count_events()),
        "owner": attrs.asdict(run.owner) if run.owner else None,
        "forks": [fork.describe() for fork in manifest.forks],
        "inputs": run.inputs(),
        "waiting": run.waiting(),
        "calls": run.count_calls(),
        "reused": run.count_reused(),
        "usage": run.usage().to_dict(),
        "cost": run.cost().to_dict(),
        "truncated": run.finish_reasons().get("length", 0),
        "refused": run.failures().get("Refused", 0),
        "retried": dict(zip(("calls", "attempts"), run.attempts(), strict=True)),
        "rejected": _counted(run.rejections()),
        "outcomes": _ordered(run.outcomes, manifest.last_scenario),
        "measures": run.measures,
        "tables": run.tables,
        "agents": {
            agent: {"calls": calls, **usage.to_dict(), "cost": costs.get(agent, Cost()).to_dict()}
            for agent, (calls, usage) in run.usage_by_agent().items()
        },
        "models": {
            name: {
                "provider": use if isinstance(use, str) else use.get("use"),
                "served": run.served.get(name),
                "answered_by": {by: n for (asked, by), n in run.answered_by().items() if asked == name},
            }
            for name, use in providers.items()
        },
        "draws": manifest.draws,
        "kernel": manifest.kernel,
        "format": manifest.format,
        "plugins": manifest.plugins,
        "resumes": list(manifest.resumes),
        "prompts": manifest.prompts,
        "files": sorted(manifest.known_files),
    }


def _drawn(draws: dict[str, str]) -> str:
    """Who drew closed choices: `by the kernel (default)`."""
    names: dict[str, list[str]] = {}
    for name, who in draws.items():
        names.setdefault(who, []).append(output.shown(name))
    return "; ".join(f"closed choices by the {who} ({', '.join(some)})" for who, some in names.items())


def _show(summary: dict[str, Any], hints: Hints) -> None:
    run, ended, owner = summary["run"], summary["ended"], summary["owner"]
    took = f", took {output.duration(ended - summary['created'])}" if ended is not None else ""
    output.pairs(
        [
            ("run", f"{click.style(run, bold=True)}  {output.status(summary['status'])}"),
            *([("why", output.clean(summary["error"]))] if summary["error"] else []),
            ("scenario", output.shown(summary["scenario"])),
            ("seed", str(summary["seed"])),
            *([("labels", _labels(summary["labels"]))] if summary["labels"] else []),
            ("fingerprint", output.shown(summary["fingerprint"]) or "none yet"),
            ("started", output.moment(summary["created"]) + took),
            *([("executed", f"by process {owner['pid']} on {owner['host']}")] if owner else []),
            (
                "size",
                f"{output.counted(summary['steps'], 'step')}, {output.counted(summary['events'], 'event')}, "
                f"{output.counted(summary['calls'], 'call')}",
            ),
            *([("draws", _drawn(summary["draws"]))] if summary["draws"] else []),
            ("tokens", output.tokens(summary["usage"])),
            ("cost", output.money(Cost(**summary["cost"]))),
            *([("truncated", output.truncated(summary["truncated"]))] if summary["truncated"] else []),
            *([("refused", output.counted(summary["refused"], "answer"))] if summary["refused"] else []),
            *([("retries", _retried(summary["retried"]))] if summary["retried"]["calls"] else []),
            *([("reused", _reused(summary["reused"]))] if summary["reused"] else []),
        ]
    )
    if summary["forks"]:
        output.heading("forked")
        output.pairs([(f"from {fork['parent']}", _forked(fork)) for fork in summary["forks"]], indent="  ")
    if summary["inputs"] or summary["waiting"]:
        output.heading("added from outside")
        late = "came too late" if summary["status"] == "completed" else "waits"
        added = [(f"step {one['step']}", _added(one)) for one in summary["inputs"]]
        output.pairs([*added, *((late, _added(one)) for one in summary["waiting"])], indent="  ")
    if summary["rejected"]:
        output.heading("rejected")
        output.pairs(
            ((f"{count:,}", output.shown(reason)) for reason, count in summary["rejected"].items()),
            indent="  ",
        )
    output.show_outcomes(summary["outcomes"])
    if summary["measures"]:
        output.heading("measures")
        output.pairs(
            (
                (output.shown(name), f"{output.counted(len(series), 'value')}{_last(series)}")
                for name, series in summary["measures"].items()
            ),
            indent="  ",
        )
    if summary["tables"]:
        output.heading("tables")
        counts = ((name, output.counted(len(rows), "row")) for name, rows in summary["tables"].items())
        output.pairs(counts, indent="  ")
    if summary["agents"]:
        output.heading("calls")
        output.table(
            ("agent", "calls", "tokens in", "cached", "out", "cost"),
            [
                (
                    output.shown(agent),
                    f"{used['calls']:,}",
                    f"{used['input_tokens']:,}",
                    f"{used['cached_tokens']:,}",
                    f"{used['output_tokens']:,}",
                    output.money(Cost(**used["cost"])),
                )
                for agent, used in summary["agents"].items()
            ],
            indent="  ",
        )
    output.heading("made with")
    made = [("pyscrai", f"{summary['kernel']}, log format {summary['format']}")]
    for name, model in summary["models"].items():
        instead = [
            f"{output.counted(count, 'call')} answered by {by}"
            for by, count in model["answered_by"].items()
            if by != name
        ]
        words = ", ".join([model["served"] or "no answer", *instead])
        made.append((f"provider {name}", f"{model['provider']}: {words}"))
    versions = {plugin["distribution"]: [plugin["version"]] for plugin in summary["plugins"]}
    for resumed in summary["resumes"]:
        for plugin in resumed["plugins"]:
            known = versions.setdefault(plugin["distribution"], [])
            if plugin["version"] not in known[-1:]:
                known.append(plugin["version"])
    made.extend((distribution, ", then ".join(each)) for distribution, each in versions.items())
    made.extend(("file", name) for name in summary["files"])
    made.extend((f"prompt {origin}", sha[: output.SHORT]) for origin, sha in summary["prompts"].items())
    output.pairs(((name, output.shown(value)) for name, value in made), indent="  ")
    output.echo()
    following = hints.next(run, summary["status"], summary["error"])
    output.pairs(
        [
            ("read", hints.command("log", run, "--text")),
            *(each for each in following if " show " not in each[1]),
        ]
    )


def _counted(reasons: Iterable[str]) -> dict[str, int]:
    """How many attempts were rejected for each reason, without the values in it; the most frequent first."""

    def plain(reason: str) -> str:
        if reason.startswith("its condition does not hold: "):
            return reason
        reason = re.sub(r" has no (key|item) .*", r" has no such \1", reason, flags=re.DOTALL)
        return VALUES.sub(lambda found: found[1] or "…", reason)

    return dict(Counter(map(plain, reasons)).most_common())


def _ordered(outcomes: Mapping[str, Any], scenario: Mapping[str, Any]) -> dict[str, Any]:
    """The outcomes in the scenario's order."""
    return {name: outcomes[name] for name in scenario.get("outcomes", {}) if name in outcomes}


def _forked(fork: dict[str, Any]) -> str:
    """Where a fork begins, and what is different from then on."""
    seed = fork.get("seed")
    changes = [f"{output.shown(path)}={output.shown(value)}" for path, value in fork.get("set", {}).items()]
    changes += [f"seed={seed}"] if seed is not None else []
    if "accepted" in fork:
        changes = ["a plugin or a prompt had changed since, which was accepted"]
    at = output.shown(fork["at"])
    return f"behind step {fork['after']} (event {at}): {', '.join(changes) or 'nothing is different'}"


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={output.shown(text)}" for name, text in labels.items())


def _last(series: Sequence[Sequence[Any]]) -> str:
    return f", the last {output.shown(series[-1][1])} after step {series[-1][0]}" if series else ""


def _added(given: dict[str, Any]) -> str:
    return (
        f"{output.shown(given['kind'])} {output.shown(given['payload'])}, by {output.shown(given['author'])}"
    )


def _reused(count: int) -> str:
    return f"{output.counted(count, 'answer')} of other runs, for which nothing was paid"


def _retried(retried: dict[str, int]) -> str:
    attempts = output.counted(retried["attempts"], "attempt")
    return f"{attempts} of {output.counted(retried['calls'], 'call')} failed; the calls list them"
