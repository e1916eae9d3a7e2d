"""The model and a tool of the chaos scenarios.

What they answer follows from what they are asked. Each call leaves a mark in a file before and after its
answer, one write for a line, which no kill can take back.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Sequence
from random import Random
from typing import Any

import orjson

from pyscrai_core import Completion, Provider, Request, Sink, ToolCall, Usage
from pyscrai_core.vendors import library_cost
from pyscrai_scripted.generate import generate

WORDS = (
    "the wind",
    "nobody",
    "a cart",
    "of apples",
    "is worth",
    "in autumn",
    "at this table",
    "I doubt that",
)
#: Arguments that a tool takes only in a form of its own; others are whatever their schema allows.
FORMS = {"expression": "{} * {}", "dice": "{}d{}", "path": "price"}


def mark(what: str, key: str) -> None:
    """Append a line: what happened, in which process of the harness, when, and to which call."""
    line = f"{what}\t{os.environ['CHAOS_PROCESS']}\t{time.time():.6f}\t{key}\n"
    file = os.open(os.environ["CHAOS_WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


class Witness(Provider):
    """A model that answers every request, in its form, after 1 to 10 milliseconds."""

    capabilities = frozenset({"tools", "schema", "seed"})

    async def aopen(self) -> None:
        self._ticking = asyncio.create_task(_tick())

    async def aclose(self) -> None:
        self._ticking.cancel()

    async def complete(self, request: Request, sink: Sink | None = None) -> Completion:
        position = request.position
        key = f"{position.agent}|{position.step}|{position.path}"
        asked = [*(message.digest for message in request.messages), orjson.dumps(request.schema).decode()]
        random = Random(f"{request.seed} {' '.join(asked)}")
        mark("start", key)
        await asyncio.sleep(0.001 + 0.009 * random.random())
        text, calls = _answer(request, random)
        mark("end", key)
        return Completion(
            text,
            tool_calls=calls,
            usage=Usage(20, 5),
            model="witness",
            finish_reason="tool_calls" if calls else "stop",
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        vectors = [[byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:8]] for text in texts]
        key = f"embed|{vectors[0]}|{len(vectors)}"
        mark("start", key)
        await asyncio.sleep(0.002)
        mark("end", key)
        return vectors


class Priced(Witness):
    """One whose price is looked up in a list, which takes more than half a second to load."""

    def cost(self, usage: Usage, model: str = "") -> float | None:
        return library_cost(usage, "gpt-4.1", vendor="openai")


async def weigh(load: str) -> dict[str, Any]:
    """Weigh a load. It reaches outside, as far as the kernel knows."""
    key = f"weigh|{load}"
    mark("start", key)
    await asyncio.sleep(0.003)
    mark("end", key)
    return {"key": key, "weight": len(load)}


def _answer(request: Request, random: Random) -> tuple[str, tuple[ToolCall, ...]]:
    if request.tools and random.random() < 0.4:
        tool = random.choice(request.tools)
        arguments = _sensible(generate(tool.parameters, random.getrandbits(32)), random)
        return "", (ToolCall(f"call-{random.getrandbits(32)}", tool.name, arguments),)
    if request.schema is not None:
        return orjson.dumps(_sensible(generate(request.schema, random.getrandbits(32)), random)).decode(), ()
    return " ".join(random.choices(WORDS, k=random.randint(2, 7))), ()


def _sensible(value: Any, random: Random) -> Any:
    """`value` with arguments that the tools can take."""
    if isinstance(value, list):
        return [_sensible(part, random) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        key: FORMS[key].format(random.randint(1, 6), random.randint(2, 20))
        if key in FORMS and isinstance(part, str)
        else _sensible(part, random)
        for key, part in value.items()
    }


async def _tick() -> None:
    """Show that the event loop is not blocked."""
    while True:
        mark("tick", "")
        await asyncio.sleep(0.05)
