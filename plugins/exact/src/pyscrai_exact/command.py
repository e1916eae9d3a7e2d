"""`pyscrai exact`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from pyscrai_records.base.suggest import there_is_no
from pyscrai_records.base.time_limit import run_alone

if TYPE_CHECKING:
    from pyscrai_core.scenario.overrides import Override
    from pyscrai_core.scenario.trust import Gate

    from .walk import Distribution, Progress

#: Seconds between two lines of progress.
PACE = 2.0
NOTE = "Exact for this model, its prompts and this seed; not a statement about people."


def _share(context: click.Context, option: click.Parameter, value: float) -> float:
    if not 0 < value <= 1:
        raise click.BadParameter(f"{value:g}: expected a probability above 0, 1 at most")
    return value


def _overrides(context: click.Context, option: click.Parameter, given: Sequence[str]) -> list[Override]:
    from pyscrai_core.scenario.overrides import Override

    found = []
    for text in given:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise click.BadParameter(f"{text!r}: expected PATH=VALUE, such as schedule.rounds=3")
        found.append(Override.parse(path.strip(), value))
    return found


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--outcome", required=True, metavar="NAME", help="The outcome of the scenario to compute.")
@click.option("--calls", type=click.IntRange(min=0), metavar="N", help="Ask the model at most N times now.")
@click.option("--seconds", type=click.FloatRange(min=0), metavar="S", help="Stop after S seconds.")
@click.option(
    "--explored", type=float, default=1.0, show_default=True, callback=_share, metavar="P",
    help="Stop when histories with this probability are explored.",
)  # fmt: skip
@click.option(
    "--scores", "scores_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    default=Path(".pyscrai/exact.jsonl"), show_default=True,
    help="Where the model's probabilities are kept; the same command continues with them.",
)  # fmt: skip
@click.option(
    "--set", "overrides", metavar="PATH=VALUE", multiple=True, callback=_overrides,
    help="Override a value of the scenario by its dotted path. Can be given more than once.",
)  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Use this seed instead of the scenario's.")
@click.option("--trust", is_flag=True, help="Approve all that the scenario demands.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def exact(
    file: Path,
    outcome: str,
    calls: int | None,
    seconds: float | None,
    explored: float,
    scores_path: Path,
    overrides: list[Override],
    seed: int | None,
    trust: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Compute the distribution of an outcome over all closed choices of the scenario in FILE.

    All that agents choose must be closed: actions, enumerations, true or false, small ranges. The model is
    asked once for each prompt. What is not explored yet bounds the result. An interrupted computation
    continues with the same command. Exit status 3: a budget was spent before enough was explored.

    \b
    Examples:
      pyscrai exact game.yaml --outcome deal
      pyscrai exact game.yaml --outcome deal --calls 500 --explored 0.99 --json
    """
    from pyscrai_core import ConfigError
    from pyscrai_core.api import prepare
    from pyscrai_core.config import load_settings
    from pyscrai_core.scenario.overrides import Override
    from pyscrai_records.base.stdout import results_alone

    from .scores import Scores
    from .walk import Budget, Walk

    settings = load_settings()
    host = settings.host()
    # One at a time: choices then come in the same order in each execution.
    settled = [*overrides, Override.of("limits.concurrency", 1)]
    plan = prepare(file, settings=settings, host=host, seed=seed, overrides=settled)
    if outcome not in plan.scenario.outcomes:
        raise ConfigError(f"--outcome: {there_is_no('outcome', outcome, plan.scenario.outcomes)}")
    scores = Scores(scores_path)
    walk = Walk(
        plan, host, _gate(trust), outcome, scores, Budget(calls, seconds, explored), str(file),
        tell=_teller(quiet),
    )  # fmt: skip
    try:
        with results_alone(as_json):
            found = run_alone(walk.run())
    except KeyboardInterrupt:
        click.echo("exact: interrupted; the same command continues", err=True)
        return 130
    finally:
        scores.close()
    result = _summary(outcome, found)
    if as_json:
        click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    else:
        _show(result)
    return 0 if found.complete else 3


def _gate(trust: bool) -> Gate:
    from pyscrai_core.scenario.trust import Gate

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Gate(trust)
    return Gate(trust, lambda question: click.confirm(question, err=True))


def _teller(quiet: bool) -> Any:
    last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last > PACE:
            last = time.monotonic()
            text = f"{progress.explored:.2%} explored, {progress.histories:,} histories, "
            click.echo(f"exact: {text}{progress.asked:,} calls", err=True)

    return tell


def _summary(outcome: str, found: Distribution) -> dict[str, Any]:
    """The result as `--json` prints it; the bounds are rounded outwards."""
    rows = sorted(found.masses.items(), key=lambda one: (-one[1], one[0]))
    values = [
        {"value": orjson.loads(text), "at_least": _down(mass), "at_most": _up(mass + found.unexplored)}
        for text, mass in rows
    ]
    numbers = [one["value"] for one in values if type(one["value"]) in (int, float, bool)]
    mean = None
    if found.unexplored == 0 and values and len(numbers) == len(values):
        mean = sum(float(orjson.loads(text)) * mass for text, mass in rows)
    return {
        "outcome": outcome,
        "values": values,
        "others_at_most": _up(found.unexplored),
        "explored": _down(1 - found.unexplored),
        "mean": mean if mean is None else float(f"{mean:.9g}"),
        "histories": found.progress.histories,
        "missing": float(f"{found.missing:.3g}"),
        "complete": found.complete,
    }


def _down(mass: float) -> float:
    return max(0.0, int((mass - 1e-9) * 1e6) / 1e6) if mass < 1 - 1e-9 else 1.0


def _up(mass: float) -> float:
    return min(1.0, (int((mass + 1e-9) * 1e6) + 1) / 1e6) if mass > 0 else 0.0


def _show(result: dict[str, Any]) -> None:
    others = {"value": None, "at_least": 0.0, "at_most": result["others_at_most"]}
    rows = [(_visible(one["value"]), one) for one in result["values"]]
    rows += [("any other", others)] if result["others_at_most"] else []
    width = max(len(name) for name, _ in [("value", None), *rows])
    click.echo(f"{result['outcome']}\n{'value':{width}}  at least  at most")
    for name, one in rows:
        click.echo(f"{name:{width}}  {one['at_least']:.6f}  {one['at_most']:.6f}")
    click.echo(f"explored: {result['explored']:.4%}, in {result['histories']:,} histories")
    if result["mean"] is not None:
        click.echo(f"mean: {result['mean']:.6g}")
    if result["missing"]:
        click.echo(f"missing: up to {result['missing']:.2%} of a choice's probability; see the README")
    click.echo(NOTE)


def _visible(value: Any) -> str:
    """A value without what a terminal would obey."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return "".join(one if one.isprintable() else " " for one in text)
