"""The paragraph on methods that a paper can take over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Where the methods come from, by words in their names.
SOURCES = {
    "sign-flip": "sign-flip permutation tests (Fisher 1935; Pitman 1937)",
    "mcnemar": "McNemar's exact test (McNemar 1947)",
    "fisher": "Fisher's exact test (Fisher 1935)",
    "permutation": "permutation tests (Pitman 1937)",
    "wilson": "Wilson intervals for proportions (Wilson 1927)",
    "bca": "BCa bootstrap intervals (Efron 1987)",
    "bootstrap-t": "bootstrap-t intervals (Efron 1982)",
    "binomial": "order-statistic intervals for medians (Thompson 1936)",
}


def _more(content: dict[str, Any]) -> Iterator[str]:
    if any(one["entropy"] for one in content["spread"]["categories"]):
        yield (
            "Entropies were corrected for their bias (Miller 1955); their intervals, and those of shares, "
            "take the run as the unit."
        )
    if any(one["between_agents"] for one in content["spread"]["numbers"]):
        yield (
            "Variances between and within agents come from an analysis of variance, with modified "
            "large-sample intervals (Ting et al. 1990)."
        )
    if content.get("factors"):
        yield (
            "Effects of factors come from a linear model: of the levels of a grid, each against the first, "
            "over the average of the other factors; of sampled ranges, along a straight line. Its standard "
            "errors allow for unequal variances (HC2); seeds are blocks where they could be estimated."
        )
    for effects in content.get("factors", ())[:1]:
        if effects.get("indices"):
            saltelli = effects["indices"]["design"] == "saltelli"
            yield (
                "Sobol indices were estimated by Saltelli's design (Saltelli et al. 2010)."
                if saltelli
                else "Elementary effects were estimated by Morris's design (Morris 1991)."
            )
    if content.get("references"):
        yield "Distributions were compared with references by Pearson's test, with sampled p-values."
    if content.get("mixed"):
        yield "Mixed models were fitted by restricted likelihood (Laird & Ware 1982)."


def methods_of(content: dict[str, Any]) -> str:
    """Design, seeds, models, versions, tests with their sources, and deviations, in one paragraph."""
    design = content["design"]
    seeds = design["seeds"]
    shown = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 2 else " and ".join(map(str, seeds))
    parts = [
        f"We ran the scenario {content['scenario']!r} in {design['arms']} arms with {design['replicates']} "
        f"replicates each (seeds {shown}). The unit of replication is the run; agents are nested in runs.",
        "Replicate k had the same seed in every arm"
        + (
            ", and requests that were the same in several arms were sent once."
            if design["shared_answers"]
            else "."
        )
        + " A seed pairs what the simulation draws; what a model says is not paired by it.",
    ]
    models = [f"{provider} ({', '.join(names)})" for provider, names in content["models"].items()]
    if models:
        parts.append(f"The models, as served, were {'; '.join(models)}.")
    comparisons = [one for outcome in content["outcomes"] for one in outcome["comparisons"]]
    planned = [one for one in comparisons if one["planned"]]
    if planned:
        parts.append(
            f"{len(planned)} comparison{'s were' if len(planned) > 1 else ' was'} planned; the plan was "
            f"registered before the first trial (SHA-256 {content['registration']['hash'][:16]}…). P-values "
            f"of planned comparisons were corrected by Holm's method (Holm 1979). The error rate was "
            f"{design['alpha']:g}, the level of intervals {design['level'] * 100:g} %."
        )
    if len(planned) < len(comparisons):
        parts.append(
            "P-values of comparisons that were not planned were corrected by Benjamini and Hochberg's "
            "method (1995)."
        )
    used = sorted(
        {
            source
            for word, source in SOURCES.items()
            for one in comparisons
            if word
            in f"{one['test']['name']} {(one['difference']['interval'] or {}).get('method', '')}".lower()
        }
    )
    if used:
        parts.append(f"We used {', '.join(used)}.")
    if any(one["equivalence"] for one in planned):
        parts.append("Equivalence was tested by two one-sided tests (Schuirmann 1987).")
    parts += _more(content)
    failed = sum(arm["failed"] for arm in content["arms"])
    parts.append(
        f"{failed} trials failed; they are reported and were not replaced." if failed else "No trial failed."
    )
    changes = content["registration"]["changes"]
    parts.append(
        f"Deviations from the registered plan: {'; '.join(changes)}."
        if changes
        else "There were no deviations from the registered plan."
    )
    versions = ", ".join(f"{name} {'/'.join(several)}" for name, several in content["versions"].items())
    parts.append(f"Software: {versions}.")
    return " ".join(parts)
