"""`pyscrai show --stats`: how long a run's calls took, and what went wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from attrs import define, field

from . import draws, output

if TYPE_CHECKING:
    from pyscrai_records.store.runs import RecordedRun

#: The percentiles of latency.
PERCENTILES = (50, 90, 99)


@define
class Group:
    """The calls of one agent, of one provider, or of one tool.

    latencies
        seconds from the request that was answered to its answer; answers of other runs have none
    queued
        seconds that calls waited for limits before they were sent
    retried, attempts
        calls that were made again, and how many attempts failed, by kind of failure
    """

    calls: int = 0
    failures: Counter[str] = field(factory=Counter)
    reused: int = 0
    latencies: list[float] = field(factory=list)
    queued: float = 0.0
    retried: int = 0
    attempts: Counter[str] = field(factory=Counter)
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    truncated: int = 0
    refused: int = 0
    rejected: int = 0

    def add(self, call: dict[str, Any]) -> None:
        self.calls += 1
        if call["error"]:
            self.failures[call["error"]] += 1
        elif call["reused"]:
            self.reused += 1
        elif call["status"] == "answered":
            self.latencies.append(call["seconds"])
        self.queued += call["queued"]
        self.retried += any(attempt["wait"] is not None for attempt in call["attempts"])
        self.attempts.update(attempt["error"] for attempt in call["attempts"])
        for name in ("input_tokens", "cached_tokens", "output_tokens"):
            setattr(self, name, getattr(self, name) + call[name])
        self.truncated += call["finish_reason"] == "length"
        self.refused += call["error"] == "Refused"

    def to_dict(self) -> dict[str, Any]:
        """As JSON; `cache_share` is null where there was no input, percentiles where nothing was answered."""
        share = self.cached_tokens / self.input_tokens if self.input_tokens else None
        return {
            "calls": self.calls,
            "reused": self.reused,
            "failed": dict(self.failures),
            "latency": latency(self.latencies),
            "queued_seconds": round(self.queued, 3),
            "retried": self.retried,
            "failed_attempts": dict(self.attempts),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_share": share,
            "truncated": self.truncated,
            "refused": self.refused,
            "rejected": self.rejected,
        }


def latency(seconds: Sequence[float]) -> dict[str, float | None]:
    """The mean, the percentiles and the largest of some latencies, in seconds; null where there are none.

    Percentiles are interpolated linearly between the values (type 7 of Hyndman and Fan 1996, as in NumPy).
    """
    names = ["mean", *(f"p{number}" for number in PERCENTILES), "max"]
    if not seconds:
        return dict.fromkeys(names)
    cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 99
    values = [sum(seconds) / len(seconds), *(cuts[number - 1] for number in PERCENTILES), max(seconds)]
    return {name: round(value, 6) for name, value in zip(names, values, strict=True)}


def statistics_of(run: RecordedRun) -> dict[str, Any]:
    """The statistics of a run: of all completions, and for each agent, provider and tool, by name.

    Agents and providers have their completions; calls of tools are by the tool's name. `rejected` counts
    what an agent tried and could not do, so providers have none.
    """
    whole = Group()
    groups: dict[str, dict[str, Group]] = {"agents": {}, "providers": {}, "tools": {}}
    # In the scenario's order; agents that asked nothing are left out.
    order = {name: number for number, name in enumerate(run.manifest["scenario"]["agents"])}
    for call in run.call_facts():
        if call["status"] == "intent":
            continue
        if call["kind"] == "tool":
            groups["tools"].setdefault(call["target"], Group()).add(call)
        elif call["kind"] == "complete":
            whole.add(call)
            groups["agents"].setdefault(call["agent"], Group()).add(call)
            groups["providers"].setdefault(call["provider"] or call["target"], Group()).add(call)
    for agent, count in run.rejections_by_agent().items():
        whole.rejected += count
        groups["agents"].setdefault(agent, Group()).rejected += count
    agents = sorted(groups["agents"], key=lambda name: (order.get(name, len(order)), name))
    groups["agents"] = {name: groups["agents"][name] for name in agents}
    named = {kind: {name: group.to_dict() for name, group in found.items()} for kind, found in groups.items()}
    about = {"run": run.id, "scenario": run.scenario, "status": run.status, "draws": draws.statistics_of(run)}
    return {**about, "all": whole.to_dict(), **named}


def show_statistics(found: dict[str, Any]) -> None:
    """Print what `statistics_of` found."""
    output.pairs([("run", f"{found['run']}  {output.status(found['status'])}")])
    whole = {"all": found["all"]}
    for title, groups in (
        ("latency in seconds", {**found["agents"], **whole}),
        ("latency in seconds, by provider", found["providers"]),
        ("latency in seconds, by tool", found["tools"]),
    ):
        if groups:
            output.heading(title)
            output.table(*_latencies(groups), indent="  ")
    for title, groups in (
        ("answers", {**found["agents"], **whole}),
        ("answers, by provider", found["providers"]),
        ("calls, by tool", found["tools"]),
    ):
        if groups:
            output.heading(title)
            output.table(*_answers(groups), indent="  ")
    draws.show_statistics(found["draws"])
    for title, name in (("attempts that failed", "failed_attempts"), ("calls that failed", "failed")):
        if reasons := found["all"][name]:
            output.heading(title)
            output.pairs(((output.shown(why), f"{count:,}") for why, count in reasons.items()), indent="  ")


def _latencies(groups: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    names = list(latency(()))
    rows = [
        [
            output.shown(name),
            f"{group['calls']:,}",
            *(_seconds(group["latency"][one]) for one in names),
            _seconds(group["queued_seconds"]),
        ]
        for name, group in groups.items()
    ]
    return ["", "calls", *names, "queued"], rows


def _answers(groups: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            output.shown(name),
            *(
                f"{count:,}"
                for count in (
                    group["retried"], sum(group["failed"].values()), group["truncated"], group["refused"],
                    group["rejected"], group["reused"],
                )
            ),
            "-" if group["cache_share"] is None else f"{group['cache_share']:.0%}".replace("%", " %"),
        ]
        for name, group in groups.items()
    ]  # fmt: skip
    return ["", "retried", "failed", "cut off", "refused", "rejected", "reused", "cached"], rows


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"
