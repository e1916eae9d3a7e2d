"""What PyScrAI adds to many calls at once, and how much of a conversation llama.cpp reads from its cache.

The first part sends 1,000 calls, 200 at a time, to a server in a process of its own, which answers each after
200 ms: through the OpenAI plugin, from a run that stores every call and event, and from a bare loop of
`asyncio.gather` over the same SDK, with the same requests. Once all calls may go as soon as one of the 200
places is free; once they come in five rounds, each of which waits for the one before it: for the run this is
its schedule, and the bare loop does the same. A run's time is from its start to its end: imports, opening the
store and making the client are in neither. Both begin without connections. Runs and loops take turns, and the
best of each counts, because these machines are noisy.

The second part has two people talk for 20 turns on the small local model, and compares the prompts' tokens
with those that llama.cpp had computed before.

Run it with `nox -s bench`, or `python tests/bench/vendors.py [--repeat N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai

import pyscrai_core
from pyscrai_core import Engine, Extension, Observer, Turn, hookimpl
from pyscrai_core.plugins import Host

CALLS, CONCURRENCY, LATENCY = 1000, 200, 0.2
QUESTION = "I would rather wait and see what the others have to say about that. " * 4
#: What is measured: a name, and the number of rounds.
SHAPES = (("all at once", 1), ("in five rounds", 5))
#: The most that a run may take, as a multiple of the bare loop's time.
MOST = 1.15

CONVERSATION = """
scenario: conversation
providers:
  default: {use: llamacpp, model: smollm2, exact: false, temperature: 0.7, max_tokens: 40}
world:
  premise: It is early in the morning at a bus stop. The bus is late again.
agents:
  Ada: {persona: You are a baker on your way home from a night's work., words: 25, on_error: skip}
  Ben: {persona: "You are a teacher on his way to school, and fond of old films.", words: 25, on_error: skip}
schedule: {use: round-robin, rounds: 10}
"""
#: The least share of the prompts' tokens that the cache should give.
LEAST = 0.8


# -- this file is a plugin as well, for an engine that only asks --

pyscrai_api = 1


class Asker(Engine):
    async def run(self, turn: Turn) -> None:
        turn.say((await turn.think(QUESTION)).text, to=())


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [Extension("asker", f"{__name__}:Asker")]


# -- many calls --


class Clock(Observer):
    """The time between a run's start and its end."""

    def __init__(self) -> None:
        self.began = self.took = 0.0

    def on_run(self, run: str, status: str, result: object) -> None:
        if status == "running":
            self.began = time.perf_counter()
        else:
            self.took = time.perf_counter() - self.began


def run_of_calls(url: str, rounds: int, folder: Path) -> float:
    """Seconds that a run takes."""
    scenario = {
        "scenario": "calls",
        "providers": {"default": {"use": "openai", "model": "fixed", "base_url": f"{url}/v1"}},
        "agents": {f"Agent-{number:04}": {"engine": "asker"} for number in range(CALLS // rounds)},
        "schedule": {"use": "simultaneous", "rounds": rounds},
        "limits": {"concurrency": CONCURRENCY},
    }
    path = folder / "calls.json"
    path.write_text(json.dumps(scenario))
    clock, host = Clock(), Host(extra=[sys.modules[__name__]])
    gc.collect()
    result = pyscrai_core.run(path, store=folder / f"{time.time_ns()}.db", observers=[clock], host=host)
    assert result.status == "completed", result.error
    assert result.asked == len(result.events) == CALLS
    return clock.took


def loop_of_calls(url: str, rounds: int) -> float:
    """Seconds that a bare loop takes, with the client made as the plugin makes it."""

    async def main() -> float:
        free = asyncio.Semaphore(CONCURRENCY)
        timeout = openai.Timeout(1800, connect=10)
        client = openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0, timeout=timeout)

        async def call(seed: int) -> str | None:
            async with free:
                answer = await client.chat.completions.create(
                    model="fixed", messages=[{"role": "user", "content": QUESTION}], seed=seed
                )
            return answer.choices[0].message.content

        async with client:
            began = time.perf_counter()
            for _ in range(rounds):
                answers = await asyncio.gather(*map(call, range(CALLS // rounds)))
                assert all(answers)
            return time.perf_counter() - began

    gc.collect()
    return asyncio.run(main())


@contextmanager
def slow_server() -> Iterator[str]:
    """The URL of a server that answers after `LATENCY` seconds, in a process of its own."""
    command = [sys.executable, "-m", "pyscrai_testing.servers", "--latency", str(LATENCY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


def many_calls(repeat: int) -> None:
    print(f"{CALLS:,} calls of {LATENCY * 1000:.0f} ms, {CONCURRENCY} at a time   bare ms    run ms   ratio")
    with slow_server() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loop_of_calls(url, 1)
        run_of_calls(url, 1, folder)  # imports what the first run would otherwise pay for
        for shape, rounds in SHAPES:
            bare, ran = [], []
            for _ in range(repeat):
                bare.append(loop_of_calls(url, rounds))
                ran.append(run_of_calls(url, rounds, folder))
            ratio = min(ran) / min(bare)
            verdict = "" if ratio <= MOST else f"  more than {MOST}"
            print(f"{shape:41} {min(bare) * 1000:9.0f} {min(ran) * 1000:9.0f} {ratio:7.2f}{verdict}")


# -- a long conversation --


def conversation(memory: str, slots: int, folder: Path) -> None:
    path = folder / "conversation.yaml"
    path.write_text(CONVERSATION)
    changes: dict[str, Any] = {f"agents.{name}.memory": memory for name in ("Ada", "Ben")}
    changes["providers.default.slots"] = slots
    result = pyscrai_core.run(path, set=changes, store=folder / "conversation.db")
    assert result.status == "completed", result.error
    assert result.calls >= 20  # some are asked again
    cached, asked = result.usage.cached_tokens, result.usage.input_tokens
    verdict = "" if cached >= LEAST * asked else f"  less than {LEAST:.0%}"
    print(f"{memory:8} {slots:6} {asked:15,} {cached:12,} {cached / asked:7.1%}{verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each figure; the best counts")
    many_calls(parser.parse_args().repeat)
    print("\n20 turns on llama.cpp\nmemory    slots   prompt tokens   from cache   share")
    with tempfile.TemporaryDirectory() as name:
        # Other slots are another model in memory, whose cache is empty when the conversation begins.
        for memory, slots in (("full", 2), ("window", 4)):
            conversation(memory, slots, Path(name))


if __name__ == "__main__":
    main()
