"""Judging from Python, and for the command: from a rubric file and runs to scores and agreement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from pyscrai_core import ConfigError, Cost, InputError, api
from pyscrai_core.config import load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.base.time_limit import run_alone

from .choosing import choose
from .judging import Estimate, Judging, Summary, judgements_of
from .rubric import Rubric, read_rubric
from .scores import Agreement, Rating, agreement_of, ratings_of, score

#: US dollars and calls; what is expected to need more is only done after a question.
ASK_ABOVE, MANY_CALLS = 10.0, 1000


@frozen
class Judgements:
    """What judges came to. `judgements` are the runs in which each run was judged, `left` is not judged yet.

    `estimate` is what was expected before, `cost` what all judgements of these runs have cost so far.
    """

    rubric: str
    status: str
    runs: dict[str, dict[str, str]]
    judgements: dict[str, str]
    left: list[str]
    ratings: list[Rating]
    scores: list[dict[str, Any]]
    agreement: list[Agreement]
    estimate: Estimate
    asked: int
    cost: Cost
    failures: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "judge": self.rubric,
            "status": self.status,
            "judgements": self.judgements,
            "left": self.left,
            "scores": self.scores,
            "agreement": [one.to_dict() for one in self.agreement],
            "ratings": [one.to_dict() for one in self.ratings],
            "estimate": self.estimate.to_dict(),
            "asked": self.asked,
            "cost": self.cost.to_dict(),
            "failures": list(self.failures),
        }


def judge(file: str | Path, runs: Sequence[str] = (), **options: Any) -> Judgements:
    """Have models judge runs by the rubric in a file; what is judged already is not asked again.

    runs
        ids of runs, or unique prefixes of them
    labels
        takes all completed runs with these labels: `{"experiment": "markup"}`
    store, trust, host
        as for `pyscrai_core.run`
    yes
        also with very many calls, or a large cost

    Raises `InputError` and its kinds for bad input, before anything is asked. Where an event loop runs
    already, as in a notebook, use `await pyscrai_measures.ajudge(…)`.
    """
    trust, yes = options.pop("trust", False), options.pop("yes", False)

    def confirm(question: str) -> bool:
        if not yes:
            raise ConfigError(f"{file}: {question}; nothing was asked; if you mean it, pass yes=True")
        return True

    return run_alone(ajudge(Path(file), runs, gate=Gate(trust), confirm=confirm, **options))


async def ajudge(
    file: Path,
    refs: Sequence[str] = (),
    *,
    labels: Mapping[str, str] | None = None,
    store: str | Path | None = None,
    host: Host | None = None,
    gate: Gate | None = None,
    confirm: Callable[[str], bool] = lambda question: True,
    only_estimate: bool = False,
    warn: Callable[[str], None] = lambda text: None,
    moved: Callable[[int, int], None] = lambda ended, runs: None,
) -> Judgements:
    """The awaitable twin of `judge`.

    `confirm` is asked before much is spent, `warn` gets what is worth knowing, and `moved` the progress: the
    number of runs that ended, and of all that are judged now.
    """
    rubric = read_rubric(file)
    settings = load_settings(store=None if store is None else str(store))
    host = host or settings.host()
    with api.open_session(settings, gate or Gate(), create=False, host=host) as session:
        runs, notes = choose(session.store, refs, labels or {}, what="judged")
        for note in notes:
            warn(note)
        judging = Judging.of(rubric, runs, session.store, settings, host)
        estimate = judging.estimate()
        summary = Summary("completed", 0, 0, 0.0)
        if not only_estimate and estimate.calls:
            expected = describe(estimate)
            large = estimate.calls > MANY_CALLS or (estimate.dollars or 0) > ASK_ABOVE
            if large and not confirm(f"judging needs {expected}"):
                raise InputError(f"{file}: you did not agree; nothing was asked")
            summary = await judging.judge(session, moved)
        return _collect(rubric, judging, estimate, summary)


def describe(estimate: Estimate) -> str:
    """`12 calls on 4 runs, about 9,000 tokens, about $0.10`."""
    price = "at an unknown price" if estimate.dollars is None else f"about ${estimate.dollars:.4f}"
    calls, runs = counted(estimate.calls, "call"), counted(estimate.runs, "run")
    return f"{calls} on {runs}, about {estimate.tokens:,} tokens, {price}"


def counted(number: int, thing: str) -> str:
    """`1 call`, `1,200 calls`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _collect(rubric: Rubric, judging: Judging, estimate: Estimate, summary: Summary) -> Judgements:
    known = judgements_of(judging.store, rubric.name, rubric.hash)
    done = {run.id: known[run.id] for run in judging.runs if run.id in known}
    cost = sum((run.cost() for run in done.values()), start=Cost())
    whole = {run: one for run, one in done.items() if one.status == "completed"}
    ratings = [rating for one in whole.values() for rating in ratings_of(one)]
    labels = {run.id: run.labels for run in judging.runs}
    scores = []
    for run in whole:
        items = dict.fromkeys(one.item for one in ratings if one.run == run)
        for name, question in rubric.spec.questions.items():
            there = [one for one in ratings if (one.run, one.question) == (run, name)]
            for item in ("", *items) if rubric.spec.of == "agent" else ("",):
                several = [one for one in there if item in ("", one.item)]
                scores.append(
                    {"run": run, "labels": labels[run], "question": name, "item": item,
                     "value": score(question, several), "ratings": len(several),
                     "missing": sum(one.value is None for one in several)}
                )  # fmt: skip
    return Judgements(
        rubric.name, summary.status, labels, {run: one.id for run, one in done.items()},
        [run.id for run in judging.runs if run.id not in whole], ratings, scores,
        agreement_of(rubric.spec.questions, ratings), estimate, summary.calls, cost, summary.failures,
    )  # fmt: skip
