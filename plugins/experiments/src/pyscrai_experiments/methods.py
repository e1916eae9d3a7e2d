"""The paragraph on methods that a paper can take over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

#: Why a planned comparison is exploratory that was added after the first trial.
NOT_REGISTERED = "it was not registered before the first trial"
#: Where the methods come from, by the names that tests, intervals and estimates have in a report.
SOURCES = {
    "sign-flip": "sign-flip permutation tests (Fisher 1935; Pitman 1937)",
    "McNemar": "McNemar's exact test (McNemar 1947)",
    "categories": "Pearson's chi-squared with exchanges of labels (Pearson 1900; Pitman 1937)",
    "sign": "exact sign tests (Dixon & Mood 1946)",
    "Fisher": "Fisher's exact test (Fisher 1935)",
    "permutation": "permutation tests (Pitman 1937)",
    "inverted sign-flip test": "intervals by inverting the sign-flip test",
    "inverted permutation test": "intervals by inverting the permutation test",
    "Student t": "Student's t intervals (Student 1908)",
    "Welch t": "Welch's t intervals (Welch 1947)",
    "Wilson": "Wilson intervals for proportions (Wilson 1927)",
    "adjusted Wald": "adjusted Wald intervals for paired proportions (Bonett & Price 2012)",
    "BCa": "BCa bootstrap intervals (Efron 1987)",
    "bootstrap-t": "bootstrap-t intervals (Efron 1982)",
    "expanded percentile": "expanded percentile bootstrap intervals (Hesterberg 2015)",
    "binomial order statistics": "order-statistic intervals for medians (Thompson 1936)",
    "Cramér's V": "Cramér's V (Cramér 1946)",
    "Cliff's delta": "Cliff's delta (Cliff 1993)",
    "paired Cliff's delta": "Cliff's delta for pairs (Cliff 1993)",
    "noncentral t": "noncentral t intervals for standardised differences (Cumming & Finch 2001)",
}


def _used(content: dict[str, Any]) -> Iterator[str]:
    """The names of the tests, intervals and estimates in a report."""
    for outcome in content["outcomes"]:
        estimates: list[Any] = []
        for arm in outcome["arms"]:
            estimates += [arm.get("mean"), arm.get("median"), *(arm.get("proportions") or {}).values()]
        for one in outcome["comparisons"]:
            yield one["test"]["name"]
            estimates += [one["difference"], *one["effects"].values()]
        for found in estimates:
            if found:
                yield found["name"]
                yield (found["interval"] or {}).get("method", "")


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
            "errors allow for unequal variances: those of a grid by runs (HC2; Horn et al. 1975), those of "
            "sampled points by point, with a correction for few of them (CR3; Bell & McCaffrey 2002). Where "
            "points had replicates, lack of fit was tested against pure error (Box & Draper 1987). Seeds are "
            "blocks where they could be estimated."
        )
    for effects in content.get("factors", ())[:1]:
        if effects.get("indices"):
            saltelli = effects["indices"]["design"] == "saltelli"
            yield (
                "Sobol indices were estimated by Saltelli's design (Saltelli et al. 2010)."
                if saltelli
                else "Elementary effects were estimated by Morris's design (Morris 1991)."
            )
            if effects["indices"]["replicates"] > 1:
                yield (
                    "They are indices of the outcome's mean, without the noise of runs (Hart et al. 2017)."
                    if saltelli
                    else "Their signs come from other replicates (data splitting, Cox 1975)."
                )
    if content.get("references"):
        yield "Distributions were compared with references by Pearson's test, with sampled p-values."
    if content.get("mixed"):
        yield "Mixed models were fitted by restricted likelihood (Laird & Ware 1982)."


def counted(number: int, what: str) -> str:
    """`1 arm`, `2 arms`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    more = f" and {len(seeds) - 20} more, in the registered plan" if len(seeds) > 20 else ""
    return f"seeds {', '.join(map(str, seeds[:20]))}{more}"


NOT_PAIRED = "what a model says is not paired by it."


def methods_of(content: dict[str, Any]) -> str:
    """Design, seeds, models, versions, tests with their sources, and deviations, in one paragraph."""
    design = content["design"]
    seeds = design["seeds"]
    kernel = [provider for provider, who in content["draws"].items() if "kernel" in who]
    parts = [
        f"We ran the scenario {content['scenario']!r} in {counted(design['arms'], 'arm')} with "
        f"{counted(design['replicates'], 'replicate')} each ({_seeds(seeds)}). The unit of replication is "
        "the run; agents are nested in runs.",
        "Replicate k had the same seed in every arm"
        + (
            ", and requests that were the same in several arms were sent once."
            if design["shared_answers"]
            else "."
        )
        + " A seed pairs what the simulation draws; "
        + ("what a model says freely is not paired by it." if kernel else NOT_PAIRED),
    ]
    if kernel:
        parts.append(
            f"Closed choices of {', '.join(kernel)} were drawn from the model's probabilities, with noise "
            "that the seed fixes (Gumbel-max; arXiv 2502.01754), so that a seed pairs them too."
        )
    others = [provider for provider, who in content["draws"].items() if "provider" in who]
    if others:
        parts.append(
            f"Closed choices of {', '.join(others)}, if there were any, were drawn by the provider itself."
        )
    models = [f"{provider} ({', '.join(names)})" for provider, names in content["models"].items()]
    if models:
        parts.append(f"The models, as served, were {'; '.join(models)}.")
    comparisons = [one for outcome in content["outcomes"] for one in outcome["comparisons"]]
    planned = [one for one in comparisons if one["planned"]]
    late = sum(one["exploratory"] == NOT_REGISTERED for one in planned)
    if planned:
        registered = len(planned) - late
        parts.append(
            f"{counted(registered, 'comparison')} {'was' if registered == 1 else 'were'} planned and "
            f"registered before the first trial (SHA-256 {content['registration']['hash'][:16]}…)"
            + (f"; {late} {'was' if late == 1 else 'were'} added later" if late else "")
            + ". P-values "
            f"of planned comparisons were corrected by Holm's method (Holm 1979). The error rate was "
            f"{design['alpha']:g}, the level of intervals {design['level'] * 100:g} %."
        )
    if len(planned) < len(comparisons):
        parts.append(
            "P-values of comparisons that were not planned were corrected by Benjamini and Hochberg's "
            "method (1995)."
        )
    used = sorted({SOURCES[name] for name in _used(content) if name in SOURCES})
    if used:
        parts.append(f"We used {', '.join(used)}.")
    if any(one["equivalence"] for one in planned):
        parts.append("Equivalence was tested by two one-sided tests (Schuirmann 1987).")
    parts += _more(content)
    failed = sum(one["status"] == "failed" for one in content["failures"])
    parts.append(
        f"{counted(failed, 'trial')} failed, those of variants included; none was replaced."
        if failed
        else "No trial failed."
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
