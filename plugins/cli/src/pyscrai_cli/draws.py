"""Draws of closed choices, as commands tell of them: who drew, the options, and their probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from pyscrai_records.store.runs import RecordedRun

#: So many options are named in a line; JSON has all.
NAMED = 8


def who_draws(frame: Mapping[str, Any], draws: Sequence[Any] = (), kernel: bool = False) -> str | None:
    """Who draws, or drew, the closed choices of a request: `kernel`, `provider`, or None if it has none.

    `draws` are those in its answer, `kernel` tells whether the kernel will draw.
    """
    from pyscrai_answers.closed import has_choices, too_many

    schema = frame["schema"]
    if draws:
        return "kernel"
    if schema is None:
        return None
    choices = has_choices(schema)
    if choices and kernel and not frame["tools"]:
        return "kernel"
    return "provider" if choices or too_many(schema) else None


def all_draws(run: RecordedRun) -> Iterator[dict[str, Any]]:
    """Each draw of a run's record with its position and the provider, in the journal's order."""
    for call in run.calls():
        answer = call["answer"]
        for draw in answer.get("draws", ()) if call["kind"] == "complete" and answer else ():
            place = {name: call[name] for name in ("agent", "step", "path")}
            yield {**place, "provider": call["provider"] or call["target"], **draw}


def text_of(draw: Mapping[str, Any]) -> str:
    """A draw in one line: what was drawn, and how probable each option was."""
    shares = draw.get("drawn_from") or draw["probabilities"]
    ranked = sorted(shares.items(), key=lambda one: -one[1])
    named = [f"{output.shown(label)} {_share(share)}" for label, share in ranked[:NAMED]]
    more = [f"{len(ranked) - NAMED} more"] if len(ranked) > NAMED else []
    rest = [f"{name} {_share(draw[name])}" for name in ("off", "missing") if draw.get(name)]
    field = f"{output.shown(draw['field'])}: " if draw["field"] else ""
    return f"{field}{output.shown(draw['value'])} of {', '.join([*named, *more])}" + (
        f" ({', '.join(rest)})" if rest else ""
    )


def statistics_of(run: RecordedRun) -> dict[str, dict[str, Any]]:
    """For each provider that can tell probabilities: who draws, how many draws, and `off` and `missing`."""
    found: dict[str, dict[str, Any]] = {
        name: {"by": who, "draws": 0, "off": {"mean": None, "max": None}, "missing": {"max": None}}
        for name, who in (run.manifest.get("draws") or {}).items()
    }
    if "kernel" not in (one["by"] for one in found.values()):
        return found
    masses: dict[str, list[tuple[float, float]]] = {}
    for draw in all_draws(run):
        masses.setdefault(draw["provider"], []).append((draw["off"], draw["missing"]))
    for name, pairs in masses.items():
        off, missing = zip(*pairs, strict=True)
        means = {"mean": sum(off) / len(off), "max": max(off)}
        one = found.setdefault(name, {"by": "kernel"})
        one.update(draws=len(pairs), off=means, missing={"max": max(missing)})
    return found


def show_statistics(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what `statistics_of` found."""
    if not found:
        return
    output.heading("draws of closed choices, by provider")
    output.table(
        ("provider", "drawn by", "draws", "off, mean", "off, max", "missing, max"),
        [
            [
                output.shown(name),
                one["by"],
                f"{one['draws']:,}",
                *map(_share, (one["off"]["mean"], one["off"]["max"], one["missing"]["max"])),
            ]
            for name, one in found.items()
        ],
        indent="  ",
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
