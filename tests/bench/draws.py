"""Kernel draws with SmolLM2: paired arms, marginals, the bias of the order, and the cost.

    python tests/bench/draws.py             everything; some minutes on two free cores
    python tests/bench/draws.py apple       one part: apple, marginals, bias or cost

`apple`: two personas name a price from 1 to 20 in 200 pairs under common seeds. The variance of the
difference, divided by that of unpaired arms, for the kernel's draws and llama.cpp's own, with 95 % intervals.
`marginals`: 2,000 of the model's own answers at temperature 1, and 10,000 draws, against the probabilities.
`bias`: how probable a five-option question's options are by their place, over all 120 orders.
`cost`: the time of one scored choice among five options over that of one generated answer of the same prompt.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from pyscrai_llamacpp.provider import LlamaCppProvider

from pyscrai_core import Message, Position, Request, Sampling
from pyscrai_core.answers.draws import draw, normalized
from pyscrai_core.base import seeds
from pyscrai_core.base.options import Option, OptionScores

FORM = "Answer as JSON with the key"
PAIRS = 200
OWN = 2_000
DRAWS = 10_000
WAYS = ("bus", "bicycle", "car", "walk", "train")


def schema(key: str, part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {key: part}, "required": [key], "additionalProperties": False}


def position(number: int) -> Position:
    return Position("Mara", number, "1/think.1#1")


async def opened(**options: Any) -> LlamaCppProvider:
    provider = LlamaCppProvider(LlamaCppProvider.Config(**{"slots": 1, "min_p": 0.0, "top_k": 0, **options}))
    await provider.aopen()
    return provider


# -- paired arms --


async def apple() -> None:
    provider = await opened(slots=2)
    farmer = "You are a farmer who sells apples."
    personas = (farmer, f"{farmer} Your children are hungry.")
    ask = "A stranger asks for the price of a basket of apples, from 1 to 20 coins."
    options = [Option(str(price)) for price in range(1, 21)]
    keys = [option.key for option in options]

    def request(arm: int, seed: int = 0) -> Request:
        return Request(
            messages=(Message.system(personas[arm]), Message.user(f"{ask} {FORM} price.")),
            schema=schema("price", {"type": "integer", "minimum": 1, "maximum": 20}),
            sampling=Sampling(temperature=1, top_p=1, max_tokens=30),
            seed=seed,
        )

    scores = [await provider.score(request(arm), '{"price":', options) for arm in (0, 1)]
    chances = [normalized(one.logprobs) for one in scores]
    for arm, one in enumerate(scores):
        print(f"arm {arm}: off {one.off:.3f}, missing {one.missing:.3f}, {_top(keys, chances[arm])}")
    kernel: list[list[float]] = [[], []]
    own: list[list[float]] = [[], []]
    began = time.time()
    for seed in range(PAIRS):
        given = seeds.derive(seed, "Mara", 1, "1/think.1#1")
        for arm in (0, 1):
            kernel[arm].append(1 + draw(chances[arm], keys, given, position(1), "price"))
        answers = await asyncio.gather(*(provider.complete(request(arm, given)) for arm in (0, 1)))
        for arm, answer in enumerate(answers):
            own[arm].append(json.loads(answer.text)["price"])
        if seed % 20 == 19:
            print(f"  {seed + 1} pairs, {time.time() - began:.0f} s", file=sys.stderr, flush=True)
    await provider.aclose()
    for name, (one, other) in (("kernel", kernel), ("llama.cpp", own)):
        low, high = _interval(one, other)
        found = _ratio(one, other)
        print(f"{name}: variance ratio {found:.2f} ({low:.2f} to {high:.2f}), {found:.2f} of the replicates")


def _ratio(one: Sequence[float], other: Sequence[float]) -> float:
    paired = statistics.variance([a - b for a, b in zip(one, other, strict=True)])
    return paired / (statistics.variance(one) + statistics.variance(other))


def _interval(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    random, found = Random(1), []
    for _ in range(2000):
        chosen = [random.randrange(len(one)) for _ in one]
        found.append(_ratio([one[n] for n in chosen], [other[n] for n in chosen]))
    found.sort()
    return found[50], found[1949]


def _top(labels: Sequence[str], chances: Sequence[float]) -> str:
    order = sorted(range(len(labels)), key=lambda n: -chances[n])[:4]
    return ", ".join(f"{labels[n]}: {chances[n]:.2f}" for n in order)


# -- marginals --


async def marginals() -> None:
    provider = await opened()
    model: Any = provider._model
    ask = "Do you like a tea, a teapot or a coffee? Answer as JSON with the key answer."
    messages = [Message.system("You answer a survey."), Message.user(ask)]
    options = [Option(f'"{text}"') for text in ("tea", "teapot", "coffee", "a cup of coffee")]
    scores = await provider.score(Request(messages=tuple(messages)), '{"answer":', options)
    plain = [{"role": one.role, "content": one.text} for one in messages]
    text = model._post("/apply-template", {"messages": plain}, model._key)["prompt"]
    body = {"content": text, "add_special": True, "parse_special": True}
    prompt = [*model._post("/tokenize", body, model._key)["tokens"], *model._tokens_of('{"answer":')]
    counts: Counter[str] = Counter()
    for seed in range(OWN):
        counts[_own(model, prompt, seed)] += 1
    shares = {option.key: math.exp(one) for option, one in zip(options, scores.logprobs, strict=True)}
    shares["(off)"] = scores.off
    counts["(off)"] = OWN - sum(counts[key] for key in shares)
    for key, share in shares.items():
        print(f"  {key}: probability {share:.4f}, own answers {counts[key] / OWN:.4f} of {OWN}")
    within = {key: share for key, share in shares.items() if key != "(off)"}
    total, seen = sum(within.values()), sum(counts[key] for key in within)
    own = _chi_squared([counts[key] for key in within], [share / total for share in within.values()])
    print(
        f"own answers that are options: {seen}, chi-squared {own:.2f}, {len(within) - 1} degrees of freedom"
    )
    chances, keys = normalized(scores.logprobs), [option.key for option in options]
    drawn = Counter(draw(chances, keys, 1, position(number), "answer") for number in range(DRAWS))
    found = _chi_squared([drawn[n] for n in range(len(keys))], chances)
    print(f"{DRAWS} draws: chi-squared {found:.2f}, {len(keys) - 1} degrees of freedom")
    await provider.aclose()


def _own(model: Any, prompt: list[int], seed: int) -> str:
    body = {
        "prompt": prompt, "n_predict": 7, "temperature": 1, "top_p": 1, "min_p": 0, "top_k": 0, "seed": seed,
        "cache_prompt": True, "stop": ["}"],
    }  # fmt: skip
    said = model._server.handle_completions(body)["choices"][0]["text"].strip()
    return said[1:].partition('"')[0].strip().casefold() if said[:1] == '"' else ""


def _chi_squared(counts: Sequence[int], chances: Sequence[float]) -> float:
    total = sum(counts)
    return sum((n - total * p) ** 2 / (total * p) for n, p in zip(counts, chances, strict=True))


# -- the order of options --


async def bias() -> None:
    provider = await opened()
    places: list[list[float]] = [[] for _ in WAYS]
    by_way: dict[str, list[float]] = {way: [] for way in WAYS}
    for number, order in enumerate(itertools.permutations(WAYS)):
        scores = await _asked(provider, order)
        for place, (way, share) in enumerate(zip(order, normalized(scores.logprobs), strict=True)):
            places[place].append(share)
            by_way[way].append(share)
        if number % 20 == 19:
            print(f"  {number + 1} orders", file=sys.stderr, flush=True)
    await provider.aclose()
    print("| place | mean probability |\n| --- | --- |")
    for place, shares in enumerate(places, 1):
        print(f"| {place} | {statistics.mean(shares):.3f} |")
    print("by option:", ", ".join(f"{way} {statistics.mean(shares):.3f}" for way, shares in by_way.items()))


async def _asked(provider: LlamaCppProvider, ways: Sequence[str], number: int = 0) -> OptionScores:
    return await provider.score(_question(ways, number), '{"answer":', [Option(f'"{way}"') for way in ways])


def _question(ways: Sequence[str], number: int) -> Request:
    words = f"How do you usually get to work? Choose one of: {', '.join(ways)}. {FORM} answer."
    persona = f"You are respondent {number} of a survey. " + "The town is quiet and green. " * 12
    return Request(
        messages=(Message.system(persona if number else "You answer a survey."), Message.user(words)),
        schema=schema("answer", {"enum": list(ways)}),
        sampling=Sampling(temperature=1, max_tokens=40),
        seed=number,
    )


# -- cost --


async def cost() -> None:
    for options in ({"exact": True}, {"exact": False}):
        provider = await opened(**options, threads=1)
        await _asked(provider, WAYS, 1000)
        scored, written = [], []
        for number in range(1, 17):
            began = time.perf_counter()
            await provider.complete(_question(WAYS, number))
            written.append(time.perf_counter() - began)
            began = time.perf_counter()
            await _asked(provider, WAYS, number + 100)
            scored.append(time.perf_counter() - began)
        one, other = statistics.median(scored), statistics.median(written)
        ratio = statistics.median(a / b for a, b in zip(scored, written, strict=True))
        print(f"{options}: scored {one * 1000:.0f} ms, written {other * 1000:.0f} ms, ratio {ratio:.2f}")
        await provider.aclose()


PARTS = {"apple": apple, "marginals": marginals, "bias": bias, "cost": cost}


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        print(f"== {name}", flush=True)
        asyncio.run(PARTS[name]())
