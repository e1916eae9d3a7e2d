"""What a report says: the lines on top, and tables with lines below them, for every form of it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .claims import judged_by
from .methods import counted

Row = Sequence[str]
#: Rows of a table that people read.
MOST_ROWS = 60
#: Characters of why a trial failed.
MOST_CHARACTERS = 160
_NUMBER = re.compile(r"\d+")


def number(value: float | None, digits: int = 4) -> str:
    """A number for people: four significant digits."""
    if value is None:
        return "–"
    if abs(value) < 1e-12:  # what is left of rounding
        return "0"
    return f"{value:.{digits}g}" if abs(value) < 10**6 else f"{value:,.0f}"


def estimate(found: dict[str, Any] | None) -> str:
    """An estimate with its interval: `2.5 [1.2, 3.8]`."""
    if not found or found["estimate"] is None:
        return "–"
    interval = found["interval"]
    if interval is None:
        return number(found["estimate"])
    return f"{number(found['estimate'])} [{number(interval['low'])}, {number(interval['high'])}]"


def _proportions(summary: dict[str, Any]) -> str:
    shares = summary.get("proportions") or {}
    if summary["kind"] == "proportion":
        return estimate(shares.get("success"))
    return "; ".join(f"{name} {estimate(share)}" for name, share in shares.items())


def tables(content: dict[str, Any]) -> Iterator[tuple[str, list[Row], list[str]]]:
    """The parts of a report: heading, table (its first row has the columns), and lines below it."""
    arms = content["arms"]
    rows: list[Row] = [("arm", "completed", "failed", "left", "calls", "reused", "tokens", "cost")]
    rows += [
        (
            arm["arm"], str(arm["completed"]), str(arm["failed"]), str(arm["unfinished"]), str(arm["calls"]),
            str(arm["reused"]), f"{arm['input_tokens']:,} + {arm['output_tokens']:,}", money(arm),
        )
        for arm in arms
    ]  # fmt: skip
    lines = []
    if any(arm["reused"] for arm in arms):
        lines = [
            "Reused answers are those of another arm to the same request, under the same seed; calls include "
            "them."
        ]
    yield "Arms", *_few_rows(rows, lines)
    keys = ("truncated", "refused", "repaired", "rejected", "rejected_attempts")
    if any(arm[key] for arm in arms for key in keys):
        odd: list[Row] = [("arm", "cut off", "model refused", "repaired", "rejected", "actions rejected")]
        odd += [(arm["arm"], *(str(arm[key]) for key in keys)) for arm in arms]
        yield "Answers", *_few_rows(odd, [])
    for outcome in content["outcomes"]:
        yield from _outcome(outcome, content)
    if "stopping" in content:
        yield _stopping(content["stopping"])
    if "tournament" in content:
        yield _tournament(content["tournament"])
    for effects in content.get("factors", ()):
        yield _effects(effects)
        if effects.get("indices"):
            yield _indices(effects)
    yield from _spread(content.get("spread", {}))
    if content.get("references"):
        yield _references(content["references"])
    for model in content.get("mixed", ()):
        yield _mixed(model)
    for robust in content.get("robustness", ()):
        yield _robust(robust)


def money(arm: dict[str, Any]) -> str:
    """What an arm cost; answers without a known price are counted."""
    text = f"${arm['dollars']:.4f}" if arm["dollars"] else "–"
    return f"{text} ({arm['unpriced']} unpriced)" if arm["unpriced"] and arm["dollars"] else text


def outcome_title(outcome: dict[str, Any]) -> str:
    """The heading of an outcome's table: its name, kind and unit."""
    unit = f", in {outcome['unit']}" if outcome["unit"] else ""
    return f"{outcome['name']} ({outcome['kind']}{unit})"


