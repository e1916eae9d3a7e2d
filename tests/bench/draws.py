"""Kernel draws with SmolLM2: paired arms, marginals, the bias of the order, and the cost.

    python tests/bench/draws.py             everything; some minutes on two free cores
    python tests/bench/draws.py apple       one part: apple, marginals, forms, bias or cost

`apple`: two personas name a price from 1 to 20 in 200 pairs under common seeds. The variance of the
difference, divided by that of unpaired arms, for the kernel's draws and llama.cpp's own, with 95 % intervals
and the number of pairs that each needs.
`marginals`: 2,000 of the model's own answers, and 10,000 draws, against the probabilities: options of one
token at three temperatures, and of several tokens at temperature 1.
`forms`: how far probabilities are from those of a walk through 200 nodes, with and without the estimate for
what is not followed, for 20 prompts.
`bias`: how probable a five-option question's options are by their place, over all 120 orders.
`cost`: the time of one scored choice among five options over that of one generated answer of the same prompt.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from threading import Event
from typing import Any

from scipy import stats

from pyscrai_answers import options as walks
from pyscrai_answers.draws import draw, normalized, probabilities_drawn
from pyscrai_answers.options import Option, OptionScores
from pyscrai_core import Message, Position, Request, Sampling
from pyscrai_core.base import seeds
from pyscrai_llamacpp.provider import LlamaCppProvider
from pyscrai_statistics import replicates_paired

FORM = "Answer as JSON with the key"
PAIRS = 200
OWN = 2_000
DRAWS = 10_000
#: How many of the model's own answers are computed at the same time, with seeds that follow each other.
TOGETHER = 32
TEMPERATURES = (0.5, 1.0, 2.0)
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


#: Two clearly different sellers.
PERSONAS = (
    "You are a poor farmer who sells cheap, for 5 to 9 coins.",
    "You are a rich merchant who sells dear, for 12 to 18 coins.",
)
ASK = "A stranger asks for the price of a basket of apples. The price is a whole number of coins, at most 20."
#: The difference, in coins, for which replicates are computed.
COINS = 1.0


async def apple() -> None:
    provider = await opened(slots=2, threads=1)
    options = [Option(str(price)) for price in range(1, 21)]
    keys = [option.key for option in options]

    def request(arm: int, seed: int = 0) -> Request:
        return Request(
            messages=(Message.system(PERSONAS[arm]), Message.user(f"{ASK} {FORM} price.")),
            schema=schema("price", {"type": "integer", "minimum": 1, "maximum": 20}),
            sampling=Sampling(temperature=1, top_p=1, max_tokens=30),
            seed=seed,
        )

    scores = [await provider.score(request(arm), '{"price":', options) for arm in (0, 1)]
    chances = [normalized(one.logprobs) for one in scores]
    for arm, one in enumerate(scores):
        mean = sum(price * share for price, share in enumerate(chances[arm], 1))
        print(f"arm {arm}: off {one.off:.3f}, missing {one.missing:.3f}, {_top(keys, chances[arm])}")
        print(f"  mean {mean:.2f}")
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
        needed = replicates_paired([a - b for a, b in zip(one, other, strict=True)], difference=COINS)
        print(
            f"{name}: means {statistics.mean(one):.2f} and {statistics.mean(other):.2f}, variance ratio "
            f"{_ratio(one, other):.2f} ({low:.2f} to {high:.2f})"
        )
        print(f"  {needed.estimate:.0f} pairs find a difference of {COINS:g} with 80 % power")


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
    """The model's own free answers against the probabilities, and draws against them."""
    provider = await opened(threads=1, slots=TOGETHER, context=256)
    shown = [
        *(Message.user("How do you like the park, from 1 to 5?"), Message.assistant('{"level": 4}')),
        *(Message.user("How do you like the noise, from 1 to 5?"), Message.assistant('{"level": 2}')),
        Message.user("How do you like the bus, from 1 to 5?"),
    ]
    levels = [Option(str(level)) for level in range(1, 6)]
    for temperature in TEMPERATURES:
        # A model's temperature also changes how often the number ends; at 1, that is compared too.
        await _compared(provider, shown, '{"level": ', levels, temperature, 2 if temperature == 1 else 1)
    survey = [
        *(Message.user("A rose, a rosebud or a lily?"), Message.assistant('{"answer": "rosebud"}')),
        *(
            Message.user("A cup, a cupboard or a cup of milk?"),
            Message.assistant('{"answer": "cup of milk"}'),
        ),
        Message.user("A tea, a teapot, a coffee or a cup of coffee?"),
    ]
    words = [Option(f'"{text}"') for text in ("tea", "teapot", "coffee", "a cup of coffee")]
    await _compared(provider, survey, '{"answer":', words, 1.0, 7)
    # Without examples, the model writes them in many forms, of which not all are followed.
    asked = [Message.system("You are Ann, a voter."), Message.user("Answer yes or no. Do you vote?")]
    await _compared(provider, asked, '{"go":', [Option('"yes"'), Option('"no"')], 1.0, 5)
    await provider.aclose()


