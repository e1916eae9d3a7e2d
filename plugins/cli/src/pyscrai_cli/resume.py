"""`pyscrai resume`, `replay` and `fork`: recorded runs, executed again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from . import options, output
from .completion import complete_run

if TYPE_CHECKING:
    from pyscrai_core import RunResult
    from pyscrai_core.config import Settings
    from pyscrai_core.runtime.session import Running, Session
    from pyscrai_core.scenario.overrides import Override
    from pyscrai_records.store.runs import RecordedRun

    from .output import Hints
    from .perform import View


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]…", shell_complete=complete_run)
@click.option("--all", "every", is_flag=True, help="Resume every run of the store that is not completed.")
@options.changes_option
@click.option(
    "--on-uncertain",
    type=click.Choice(["retry", "skip", "stop"]),
    help="What becomes of a tool that must not be called twice and was being called when the run ended: call "
    "it again, tell the agent that it failed, or stop.  [default: as the scenario says, else stop]",
)
@click.option(
    "--accept-changes",
    is_flag=True,
    help="If a plugin or a prompt has changed since, continue in a fork that keeps what is the same.",
)
@options.store_option
@options.trust_option
@options.watching
def resume(
    runs: tuple[str, ...],
    every: bool,
    changes: list[Override],
    on_uncertain: Any,
    accept_changes: bool,
    store: str | None,
    trust: bool,
    as_json: bool,
    quiet: bool,
    log_file: Path | None,
    observe: list[dict[str, Any]],
) -> int:
    """Resume an unfinished run. Recorded answers are not requested again.

    The run is executed again from its start, with the recorded answers, so it soon reaches the point where it
    ended. A paused run continues in its own process.

    \b
    Examples:
      pyscrai resume
      pyscrai resume 1f2e --set limits.calls=500
      pyscrai resume --set agents.Mara.limits.money=1.50 --set providers.default.concurrency=4
      pyscrai resume --all
      pyscrai resume 1f2e --on-uncertain retry
    """
    from pyscrai_core import ConfigError, api

    from .perform import View, gate_of, settings_for

    if every and runs:
        raise ConfigError("--all: it stands for every run; leave the names of runs out, or --all")
    settings, hints = settings_for(store, observe)
    view = View(as_json, quiet, log_file)
    given = {"overrides": changes, "on_uncertain": on_uncertain, "accept_changes": accept_changes}
    with api.open_session(settings, gate_of(trust), create=False) as session:
        if every:
            chosen = [run for run in reversed(session.store.runs()) if _unfinished(run)]
        else:
            chosen = [session.store.run(ref) for ref in runs or ("last",)]
        if len(chosen) == 1 and not every:
            return _resume(chosen[0], session, settings, hints, view, given)
        return _resume_all(chosen, session, settings, hints, view, given)


def _unfinished(run: RecordedRun) -> bool:
    return run.owner is None and run.status != "completed"


def _resume_all(
    chosen: Sequence[RecordedRun],
    session: Session,
    settings: Settings,
    hints: Hints,
    view: View,
    given: dict[str, Any],
) -> int:
    """Resume runs one after the other; the worst of their exit statuses."""
    from pyscrai_core import InputError, PyscraiError

    worst, done, resumed = 0, 0, 0
    results: list[Any] = []
    for run in chosen:
        try:
            status = _resume(run, session, settings, hints, view, given, several=results)
        except PyscraiError as error:
            output.fail_with(error)
            status = 2 if isinstance(error, InputError) else 1
        except click.exceptions.Exit as ended:  # it was told why there is no result
            status = ended.exit_code
        else:
            resumed += 1
        worst, done = max(worst, status), done + 1
        if status == output.EXIT["interrupted"]:
            break
    if view.as_json:
        output.print_json(results)
    elif not view.quiet:
        others = {"not resumed": done - resumed, "left": len(chosen) - done}
        told = "".join(f", {count} {what}" for what, count in others.items() if count)
        output.echo(
            f"{output.counted(resumed, 'run')} resumed{told}" if chosen else "there is nothing to resume"
        )
    return worst


def _resume(
    recorded: RecordedRun,
    session: Session,
    settings: Settings,
    hints: Hints,
    view: View,
    given: dict[str, Any],
    more: str = "",
    several: list[Any] | None = None,
) -> int:
    """Go on with one run as a person's command, which is told `more` about it; the exit status.

    Where it is one of `several`, its JSON is put there.
    """
    from pyscrai_core import ConfigError
    from pyscrai_core.runtime import execution, inputs

    from .perform import perform, report
    from .screen import Screen
    from .transcript import Plain

    store = session.store
    if inputs.pausing(store, recorded):
        if given.get("overrides"):
            raise ConfigError(
                f"--set: run {recorded.id} is paused in {recorded.owner}, and continues there as it is; "
                "leave --set out, or stop that process first"
            )
        inputs.proceed(store, recorded.id)
        output.note(f"{recorded.id} continues in {recorded.owner}")
        return 0
    # Before anything is shown, so that a person can be asked.
    execution.ask_first(session, recorded, replay=False)
    before, calls = recorded.count_events(), recorded.count_calls()

    async def work(session: Session) -> RunResult:
        begin = session.begin

        def begun(run: Running) -> None:
            if run.id != recorded.id:
                output.note(
                    f"{recorded.id} cannot continue as it was, and stays as it is; this is its fork {run.id}"
                )
                for one in session.observers:
                    if isinstance(one, (Plain, Screen)):
                        one.show_from(store.run(run.id).count_events())
            elif not (view.quiet or view.as_json):
                so_far = f"{output.counted(before, 'event')} and {output.counted(calls, 'call')}"
                output.echo(more or f"resuming {recorded.id}: {so_far} are there")
            if begin is not None:
                begin(run)

        allowed = attrs.evolve(session, begin=begun)
        return await execution.resume(allowed, recorded.id, **given)

    def tell(result: RunResult) -> int:
        return report(result, settings, hints, view)

    result = perform(session, work, view=view, hints=hints, after=before, tell=tell)
    return report(result, settings, hints, view, several=several)


def _last_event(run: RecordedRun) -> int:
    """The number of the last event of a step that is surely finished."""
    over = run.status == "completed" or run.error.startswith("limits.steps")
    return run.events_until(run.steps if over else run.last_recorded_step() - 1)


def _event_number(context: click.Context, option: click.Parameter, given: str) -> int | None:
    """The number of an event; None for the last."""
    if given == "last":
        return None
    try:
        return int(given)
    except ValueError:
        raise click.BadParameter(f"{given!r}: expected the number of an event, or last") from None


@click.command()
@options.run_argument
@click.option(
    "--at",
    required=True,
    metavar="SEQ",
    callback=_event_number,
    help="The number of an event, as the log has it; last: that of the last one that something can follow.",
)
@options.set_option
@options.seed_option
@click.option(
    "--reuse",
    type=click.Choice(["parent", "all", "none"]),
    default="parent",
    help="Whose answers are taken where a request is the same at the same place: those of the run that is "
    "forked, of all runs in the store, or of none.  [default: parent]",
)
@options.store_option
@options.trust_option
@options.watching
def fork(
    run: str,
    at: int | None,
    overrides: list[Override],
    seed: int | None,
    reuse: Any,
    store: str | None,
    trust: bool,
    as_json: bool,
    quiet: bool,
    log_file: Path | None,
    observe: list[dict[str, Any]],
) -> int:
    """Fork a run at an event, with changes.

    Everything up to the end of the step of the event SEQ stays as it was; its answers are not requested
    again. From there on, the changes apply: a counterfactual. The run itself is not changed.

    \b
    Examples:
      pyscrai fork --at 12 --set agents.Mara.reasoning=react
      pyscrai fork 1f2e --at 12 --set world.state.price=9
      pyscrai fork 1f2e --at last --set schedule.rounds=20    continue where it ended
      pyscrai fork 1f2e --at 12 --seed 8 --reuse none
    """
    from pyscrai_core import api
    from pyscrai_core.runtime import execution

    from .perform import View, gate_of, prepare, settings_for

    settings, hints = settings_for(store, observe)
    with api.open_session(settings, gate_of(trust), create=False) as session:
        parent = session.store.run(run)
        at = _last_event(parent) if at is None else at
        made = prepare(execution.fork(session, parent.id, at, overrides=overrides, seed=seed, reuse=reuse))
        new = session.store.run(made)
        kept = (
            f"{output.counted(new.count_events(), 'event')} and {output.counted(new.count_calls(), 'call')}"
        )
        step = new.manifest["forks"][-1]["after"]
        words = f"forking {parent.id} behind step {step}: {made} begins with {kept}, unpaid"
        return _resume(new, session, settings, hints, View(as_json, quiet, log_file), {}, words)


@click.command()
@options.run_argument
@options.store_option
@options.trust_option
@options.json_option
def replay(run: str, store: str | None, trust: bool, as_json: bool) -> int:
    """Execute a run again from its record alone, and compare.

    No model is asked and nothing is written; the providers' plugins need not be installed. Every event is
    compared with the recorded one; the first difference is an error.

    \b
    Examples:
      pyscrai replay
      pyscrai replay 1f2e --json
    """
    from pyscrai_core import Divergence
    from pyscrai_core.runtime import execution
    from pyscrai_core.runtime.session import Session
    from pyscrai_records.store.store import Store

    from .perform import View, gate_of, perform, settings_for, undecided

    settings, hints = settings_for(store)
    with Store.open(settings.store, create=False) as opened, opened.snapshot():
        recorded = opened.run(run)
        session = Session(opened, settings.host(), gate=gate_of(trust))
        execution.ask_first(session, recorded, replay=True)

        async def work(session: Session) -> RunResult:
            return await execution.replay(session, recorded.id)

        result = perform(
            session,
            work,
            view=View(quiet=True),
            hints=hints,
            tell=lambda result: undecided(result.run),
            replay=True,
        )
        if result.status == "interrupted" and recorded.status != "interrupted":
            return undecided(recorded.id)
        events, calls = recorded.count_events(), recorded.count_calls()
        # Also where the execution ended early without an error of its own. What was derived of a run that was
        # killed may be more than what was written of it.
        fewer = len(result.events) < events or (recorded.ended is not None and len(result.events) != events)
        if fewer or result.status != recorded.status:
            raise Divergence(
                f"run {recorded.id}: this execution is {result.status} after "
                f"{output.counted(len(result.events), 'event')}, the record is {recorded.status} with "
                f"{events:,}{f': {result.error}' if result.error else ''}"
            )
    if as_json:
        output.print_json({**result.to_dict(), "identical": True})
    else:
        output.echo(
            f"{recorded.id}: {click.style('identical', fg='green')}; {output.counted(events, 'event')} and "
            f"{output.counted(calls, 'call')} compared, nothing was asked"
        )
        output.pairs([("fingerprint", result.fingerprint[: output.SHORT])])
    return 0