def _outcome(outcome: dict[str, Any], content: dict[str, Any]) -> Iterator[tuple[str, list[Row], list[str]]]:
    level = f"{content['design']['level'] * 100:g} %"
    kind, title = outcome["kind"], outcome_title(outcome)
    if kind == "number":
        rows: list[Row] = [("arm", "n", "no value", f"mean [{level}]", f"median [{level}]", "sd")]
        rows += [
            (one["arm"], str(one["n"]), str(one["failures"]), estimate(one.get("mean")),
             estimate(one.get("median")), number(one.get("sd")))
            for one in outcome["arms"]
        ]  # fmt: skip
    elif kind == "text":
        rows = [
            ("arm", "n", "no value"),
            *((one["arm"], str(one["n"]), str(one["failures"])) for one in outcome["arms"]),
        ]
    else:
        rows = [("arm", "n", "no value", f"proportions [{level}]")]
        rows += [
            (one["arm"], str(one["n"]), str(one["failures"]), _proportions(one)) for one in outcome["arms"]
        ]
    yield title, *_few_rows(rows, [*_reliability(outcome), *_methods_of_means(outcome)])
    for planned, heading in ((True, "planned comparisons"), (False, "other comparisons, exploratory")):
        found = [one for one in outcome["comparisons"] if one["planned"] == planned]
        if not found:
            continue
        header: Row = (
            "comparison", "pairs", f"difference [{level}]", "p", "p adjusted", "effect",
            "p of equivalence", "variance paired/unpaired",
        )  # fmt: skip
        yield f"{outcome['name']}: {heading}", [header, *map(_contrast, found)], list(_sentences(found))


def _reliability(outcome: dict[str, Any]) -> Iterator[str]:
    """How far the judges of an outcome agree, where it is judged."""
    if found := outcome.get("reliability"):
        value = "not defined"
        if found["estimate"] is not None:
            interval = (
                f" [{number(found['low'])}, {number(found['high'])}]" if found["low"] is not None else ""
            )
            value = f"{number(found['estimate'])}{interval}"
        yield f"{found['name']} of those who judged it: {value}, from {found['items']} items."


def _methods_of_means(outcome: dict[str, Any]) -> Iterator[str]:
    """The methods of the intervals of an outcome's arms."""
    found: dict[str, set[str]] = {}
    if outcome["kind"] == "text":
        return
    for arm in outcome["arms"]:
        shown = {"mean": [arm.get("mean")], "median": [arm.get("median")]}
        if outcome["kind"] != "number":  # only what the table has
            shown = {"proportion": list((arm.get("proportions") or {}).values())}
        for name, several in shown.items():
            found.setdefault(name, set()).update(
                one["interval"]["method"] for one in several if one and one["interval"]
            )
    said = [f"{name}s by {' or '.join(sorted(methods))}" for name, methods in found.items() if methods]
    if said:
        yield f"Intervals: {', '.join(said)}."


def _contrast(one: dict[str, Any]) -> Row:
    effects = "; ".join(f"{name} {estimate(found)}" for name, found in one["effects"].items())
    equivalence = one["equivalence"]
    return (
        f"{one['first']} - {one['second']}",
        str(one["n"][0]),
        estimate(one["difference"]),
        _p(one["test"]["p_value"]),
        _p(one["p_adjusted"]),
        effects or "–",
        _p(equivalence["p_value"]) if equivalence else "–",
        estimate(one["variance_ratio"]),
    )


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.3g}"


