"""What the memory `recall` costs: milliseconds per turn and megabytes, for many agents and many events.

Nearly everything is heard by everybody, in a vocabulary that is as uneven as a language: each agent takes
over what was said since its last turn, and recalls. Kernel, store and model are left out. Times are those of
the processor, since these machines are noisy.

Run it with `python tests/bench/memory.py [--agents N] [--events N] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import resource
import time
from types import SimpleNamespace
from typing import Any

from pyscrai_core import Event, estimate_tokens
from pyscrai_memory.recall import RecallConfig, RecallMemory

#: Words that are drawn from, and those of one event; every tenth event is for one agent alone.
VOCABULARY, WORDS, SECRET = 5_000, 14, 10


def said(agents: list[str], count: int, rounds: int, draw: random.Random) -> list[Event]:
    """`count` events, spread over `rounds` steps."""
    words = [f"word{n}" for n in range(VOCABULARY)]
    weights = [1 / (n + 1) for n in range(VOCABULARY)]  # Zipf's law
    events = []
    for seq in range(1, count + 1):
        text = " ".join(draw.choices(words, weights, k=WORDS))
        audience = (draw.choice(agents),) if seq % SECRET == 0 else ("*",)
        source = draw.choice(agents)
        events.append(Event(seq, 1 + (seq - 1) * rounds // count, "say", source, audience, {"text": text}))
    return events


def peak() -> float:
    """The most memory that this process has had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(agents: int, count: int, rounds: int) -> None:
    names = [f"Agent-{n:04}" for n in range(agents)]
    events = said(names, count, rounds, random.Random(7))
    memories = {name: RecallMemory(RecallConfig()) for name in names}
    turns: dict[str, Any] = {
        name: SimpleNamespace(agent=SimpleNamespace(name=name), others=(), step=0) for name in names
    }
    gc.collect()
    before = peak()
    print(f"{agents:,} agents, {count:,} events, {rounds} turns each; {before:.0f} MB before")
    for step in range(1, rounds + 1):
        fresh = [event for event in events if event.step == step]
        seconds: list[float] = []
        for name, memory in memories.items():
            heard = [e for e in fresh if "*" in e.audience or name in e.audience or e.source == name]
            turns[name].step = step
            began = time.process_time()
            await memory.observe(heard, turns[name])
            recalled = await memory.recall(turns[name])
            seconds.append(time.process_time() - began)
        seconds.sort()
        tokens = sum(map(estimate_tokens, recalled))
        told = sum(message.text.startswith("You remember:") for message in recalled)
        print(
            f"step {step:3}: {len(memories[names[-1]]._archive):6,} in the archive, "
            f"{sum(seconds) / agents * 1000:6.2f} ms a turn (slowest {seconds[-1] * 1000:.1f}), "
            f"{tokens} tokens, {told} recalled, {peak():.0f} MB"
        )
    each = (peak() - before) * 1024 / agents
    print(f"{peak() - before:.0f} MB for all memories, {each:.0f} KB for each agent")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    asyncio.run(measure(given.agents, given.events, given.rounds))


if __name__ == "__main__":
    main()
