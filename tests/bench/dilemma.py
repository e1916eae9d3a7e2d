"""Five rounds of the prisoner's dilemma between two SmolLM2 agents: exact, and sampled.

    python tests/bench/dilemma.py [--runs 10000] [--explored 1] [--folder FOLDER]

First `pyscrai exact` computes how often both cooperate, with SmolLM2. Then whole runs
are sampled, whose provider tells the probabilities that the first part kept. Each count must lie within its
95 % multinomial interval, corrected for the number of values (Bonferroni), and chi-squared must not reject at
0.1 %. With `--explored` below 1, fewer prompts are computed, and each count must lie between the intervals of
its bounds; a run that leaves what is known has no value then. Ends with status 1 otherwise. With `--folder`,
the probabilities stay there, and the same command goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from scipy import stats

from pyscrai_core.api import prepare
from pyscrai_core.config import load_settings
from pyscrai_core.runtime import execution
from pyscrai_core.runtime.session import Session
from pyscrai_core.scenario.plan import Plan, identities
from pyscrai_core.scenario.trust import Gate
from pyscrai_records.store.store import Store

OUTCOME = "cooperations"
ROUNDS = 5
#: How many runs share a store.
RUNS = 500
PLAYER = {
    "persona": "You play a game. If both cooperate, each gets 3 points. If both defect, each gets 1 point. "
    "Who defects alone gets 5 points.",
    "speak": False,
    "must_act": True,
    "actions": {"cooperate": {}, "defect": {}},
}
MODEL = {"use": "llamacpp", "model": "smollm2", "slots": 2, "threads": 1}
KNOWN = """
from pathlib import Path

from attrs import frozen

from pyscrai_core import Provider, RequestRejected
from pyscrai_exact.scores import Scores, key_of


class Known(Provider):
    @frozen
    class Config:
        scores: str
        identity: str

    capabilities = frozenset({"schema", "seed", "options"})

    async def aopen(self):
        self._scores = Scores(Path(self.config.scores))

    async def score(self, request, prefix, options):
        found = self._scores.get(key_of(request, prefix, options, self.config.identity))
        if found is None:
            raise RequestRejected(f"{request.position}: the exact computation did not ask this")
        return found

    async def complete(self, request, sink=None):
        raise NotImplementedError("all choices are closed")
"""


def scenario(folder: Path, name: str, provider: dict[str, Any]) -> Path:
    path = folder / f"{name}.json"
    what = {
        "scenario": name,
        "providers": {"default": provider},
        "agents": {"A": PLAYER, "B": PLAYER},
        "schedule": {"use": "simultaneous", "rounds": ROUNDS},
        "outcomes": {OUTCOME: "len([e for e in events if e.kind == 'cooperate'])"},
    }
    path.write_text(json.dumps(what))
    return path


def exact(folder: Path, explored: float) -> dict[str, Any]:
    path, scores = scenario(folder, "dilemma", MODEL), folder / "scores.jsonl"
    command = [sys.executable, "-m", "pyscrai_cli.main", "exact", str(path), "--outcome", OUTCOME, "--json"]
    command += ["--scores", str(scores), "--explored", str(explored)]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=folder)
    found: dict[str, Any] = json.loads(done.stdout)
    prompts = len(scores.read_bytes().splitlines())
    print(f"exact: {prompts} prompts, {found['histories']} executions, {time.monotonic() - began:.0f} s")
    print(f"  explored {found['explored']:.4%}, mean {found['mean']}, missing {found['missing']}", flush=True)
    return found


async def sampled(folder: Path, runs: int) -> Counter[Any]:
    settings = load_settings()
    host = settings.host()
    model = prepare(folder / "dilemma.json", settings=settings, host=host)
    (folder / "known.py").write_text(KNOWN)
    scores = str((folder / "scores.jsonl").resolve())
    known = {"use": "./known.py:Known", "scores": scores, "identity": identities(model)["default"]}
    path = scenario(folder, "known", known)
    plan = prepare(path, settings=settings, host=host)
    counts: Counter[Any] = Counter()
    began = time.monotonic()
    for first in range(0, runs, RUNS):
        with tempfile.TemporaryDirectory() as made, Store.open(Path(made) / "runs.db") as store:
            session = Session(store, host, gate=Gate(trust=True))
            for seed in range(first, min(runs, first + RUNS)):
                counts[await _outcome(session, plan.with_seed(seed), str(path))] += 1
        print(f"  {min(runs, first + RUNS)} runs", file=sys.stderr, flush=True)
    print(f"sampled: {runs} runs in {time.monotonic() - began:.0f} s")
    return counts


async def _outcome(session: Session, plan: Plan, where: str) -> Any:
    result = await execution.start(session, plan, where)
    if "did not ask this" in result.error:
        return None
    assert result.status == "completed", result.error
    return result.outcomes[OUTCOME]


def compare(found: dict[str, Any], counts: Counter[Any]) -> bool:
    runs, rows = sum(counts.values()), sorted(found["values"], key=lambda one: int(one["value"]))
    whole = found["others_at_most"] == 0
    level = 1 - 0.05 / len(rows)
    print(f"| {OUTCOME} | exact | of {runs} runs | interval |\n| --- | --- | --- | --- |")
    inside = True
    for row in rows:
        low = float(stats.binom.interval(level, runs, row["at_least"])[0])
        high = float(stats.binom.interval(level, runs, row["at_most"])[1])
        seen = counts[row["value"]]
        inside = inside and low <= seen <= high
        share = f"{row['at_least']:.4f}" + ("" if whole else f" to {row['at_most']:.4f}")
        print(f"| {row['value']} | {share} | {seen / runs:.4f} | {low / runs:.4f} to {high / runs:.4f} |")
    print(f"runs that left what is explored: {counts[None]}; all inside: {'yes' if inside else 'no'}")
    return inside and (not whole or _fits([(counts[row["value"]], row["at_least"] * runs) for row in rows]))


def _fits(pairs: list[tuple[int, float]]) -> bool:
    """Whether counts agree with what is expected of them, by chi-squared; rare values are one."""
    runs = sum(seen for seen, _ in pairs)
    common = [(seen, expected) for seen, expected in pairs if expected >= 5]
    rest = (runs - sum(seen for seen, _ in common), runs - sum(expected for _, expected in common))
    cells = [*common, rest] if rest[1] >= 1 else common
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in cells)
    p = float(stats.chi2.sf(statistic, len(cells) - 1))
    print(f"chi-squared {statistic:.1f}, {len(cells) - 1} degrees of freedom, p = {p:.3f}")
    return p > 0.001


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--explored", type=float, default=1.0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = (given.folder or Path(made)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        found = exact(folder, given.explored)
        return 0 if compare(found, asyncio.run(sampled(folder, given.runs))) else 1


if __name__ == "__main__":
    sys.exit(main())
