"""What thinking costs: calls and tokens per turn of each reasoning strategy and memory, beside none.

The scripted provider answers whatever form is demanded; tokens are estimated. With no strategy a turn
is exactly one call: nobody pays for what is not asked for.

Run it with `nox -s bench`, or `python tests/bench/strategies.py [--rounds N]`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import pyscrai_core

REASONING: dict[str, Any] = {
    "none": None,
    "chain-of-thought": "chain-of-thought",
    "plan": "plan",
    "react": "react",
    "reflection": "reflection",
    "self-consistency": "self-consistency",
    "self-consistency of chain-of-thought": {"use": "self-consistency", "inner": "chain-of-thought"},
}
MEMORIES: dict[str, Any] = {
    "none": "none",
    "full": "full",
    "window": {"use": "window", "tokens": 300},
    "summary": {"use": "summary", "tokens": 500, "words": 40},
    "recall": "recall",
}
#: Plain words where no form is demanded; forms are generated.
RULE = "'I would rather wait and see what the others have to say about that.' if schema == None else None"
ACTIONS = {"offer": {"price": {"type": "integer", "minimum": 1, "maximum": 20}}, "accept": {}}


def measure(rounds: int, **agent: Any) -> tuple[float, float, float]:
    """Calls, input tokens and output tokens per turn."""
    scenario = {
        "scenario": "strategies",
        "providers": {"default": {"use": "scripted", "generate": True, "max_tokens": 100, "rule": RULE}},
        "world": {"premise": "A market at dawn."},
        "agents": {name: {"persona": "A trader.", "actions": ACTIONS, **agent} for name in ("Mara", "Jon")},
        "schedule": {"use": "round-robin", "rounds": rounds},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.json"
        path.write_text(json.dumps(scenario))
        result = pyscrai_core.run(path, store=Path(folder) / "runs.db")
    assert result.status == "completed", result.error
    turns = 2 * rounds
    return result.calls / turns, result.usage.input_tokens / turns, result.usage.output_tokens / turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    for title, chosen, key in (("reasoning", REASONING, "reasoning"), ("memory", MEMORIES, "memory")):
        print(f"{title:<38}{'calls':>7}{'tokens in':>11}{'out':>7}   a turn")
        for name, use in chosen.items():
            given = {} if use is None else {key: use}
            calls, sent, said = measure(rounds, **given)
            print(f"{name:<38}{calls:>7.2f}{sent:>11.0f}{said:>7.0f}")
        print()


if __name__ == "__main__":
    main()