async def _compared(
    provider: LlamaCppProvider,
    messages: Sequence[Message],
    prefix: str,
    options: Sequence[Option],
    temperature: float,
    tokens: int,
) -> None:
    """`OWN` answers of the model, each of up to so many tokens, and `DRAWS` draws."""
    model: Any = provider._model
    scores = await provider.score(Request(messages=tuple(messages)), prefix, options)
    plain = [{"role": one.role, "content": one.text} for one in messages]
    text = model._post("/apply-template", {"messages": plain}, model._key)["prompt"]
    body = {"content": text, "add_special": True, "parse_special": True}
    prompt = [*model._post("/tokenize", body, model._key)["tokens"], *model._tokens(prefix)]
    keys = [option.key for option in options]
    drawn_from = probabilities_drawn(scores.logprobs, keys, Sampling(temperature=temperature))
    counts: Counter[str] = Counter()
    for seed in range(0, OWN, TOGETHER):
        counts.update(_own(model, prompt, seed, temperature, tokens, min(TOGETHER, OWN - seed)))
    seen = [counts[key] for key in keys]
    print(f"temperature {temperature:g}: off {scores.off:.4f}, missing {scores.missing:.4f}")
    print("| option | probability | share of the model's own answers |\n| --- | --- | --- |")
    for key, share, count in zip(keys, drawn_from, seen, strict=True):
        print(f"| {key} | {share:.4f} | {count / sum(seen):.4f} |")
    print(f"{sum(seen)} of {OWN} own answers are options: {_fit(seen, drawn_from)}")
    taken = Counter(draw(drawn_from, keys, 1, position(number), "answer") for number in range(DRAWS))
    print(f"{DRAWS} draws: {_fit([taken[n] for n in range(len(keys))], drawn_from)}", flush=True)


def _own(
    model: Any, prompt: list[int], seed: int, temperature: float, tokens: int, count: int
) -> Iterator[str]:
    """The options' keys in so many answers that the model writes by itself; "" for anything else."""
    body = {
        "prompt": prompt, "n_predict": tokens, "temperature": temperature, "top_p": 1, "min_p": 0,
        "top_k": 0, "seed": seed, "n": count, "cache_prompt": True, "stop": ["}"],
    }  # fmt: skip
    for answer in model._server.handle_completions(body)["choices"]:
        said = answer["text"].strip()
        if said[:1] == '"':
            yield said[1:].partition('"')[0].strip().casefold()
        else:
            number = said.partition(",")[0].strip()
            ended = tokens == 1 or number != said or answer["finish_reason"] == "stop"
            yield number if ended else ""


def _fit(counts: Sequence[int], chances: Sequence[float]) -> str:
    """Chi-squared, with the options that are too rare for it as one."""
    total = sum(counts)
    pairs = list(zip(counts, chances, strict=True))
    common = [(n, p) for n, p in pairs if total * p >= 5]
    rare = (total - sum(n for n, _ in common), 1 - sum(p for _, p in common))
    cells = [*common, rare] if len(common) < len(pairs) and total * rare[1] >= 1 else common
    found = _chi_squared([n for n, _ in cells], [p / sum(p for _, p in cells) for _, p in cells])
    p = float(stats.chi2.sf(found, len(cells) - 1))
    return f"chi-squared {found:.2f}, {len(cells) - 1} degrees of freedom, p = {p:.3f}"


def _chi_squared(counts: Sequence[int], chances: Sequence[float]) -> float:
    total = sum(counts)
    return sum((n - total * p) ** 2 / (total * p) for n, p in zip(counts, chances, strict=True))


# -- options in many forms --

#: Texts, actions and numbers.
ASKED = (
    ("Answer yes or no. Do you accept the offer of nine coins?", "accept", ('"yes"', '"no"')),
    ("How do you travel: bus, bicycle, car, walk or train?", "way", tuple(f'"{way}"' for way in WAYS)),
    ("Rate the park: poor, fair or good.", "rate", ('"poor"', '"fair"', '"good"')),
    ('Your actions:\n- {"cooperate": {}}\n- {"defect": {}}', "action", ('{"cooperate"', '{"defect"')),
    ("Rate the park from 1 to 5.", "rate", ("1", "2", "3", "4", "5")),
)
ANSWERERS = (
    "You are Ann, a voter.",
    "You are a greedy merchant.",
    "You are a kind farmer with three children.",
    "You are a judge.",
)


async def forms() -> None:
    """How far probabilities are from those of a walk through 200 nodes, with and without the estimate."""
    provider = await opened(threads=1)

    async def shares(nodes: int | None = None) -> list[list[float]]:
        model = provider._model
        assert model is not None
        model._kept.clear()
        found = []
        for persona, (words, key, texts) in itertools.product(ANSWERERS, ASKED):
            messages = [{"role": "system", "content": persona}, {"role": "user", "content": words}]
            options = [Option(text, opening=text.startswith("{")) for text in texts]
            scores = model.score(messages, f'{{"{key}":', options, nodes, Event())
            asked.append(scores.usage.output_tokens)
            found.append(normalized(scores.logprobs))
        return found

    asked: list[int] = []
    truth = await shares(200)
    estimate = walks._Walk._estimated
    for what in ("with", "without"):
        if what == "without":
            walks._Walk._estimated = lambda self: [0.0] * len(self._options)  # type: ignore[method-assign]
        asked.clear()
        found = await shares()
        errors = [
            max(abs(one - other) for one, other in zip(*pair, strict=True))
            for pair in zip(found, truth, strict=True)
        ]
        print(
            f"{what} the estimate: the largest error of a share in {len(errors)} prompts is "
            f"{statistics.mean(errors):.3f} on average, and {max(errors):.3f} at most; "
            f"{min(asked)} to {max(asked)} tokens were computed, {statistics.median(asked)} usually",
            flush=True,
        )
    walks._Walk._estimated = estimate  # type: ignore[method-assign]
    await provider.aclose()


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


PARTS = {"apple": apple, "marginals": marginals, "forms": forms, "bias": bias, "cost": cost}


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        print(f"== {name}", flush=True)
        asyncio.run(PARTS[name]())
