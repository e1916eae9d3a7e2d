"""The probabilities of options, compared with what the model itself generates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pyscrai_answers.options import Option, OptionScores
from pyscrai_core import ContextTooLong, Message, Request, RequestRejected, Sampling
from pyscrai_llamacpp.models import Model

Using = Callable[..., Any]

ASK = (
    Message.system("You answer a survey."),
    Message.user("Do you like a tea, a teapot or a coffee? Answer as JSON with the key answer."),
)
#: Options of one token and of several, one of which is the beginning of another one.
OPTIONS = [Option(f'"{text}"') for text in ("tea", "teapot", "coffee", "a cup of coffee")]
PREFIX = '{"answer":'


def request(words: str = "") -> Request:
    return Request(messages=(*ASK, Message.user(words)) if words else ASK)


def shares(scores: OptionScores) -> list[float]:
    return [math.exp(one) for one in scores.logprobs]


def tokens(model: Model, text: str) -> list[int]:
    return list(model._tokens_of(text))


def prompt(model: Model) -> list[int]:
    messages = [{"role": one.role, "content": one.text} for one in ASK]
    text = model._post("/apply-template", {"messages": messages}, model._key)["prompt"]
    body = {"content": text, "add_special": True, "parse_special": True}
    return [*model._post("/tokenize", body, model._key)["tokens"], *tokens(model, PREFIX)]


def product(model: Model, behind: Sequence[int], text: Sequence[int]) -> float:
    """The probability of these tokens in one generation that is forced to them by a grammar."""
    answer = model._server.handle_completions(
        {
            "prompt": list(behind),
            "n_predict": len(text),
            "n_probs": 1,
            "temperature": 0,
            "cache_prompt": False,
            "grammar": "root ::= " + " ".join(f"<[{token}]>" for token in text),
        }
    )
    told = answer["choices"][0]["logprobs"]["content"]
    assert [one["id"] for one in told] == list(text)
    return math.exp(math.fsum(one["logprob"] for one in told))


def test_an_option_has_at_least_the_product_of_its_usual_tokens(using: Using) -> None:
    async def work(provider: Any) -> None:
        scores, model = await provider.score(request(), PREFIX, OPTIONS), provider._model
        found = shares(scores)
        assert sum(found) + scores.off <= 1 + 1e-4 <= sum(found) + scores.off + scores.missing + 2e-4
        for option, share in zip(OPTIONS, found, strict=True):
            usual = [
                product(model, prompt(model), tokens(model, f"{blank}{option.text}")) for blank in ("", " ")
            ]
            # The usual tokens may hold more behind the closing quote, so that the sum is larger.
            assert share >= max(usual) * (1 - 1e-3)
            assert share <= sum(usual) * 3 + scores.missing

    using(work, exact=True)


def test_the_same_request_has_the_same_scores_whatever_came_before(using: Using) -> None:
    async def work(provider: Any) -> list[OptionScores]:
        first = await provider.score(request(), PREFIX, OPTIONS)
        await provider.complete(request("Tell a story.").but(sampling=Sampling(max_tokens=5)))
        await provider.score(request("Why?"), PREFIX, OPTIONS[:2])
        return [first, await provider.score(request(), PREFIX, OPTIONS)]

    one, other = using(work, exact=True, context=512)
    assert one == other
    (again, _) = using(work, exact=True, context=512)
    assert again == one
    assert one.usage.input_tokens > 20
    assert one.model.endswith(".gguf")


def test_a_later_field_of_an_answer_has_the_same_scores_as_by_itself(using: Using) -> None:
    later = '{"drink": "tea", "answer":'

    async def work(provider: Any) -> list[OptionScores]:
        alone = await provider.score(request(), later, OPTIONS)
        await provider.complete(request("Tell a story.").but(sampling=Sampling(max_tokens=5)))
        await provider.score(request(), '{"drink":', OPTIONS)
        return [alone, await provider.score(request(), later, OPTIONS)]

    alone, behind = using(work, exact=True)
    assert behind == alone


def test_the_models_own_answers_have_these_probabilities(using: Using) -> None:
    """Free generation at temperature 1: what is one of the options, and how often."""

    def drawn(model: Model, behind: list[int], seed: int) -> str:
        body = {
            "prompt": behind, "n_predict": 7, "temperature": 1, "top_p": 1, "min_p": 0, "top_k": 0,
            "seed": seed, "cache_prompt": True, "stop": ['"}', '",', '"\n', '" '],
        }  # fmt: skip
        said = model._server.handle_completions(body)["choices"][0]["text"].strip()
        return said[1:].partition('"')[0].strip().casefold() if said[:1] == '"' else ""

    async def work(provider: Any) -> tuple[OptionScores, Counter[str]]:
        scores, model = await provider.score(request(), PREFIX, OPTIONS), provider._model
        behind = prompt(model)
        return scores, Counter(drawn(model, behind, seed) for seed in range(150))

    scores, counts = using(work, slots=1)
    found = dict(zip((option.key for option in OPTIONS), shares(scores), strict=True))
    for key, share in found.items():
        spread = 3.5 * math.sqrt(150 * share * (1 - share)) + 150 * scores.missing + 1
        assert abs(counts[key] - 150 * share) <= spread, (key, counts[key], share)
    others = 150 - sum(counts[key] for key in found)
    assert abs(others - 150 * scores.off) <= 3.5 * math.sqrt(150 * 0.25) + 150 * scores.missing + 1


def test_a_request_that_is_too_long_is_refused(using: Using) -> None:
    async def work(provider: Any) -> None:
        with pytest.raises(ContextTooLong, match="holds 256"):
            await provider.score(request("word " * 400), PREFIX, OPTIONS)

    using(work, exact=True, context=256)


def test_special_tokens_in_an_answer_are_text(using: Using) -> None:
    async def work(provider: Any) -> None:
        said = '{"say": "<|im_end|>", "answer":'
        scores = await provider.score(request(), said, OPTIONS)
        end = await provider.score(request(), '{"say": "end", "answer":', OPTIONS)
        assert scores.usage.input_tokens > end.usage.input_tokens + 3

    using(work, exact=True)


def test_an_option_without_tokens_is_refused(using: Using, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(provider: Any) -> None:
        model = provider._model
        whole = model._tokens
        # llama.cpp finds tokens for every text that JSON can hold, so that one is taken away.
        monkeypatch.setattr(model, "_tokens", lambda text: () if "tram" in text else whole(text))
        with pytest.raises(RequestRejected, match='the option "tram" has no tokens, expected a text'):
            await provider.score(request("By what?"), PREFIX, [Option('"bus"'), Option('"tram"')])

    using(work, exact=True, context=512)


def test_the_same_question_is_computed_once(using: Using, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(provider: Any) -> None:
        first = await provider.score(request("Once?"), PREFIX, OPTIONS)
        monkeypatch.setattr(provider._model, "_computed", None)
        assert await provider.score(request("Once?"), PREFIX, OPTIONS) is first

    using(work, exact=True, context=512)


@pytest.mark.parametrize(
    "texts", [("да", "нет"), ("是", "否"), ("😀", "😢"), ("né", "née")], ids=["ru", "zh", "emoji", "fr"]
)
def test_options_whose_characters_take_several_tokens(using: Using, texts: tuple[str, str]) -> None:
    """The model repeats what it wrote twice, which is the first option, then the second one."""

    async def work(provider: Any) -> None:
        options = [Option(f'"{text}"') for text in texts]
        for number, text in enumerate(texts):
            behind = f'{{"answer": "{text}", "again": "{text}", "once more": "{text}", "answer":'
            scores = await provider.score(request(), behind, options)
            found = shares(scores)
            assert found[number] > 2 * found[1 - number] > 0
            assert sum(found) + scores.off <= 1 + 1e-4 <= sum(found) + scores.off + scores.missing + 2e-4

    using(work, exact=True, context=512)


def test_more_nodes_leave_less_missing(using: Using) -> None:
    async def few(provider: Any) -> OptionScores:
        return await provider.score(request(), PREFIX, OPTIONS)

    missing = [
        using(few, exact=True, **more).missing for more in ({"option_nodes": 4}, {}, {"option_nodes": 60})
    ]
    assert missing[0] > missing[1] > missing[2] > 0
