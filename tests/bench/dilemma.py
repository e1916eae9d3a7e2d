"""Five rounds of the prisoner's dilemma between two SmolLM2 agents: exact, and sampled.

    python tests/bench/dilemma.py [--runs 10000] [--folder FOLDER]

First `pyscrai exact` computes how often both cooperate, with SmolLM2. Then whole runs
are sampled, whose provider tells the probabilities that the first part kept. Each count must lie within its
95 % multinomial interval, corrected for the number of values (Bonferroni), and chi-squared must not reject at
0.1 %. Ends with status 1 otherwise. With `--folder`, the probabilities stay there, and the same command
goes on.
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
from pyscrai_core.store.store import Store

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

from pyscrai_core import Provider
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
        assert found is not None, f"{request.position}: the exact computation did not ask this"
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


def exact(folder: Path) -> dict[str, Any]:
    path, scores = scenario(folder, "dilemma", MODEL), folder / "scores.jsonl"
    command = [sys.executable, "-m", "pyscrai_cli.main", "exact", str(path), "--outcome", OUTCOME, "--json"]
    began = time.monotonic()
    done = subprocess.run([*command, "--scores", str(scores)], stdout=subprocess.PIPE, check=True, cwd=folder)
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
    assert result.status == "completed", result.error
    return result.outcomes[OUTCOME]


def compare(found: dict[str, Any], counts: Counter[Any]) -> bool:
    runs = sum(counts.values())
    rows = [(one["value"], (one["at_least"] + one["at_most"]) / 2) for one in found["values"]]
    level = 1 - 0.05 / len(rows)
    print(f"| {OUTCOME} | exact | of {runs} runs | interval |\n| --- | --- | --- | --- |")
    inside = True
    for value, share in sorted(rows):
        low, high = (float(end) for end in stats.binom.interval(level, runs, share))
        inside = inside and low <= counts[value] <= high
        print(
            f"| {value} | {share:.4f} | {counts[value] / runs:.4f} | {low / runs:.4f} to {high / runs:.4f} |"
        )
    large = [(counts[value], share * runs) for value, share in rows if share * runs >= 5]
    rest = [runs - sum(seen for seen, _ in large), runs - sum(expected for _, expected in large)]
    cells = [*large, tuple(rest)] if rest[1] >= 1 else large
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in cells)
    p = float(stats.chi2.sf(statistic, len(cells) - 1))
    print(f"chi-squared {statistic:.1f}, {len(cells) - 1} degrees of freedom, p = {p:.3f}")
    print("all inside" if inside else "outside")
    return inside and p > 0.001


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = (given.folder or Path(made)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        found = exact(folder)
        return 0 if compare(found, asyncio.run(sampled(folder, given.runs))) else 1


if __name__ == "__main__":
    sys.exit(main())