def _sentences(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    for one in found:
        yield one["sentence"]
        if one["planned"] and one["exploratory"]:
            yield f"Exploratory: {one['exploratory']}."
        interval = one["difference"]["interval"]
        by = f"interval by {interval['method']}; " if interval else ""
        yield f"{one['first']} - {one['second']}: {by}{one['test']['name']} test, {one['test']['method']}."
        for warning in dict.fromkeys(one["warnings"]):
            yield f"Note on {one['first']} - {one['second']}: {warning}."
    if any(one["variance_ratio"] for one in found):
        yield (
            "A variance ratio below 1 means that pairing by seed helped; near 1, that it did not; above 1, "
            "that it cost precision. Requests that are the same share an answer, and choices that the kernel "
            "draws share their noise; the rest is not paired."
        )


def _stopping(found: dict[str, Any]) -> tuple[str, list[Row], list[str]]:
    rows: list[Row] = [("comparison", "pairs", f"difference [{found['level'] * 100:g} %]", "stopped after")]
    interval = f"[{number(found['low'])}, {number(found['high'])}]"
    stopped = f"replicate {found['stopped']}" if found["stopped"] else "it did not stop"
    name = f"{found['arm']} - {found['against']}"
    rows.append((name, str(found["pairs"]), f"{number(found['estimate'])} {interval}", stopped))
    line = (
        "A confidence sequence (Waudby-Smith & Ramdas 2023) keeps its level however often it is looked at. "
        "Trials behind the replicate at which it stopped are no part of this report."
    )
    return f"{found['outcome']}: stopping early", rows, [line]


def _tournament(found: dict[str, Any]) -> tuple[str, list[Row], list[str]]:
    names = found["strategies"]
    level = f"[{found['level'] * 100:g} %]"
    rows: list[Row] = [("strategy", *names, f"mean {level}", f"ahead of the next {level}")]
    for one in found["ranking"]:
        row = found["table"][one["strategy"]]
        mean = estimate({"estimate": one["mean"], "interval": one["interval"]})
        rows.append((one["strategy"], *(number(row[name]) for name in names), mean, estimate(one["ahead"])))
    lines = [
        "A rank is only sure where the interval of what a strategy is ahead of the next one, paired by seed, "
        "is above 0; intervals are not corrected for the number of strategies."
    ]
    if unsure := [one["strategy"] for one in found["ranking"] if one["ahead"] and not one["ahead_surely"]]:
        lines.append(f"Not surely ahead of the next: {_some(unsure)}.")
    return "Tournament: the row's mean score against the column", rows, lines


def _effects(found: dict[str, Any]) -> tuple[str, list[Row], list[str]]:
    rows: list[Row] = [("effect", "estimate")]
    rows += [(one["name"], estimate(one)) for one in found["effects"]]
    notes = [*found.get("notes", ()), *([found["index_note"]] if found.get("index_note") else ())]
    return effects_title(found), rows, notes


def effects_title(found: dict[str, Any]) -> str:
    """The heading of the table of a factor's effects."""
    return f"{found['outcome']}: effects of factors"


def _indices(found: dict[str, Any]) -> tuple[str, list[Row], list[str]]:
    indices = found["indices"]
    if indices["design"] == "saltelli":
        rows: list[Row] = [("factor", "first-order index", "total index")]
        rows += [(one["factor"], estimate(one["first"]), estimate(one["total"])) for one in indices["rows"]]
        line = (
            "Shares of the outcome's variance over the ranges of the factors: due to a factor alone, and "
            "with all its interactions (Sobol 2001; Saltelli et al. 2010)."
        )
        return f"{found['outcome']}: Sobol indices", rows, [line, *_noise(indices)]
    rows = [("factor", "mean size of effects", "mean", "sd")]
    rows += [
        (one["factor"], estimate(one["importance"]), number(one["mean"]), number(one["sd"]))
        for one in indices["rows"]
    ]
    line = (
        "Elementary effects over the whole range of a factor (Morris 1991); a large sd tells that the effect "
        "is not linear, or depends on other factors."
    )
    return f"{found['outcome']}: Morris indices", rows, [line, *_noise(indices)]


def _noise(indices: dict[str, Any]) -> Iterator[str]:
    """What became of the noise of runs."""
    if indices["replicates"] > 1:
        share = f", {indices['noise']:.0%} of the variance between points," if indices["noise"] else ""
        yield (
            f"Indices of the outcome's mean: the noise of runs{share} was taken out by products of different "
            f"replicates (of {indices['replicates']})."
        )
    yield from (f"Note: {note}." for note in indices["notes"])


def _spread(found: dict[str, Any]) -> Iterator[tuple[str, list[Row], list[str]]]:
    categories = found.get("categories", ())
    if categories:
        rows: list[Row] = [
            ("choice", "arm", "answers", "entropy (bits)", "most", "first option, mean of runs", "chance")
        ]
        rows += [
            (
                one["question"], one["arm"], str(one["n"]), estimate(one["entropy"]),
                number(math.log2(one["options"]) if one["options"] > 1 else 0.0), estimate(one["first"]),
                number(1 / one["options"], 2) if one["first"] else "–",
            )
            for one in categories
        ]  # fmt: skip
        lines = [
            "Agents of one model are often too alike: low entropy, or a first option that is chosen far "
            "above chance, is a habit of the model before it is an opinion of its agents. Entropies are "
            "corrected for bias, and are at most what is possible."
        ]
        above = [f"{one['question']} in {one['arm']}" for one in categories if one["first_above_chance"]]
        if above:
            tried = sum(one["first"] is not None for one in categories)
            corrected = f", after Bonferroni's correction for {tried} questions and arms" if tried > 1 else ""
            lines.append(f"The first option is chosen more often than by chance{corrected}: {_some(above)}.")
        yield "Spread of choices", *_few_rows(rows, [*lines, *_notes(categories)])
    numbers = found.get("numbers", ())
    if numbers:
        parts = ("between_runs", "between_agents", "within_agents")
        rows = [("number", "arm", "answers", *(f"variance {part.replace('_', ' ')}" for part in parts))]
        rows += [
            (one["question"], one["arm"], str(one["n"]), *(estimate(one[part]) for part in parts))
            for one in numbers
            if any(one[part] for part in parts)
        ]
        yield "Spread of numbers", *_few_rows(rows, list(_notes(numbers)))
    sheets = found.get("sheets", ())
    if sheets:
        rows = [("action", "arm", "answers", "items", "the same answer to all items")]
        rows += [
            (one["question"], one["arm"], str(one["n"]), str(len(one["items"])), estimate(one["share"]))
            for one in sheets
        ]
        yield "Straight-lining", *_few_rows(rows, list(_notes(sheets)))


def _few_rows(rows: list[Row], lines: list[str]) -> tuple[list[Row], list[str]]:
    """Rows that a reader can take in; the JSON report has all."""
    if len(rows) > MOST_ROWS:
        lines = [*lines, f"{len(rows) - MOST_ROWS} more rows are in the report as JSON."]
    return rows[:MOST_ROWS], lines


def _notes(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The notes of some rows, each with what it is about: a question, or a question in an arm."""
    arms = Counter(one["question"] for one in rows)
    places: dict[str, dict[str, list[str]]] = {}
    for one in rows:
        for note in dict.fromkeys(one["notes"]):
            places.setdefault(note, {}).setdefault(one["question"], []).append(one["arm"])
    for note, where in places.items():
        named = [
            name
            for question, several in where.items()
            for name in (
                [question] if len(several) == arms[question] else [f"{question} in {arm}" for arm in several]
            )
        ]
        yield f"Note on {_some(named)}: {note}."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _references(found: Sequence[dict[str, Any]]) -> tuple[str, list[Row], list[str]]:
    rows: list[Row] = [("distribution", "arm", "n", "p", "total variation", "Jensen-Shannon", "Wasserstein")]
    rows += [
        (one["name"], one["arm"], str(one["n"]), _p(one["test"]["p_value"]), estimate(one["total_variation"]),
         estimate(one["jensen_shannon"]), estimate(one["wasserstein"]))
        for one in found
    ]  # fmt: skip
    notes = dict.fromkeys(f"Note: {note}." for one in found for note in one["notes"])
    line = "Distances: 0 is the same distribution. p is that of Pearson's test against the reference."
    return "Beside references", rows, [line, *notes]


def _mixed(found: dict[str, Any]) -> tuple[str, list[Row], list[str]]:
    rows: list[Row] = [("term", "estimate")]
    rows += [(name, estimate(one)) for name, one in found["effects"].items()]
    rows += [(f"variance: {name}", number(value)) for name, value in found["variances"].items()]
    random = "seed, and agent within it, are random effects" if found["agents"] else "seed is a random effect"
    line = f"{found['n']} values; {random} (Laird & Ware 1982)."
    return f"{found['name']}: mixed model", rows, [line, *(f"Note: {note}." for note in found["notes"])]


def _robust(found: dict[str, Any]) -> tuple[str, list[Row], list[str]]:
    rows: list[Row] = [("variant", "pairs", "difference", "verdict")]
    rows += [
        (row["variant"], str(row["pairs"]), estimate(row["difference"]), row["verdict"])
        for row in found["rows"]
    ]
    of = found["variants"]
    inside = f"{found['inside_interval']} lie in the interval of the plan as it is"
    if found["rows"][0]["difference"]["interval"] is None:
        inside = "the plan as it is has no interval"
    line = (
        f"Of {of} variants, {found['same_sign']} agree in sign, {inside}, {found['same_verdict']} have its "
        "verdict."
    )
    return robust_title(found), rows, [line]


def robust_title(found: dict[str, Any]) -> str:
    """The heading of the table of a difference under variants."""
    return f"{found['outcome']}: {found['arm']} - {found['against']} under variants"


def head(content: dict[str, Any], *, told: bool = False) -> Iterator[str]:
    """The lines on top: the claim, and the plan. `told`: what became of the claim stands there already."""
    if content["description"]:
        yield content["description"]
    claim = content["claim"]
    if claim:
        yield f"Claim ({claim['status']}): {claim['text']}"
        if claim["because"]:
            yield f"Because: {claim['because']}"
        if not told:
            yield verdict(claim)
        if len(claim["about"]) > 1 or claim["named"]:
            yield judged_by(claim)
    design = content["design"]
    yield (
        f"{counted(design['arms'], 'arm')}, {counted(design['replicates'], 'replicate')}, paired by seed; "
        f"unit of replication: {design['unit']}."
    )
    if not design["planned_comparisons"]:
        yield "Exploratory: no comparison was planned."
    yield f"Plan registered before the first trial: SHA-256 {content['registration']['hash']}"
    changes = content["registration"]["changes"]
    if changes:
        yield f"Changed since, so that what depends on it is exploratory: {'; '.join(changes)}"


def verdict(claim: dict[str, Any]) -> str:
    """What became of the claim, in one sentence."""
    marks = f" (exploratory: {'; '.join(claim['exploratory'])})" if claim["exploratory"] else ""
    fragile = (
        ", but this is not robust: variants have another verdict" if claim.get("robust") is False else ""
    )
    return f"The claim is {claim['verdict']}{marks}{fragile}."


def failures(content: dict[str, Any]) -> list[Row]:
    """The table of trials that did not complete; those of an arm that failed alike are one row."""
    alike: dict[tuple[str, str, str], tuple[str, list[str]]] = {}
    for one in content["failures"]:
        why = " ".join(one["error"].split())
        why = why if len(why) <= MOST_CHARACTERS else f"{why[:MOST_CHARACTERS]}…"
        # Numbers differ from trial to trial; the first one's stand for all.
        known = alike.setdefault((one["arm"], one["status"], _NUMBER.sub("#", why)), (why, []))
        known[1].append(str(one["replicate"]))
    rows: list[Row] = [("arm", "trials", "replicates", "status", "why")]
    for (arm, status, _), (why, replicates) in alike.items():
        some = ", ".join(replicates[:8]) + (", …" if len(replicates) > 8 else "")
        rows.append((arm, str(len(replicates)), some, status, why))
    return rows
