"""Closed choices that the kernel draws from a provider's probabilities."""

from __future__ import annotations

import asyncio
import json
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import pytest

import pyscrai_core
from pyscrai_answers.closed import Choice, Members, TooMany, has_choices, part_of
from pyscrai_answers.draws import check_distinct, draw, normalized, probabilities_drawn
from pyscrai_answers.options import NoTokens, Option, OptionScores, Told, score_options
from pyscrai_core import (
    ConfigError,
    Position,
    Request,
    RequestRejected,
    RunResult,
    Sampling,
    ScenarioError,
    api,
)
from pyscrai_records.store.store import Store
from pyscrai_scripted.provider import ScriptedProvider
from pyscrai_testing import check_resume

ACTIONS = {
    "offer": {"price": {"enum": [11, 12, 13]}, "fresh": {"type": "boolean"}},
    "lower": {"by": {"type": "integer", "minimum": 1, "maximum": 2}},
    "wait": {},
}
ODDS = {
    "offer": 0.5,
    "lower": 0.2,
    "wait": 0.2,
    "11": 0.2,
    "12": 0.3,
    "13": 0.1,
    "true": 0.05,
    "1": 0.01,
    "null": 0.0,
}


def scenario(provider: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "scenario": "draws",
        "seed": 3,
        "providers": {"default": {"use": "scripted", **provider}},
        "agents": {
            name: {"persona": "You trade.", "speak": False, "actions": ACTIONS} for name in ("Mara", "Jon")
        },
        "schedule": {"use": "simultaneous", "rounds": 4},
        "outcomes": {"kinds": "[e.kind for e in events]"},
        **more,
    }


def run(folder: Path, what: Mapping[str, Any], **more: Any) -> RunResult:
    path = folder / "s.json"
    path.write_text(json.dumps(what))
    return pyscrai_core.run(path, store=folder / "runs.db", trust=True, **more)


def answers(folder: Path, run_id: str) -> list[dict[str, Any]]:
    with Store.open(folder / "runs.db") as store:
        rows = store.connection.execute(
            'SELECT "answer" FROM "calls" WHERE "run"=? ORDER BY "agent","step","path"', (run_id,)
        )
        return [json.loads(row[0]) for row in rows if row[0]]


# -- what is closed --


@pytest.mark.parametrize(
    ("schema", "texts"),
    [
        ({"enum": ["a", "b"]}, ['"a"', '"b"']),
        ({"type": "string", "enum": ["a", 1]}, ['"a"']),
        ({"const": None}, ["null"]),
        ({"type": "boolean", "description": "?"}, ["true", "false"]),
        ({"type": "integer", "minimum": 1, "maximum": 3}, ["1", "2", "3"]),
        ({"anyOf": [{"enum": ["a"]}, {"type": "null"}]}, ['"a"', "null"]),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"enum": [1, 2]}}}, ["1", "2"]),
    ],
)
def test_closed_values(schema: dict[str, Any], texts: list[str]) -> None:
    part = part_of(schema, schema)
    assert isinstance(part, Choice)
    assert [one.option.text for one in part.alternatives] == texts


def obj(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def test_alternatives_that_are_objects_go_by_how_they_begin() -> None:
    kinds = [obj(kind={"const": kind}, size={"type": "integer"}) for kind in ("a", "b")]
    schema = {"oneOf": [*kinds, obj(other={"enum": [1, 2]})]}
    part = part_of(schema, schema)
    assert isinstance(part, Choice)
    assert [(one.option.text, one.label) for one in part.alternatives] == [
        ('{"kind": "a", "size"', "a"), ('{"kind": "b", "size"', "b"), ('{"other"', "other")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"}, {}, {"type": "integer", "minimum": 1},
        {"type": "number", "minimum": 1, "maximum": 2}, {"enum": [[1], [2]]},
        {"type": "array", "items": {"enum": [1]}}, {**obj(a={"enum": [1, 2]}), "required": []},
        {"anyOf": [{"enum": [1]}, {"type": "string"}]},
        {"anyOf": [obj(a={"type": "string"}), obj(a={"enum": [1]})]},
        {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]},
    ],
)  # fmt: skip
def test_what_is_not_closed_is_left_to_the_provider(schema: dict[str, Any]) -> None:
    assert part_of(schema, schema) is None
    assert not has_choices(schema)


def test_large_ranges_and_schemas_without_end() -> None:
    large = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
    assert part_of(large, large) == TooMany(1_000_000)
    endless: dict[str, Any] = {**obj(next={"$ref": "#"})}
    assert isinstance(part_of(endless, endless), Members)
    assert not has_choices(endless)
    circle = {"$ref": "#"}
    assert part_of(circle, circle) is None


# -- the draw --


def place(number: int) -> Position:
    return Position("Mara", number, "1/think.1#1")


def test_ten_thousand_draws_have_the_probabilities() -> None:
    own = [0.5, 0.25, 0.15, 0.08, 0.02]
    keys = list("abcde")
    drawn = Counter(draw(own, keys, 7, place(number), "x") for number in range(10_000))
    statistic = sum((drawn[n] - 10_000 * p) ** 2 / (10_000 * p) for n, p in enumerate(own))
    assert statistic < 18.47  # the 99.9 % point of chi-squared with 4 degrees of freedom


def test_a_draw_depends_neither_on_the_order_nor_on_the_number_of_options() -> None:
    for number in range(300):
        keys, own = ["a", "b", "c"], [0.5, 0.3, 0.2]
        first = keys[draw(own, keys, 7, place(number), "x")]
        assert keys[::-1][draw(own[::-1], keys[::-1], 7, place(number), "x")] == first
        more = ["z", *keys]
        found = more[draw([0.1, 0.45, 0.27, 0.18], more, 7, place(number), "x")]
        assert found in (first, "z")


def test_two_arms_with_common_noise_differ_only_as_much_as_their_probabilities() -> None:
    keys = ["a", "b", "c"]
    one, other = [0.5, 0.3, 0.2], [0.4, 0.4, 0.2]
    differ = sum(
        draw(one, keys, 7, place(n), "x") != draw(other, keys, 7, place(n), "x") for n in range(5000)
    )
    apart = sum(draw(one, keys, 7, place(n), "x") != draw(other, keys, 8, place(n), "x") for n in range(5000))
    # At least the total variation distance, 0.1; independent draws differ with 1 - 0.5*0.4 - 0.3*0.4 - 0.04.
    assert 0.1 - 0.02 < differ / 5000 < 0.2
    assert apart / 5000 == pytest.approx(0.64, abs=0.04)


def test_temperature_and_top_p_are_llama_cpps() -> None:
    scores, keys = [math.log(one) for one in (0.4, 0.3, 0.2, 0.1)], list("abcd")
    assert probabilities_drawn(scores, keys, Sampling()) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    hot = [one**0.5 for one in (0.4, 0.3, 0.2, 0.1)]
    assert probabilities_drawn(scores, keys, Sampling(temperature=2)) == pytest.approx(
        [one / sum(hot) for one in hot]
    )
    assert probabilities_drawn(scores, keys, Sampling(temperature=0)) == [1, 0, 0, 0]
    # top_p comes before the temperature: the smallest set with at least this mass.
    assert probabilities_drawn(scores, keys, Sampling(temperature=1, top_p=0.65)) == pytest.approx(
        [4 / 7, 3 / 7, 0, 0]
    )
    assert probabilities_drawn(scores, keys, Sampling(top_p=0.0)) == [1, 0, 0, 0]
    assert normalized([-1000.0, -1000.0]) == [0.5, 0.5]


# -- whole runs --


def test_a_run_records_what_was_drawn_and_from_what(tmp_path: Path) -> None:
    result = run(tmp_path, scenario({"odds": ODDS}))
    assert result.status == "completed", result.error
    first = answers(tmp_path, result.run)[0]
    noted = {one["field"]: one for one in first["draws"]}
    assert set(noted["action"]["probabilities"]) == {"offer", "lower", "wait", "null"}
    assert noted["action"]["probabilities"]["offer"] == pytest.approx(5 / 9)
    assert noted["action"]["off"] == pytest.approx(0.1)
    value = json.loads(first["text"])["action"]
    label = value if isinstance(value, str) else next(iter(value))
    assert noted["action"]["value"] == label
    assert all(kind in ACTIONS for kind in result.outcomes["kinds"])
    with Store.open(tmp_path / "runs.db") as store:
        assert store.run(result.run).manifest["draws"] == {"default": "kernel"}
    replayed = api.replay(result.run, store=tmp_path / "runs.db")
    assert replayed.fingerprint == result.fingerprint
    again = run(tmp_path, scenario({"odds": ODDS}, limits={"concurrency": 1}))
    assert again.outcomes == result.outcomes


def test_the_frequencies_of_whole_runs_are_those_of_the_odds(tmp_path: Path) -> None:
    what = scenario({"odds": {"a": 0.6, "b": 0.3}}, schedule={"use": "simultaneous", "rounds": 300})
    for agent in what["agents"].values():
        agent |= {"actions": {"a": {}, "b": {}}, "must_act": True}
    kinds = Counter(run(tmp_path, what).outcomes["kinds"])
    assert kinds["a"] / 600 == pytest.approx(2 / 3, abs=0.065)


def test_kernel_draws_are_resumed_and_replayed(tmp_path: Path) -> None:
    check_resume(scenario({"odds": ODDS, "latency": {"min": 0, "max": 0.01}}), tmp_path)


def test_a_fork_shares_the_noise_where_it_shares_positions(tmp_path: Path) -> None:
    same = run(tmp_path, scenario({"odds": ODDS}))
    other = run(tmp_path, scenario({"odds": {**ODDS, "offer": 0.49}}))
    assert same.outcomes == other.outcomes
    assert run(tmp_path, scenario({"odds": ODDS}), seed=4).outcomes != same.outcomes


def test_free_text_before_and_behind_a_choice(tmp_path: Path) -> None:
    what = scenario({"odds": ODDS, "generate": True})
    what["agents"] = {
        "Mara": {
            "persona": "You trade.",
            "actions": {
                "tell": {"mood": {"enum": ["calm", "glad"]}, "why": {"type": "string"}},
                "wait": {},
            },
            "must_act": True,
        }
    }
    what["providers"]["default"]["odds"] = {"tell": 0.9, "wait": 0.1, "calm": 0.0, "glad": 0.05}
    what["schedule"]["rounds"] = 12
    result = run(tmp_path, what)
    assert result.status == "completed", result.error
    told = [event for event in result.events if event.kind == "tell"]
    assert len(told) > 6
    assert {event.payload["mood"] for event in told} == {"glad"}
    for answer in answers(tmp_path, result.run):
        assert json.loads(answer["text"])["say"]
        assert answer["draws"][0]["field"] == "action"


BAD = """
import math
from pyscrai_core import Completion, Provider
from pyscrai_answers.options import OptionScores

class Bad(Provider):
    capabilities = frozenset({"schema", "options"})
    scores = %s

    async def score(self, request, prefix, options):
        return type(self).scores

    async def complete(self, request, sink=None):
        return Completion('{"action": "wait"}')
"""


@pytest.mark.parametrize(
    ("scores", "what"),
    [
        ("OptionScores((math.nan,) * 4)", "nan for the option"),
        ("OptionScores((0.5, -1.0, -1.0, -1.0))", "0.5 for the option"),
        ("OptionScores((-0.1,) * 4)", "probabilities with the sum 3.6"),
        ("OptionScores((-1.0,))", "1 scores for 4 options"),
        ("OptionScores((-2.0,) * 4, off=math.nan)", "nan for `off`"),
        ("OptionScores((-math.inf,) * 4, off=1.0)", "the model gives none of the options"),
        (
            "OptionScores((-math.inf,) * 4, off=0.3, missing=0.7)",
            "the probability of none of the options",
        ),
        ("None", "NoneType, expected OptionScores"),
    ],
)
def test_a_provider_that_tells_nonsense_fails_the_call(tmp_path: Path, scores: str, what: str) -> None:
    (tmp_path / "bad.py").write_text(BAD % scores)
    result = run(tmp_path, scenario({"use": "./bad.py:Bad"}))
    assert result.status == "failed"
    assert what in result.error
    assert "draw: provider" in result.error


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["calm", "Calm"], 'the options "calm" and "Calm" are the same apart from case'),
        (["1", 1], 'the options "1" and 1 are the same'),
        (["calm", " "], 'the option " " is empty, expected a text'),
    ],
)
def test_options_that_are_the_same_are_mistakes(tmp_path: Path, options: list[Any], what: str) -> None:
    what_is = scenario({"odds": ODDS})
    what_is["agents"]["Mara"]["actions"] = {"say_it": {"mood": {"enum": options}}}
    with pytest.raises(ScenarioError) as caught:
        run(tmp_path, what_is)
    (mistake,) = caught.value.mistakes
    assert mistake.path == "agents.Mara.actions.say_it.mood"
    assert re.search(r"s\.json:\d+:\d+", mistake.where)
    assert what in mistake.what
    assert "set `draw: provider`" in mistake.what
    assert not (tmp_path / "runs.db").exists()
    what_is["providers"]["default"] |= {"draw": "provider", "generate": True}
    assert run(tmp_path, what_is).status == "completed"


def test_options_that_are_the_same_only_in_an_answer_are_refused() -> None:
    with pytest.raises(RequestRejected, match='Mara: the answer: the options "a" and "A" are the same'):
        check_distinct([Option('"a"'), Option('"A"')], "Mara: the answer")


def test_the_provider_draws_where_the_scenario_or_the_number_says_so(tmp_path: Path, caplog: Any) -> None:
    both = {"odds": ODDS, "generate": True}
    result = run(tmp_path, scenario({**both, "draw": "provider"}))
    assert all("draws" not in answer for answer in answers(tmp_path, result.run))
    with Store.open(tmp_path / "runs.db") as store:
        assert store.run(result.run).manifest["draws"] == {"default": "provider"}
    large = scenario(both)
    for agent in large["agents"].values():
        agent["actions"] = {"bid": {"price": {"type": "integer", "minimum": 1, "maximum": 1_000_000}}}
        agent["must_act"] = True
    result = run(tmp_path, large)
    assert result.status == "completed", result.error
    assert all("draws" not in answer for answer in answers(tmp_path, result.run))


def test_a_provider_that_cannot_tell_is_asked_as_before(tmp_path: Path) -> None:
    result = run(tmp_path, scenario({"generate": True}))
    assert all("draws" not in answer for answer in answers(tmp_path, result.run))
    with Store.open(tmp_path / "runs.db") as store:
        assert store.run(result.run).manifest["draws"] == {"default": "provider"}
    with pytest.raises(ConfigError, match="providers.default.draw: .* does not tell the probabilities"):
        run(tmp_path, scenario({"generate": True, "draw": "kernel"}))


@pytest.mark.parametrize("old", [False, True])
def test_a_run_goes_on_as_it_began(tmp_path: Path, old: bool) -> None:
    provider = {"odds": ODDS, "generate": True, **({"draw": "provider"} if old else {})}
    result = run(tmp_path, scenario(provider, limits={"calls": 3}))
    assert result.status == "stopped"
    path = tmp_path / "runs.db"
    if old:  # as an older version would have written it
        with sqlite3.connect(path) as connection:
            (body,) = connection.execute("SELECT body FROM manifests").fetchone()
            manifest = json.loads(body)
            del manifest["draws"], manifest["scenario"]["providers"]["default"]["draw"]
            text = json.dumps(manifest)
            connection.execute("UPDATE manifests SET body=?, checksum=''", (text,))
    resumed = api.resume(result.run, store=path, set={"limits.calls": 99})
    assert resumed.status == "completed", resumed.error
    drawn = ["draws" in answer for answer in answers(tmp_path, result.run)]
    assert drawn.count(True) == (0 if old else 8)
    assert api.replay(result.run, store=path).fingerprint == resumed.fingerprint


def test_the_time_of_an_answer_is_that_of_all_its_parts(tmp_path: Path) -> None:
    agent = {"persona": "p", "speak": False, "must_act": True, "actions": {"offer": ACTIONS["offer"]}}
    what = scenario({"odds": ODDS, "latency": 0.05}, agents={"Mara": agent}, schedule="round-robin")
    result = run(tmp_path, what, set={"schedule.rounds": 1})
    with Store.open(tmp_path / "runs.db") as store:
        (call,) = store.run(result.run).calls()
        ended = store.run(result.run).ended
    assert len(call["answer"]["draws"]) == 2
    assert call["seconds"] >= 0.1
    assert call["started"] + call["seconds"] <= ended


def test_an_option_without_tokens_cannot_be_scored() -> None:
    walk = score_options([Option('"a"'), Option("?")], lambda text: (text,) if '"' in text else ())
    next(walk)
    with pytest.raises(NoTokens, match=r"the option \? has no tokens, expected a text that the model can"):
        walk.send([Told('"a"', b'"a"', -0.1)])


def test_a_backslash_at_the_end_of_an_option_is_a_part_of_it() -> None:
    options = [Option(r'"C:\\"'), Option(r'"say \"hi\""'), Option('"b"')]
    walk = score_options(options)
    next(walk)
    told = [Told(n, option.text.encode(), math.log(0.3)) for n, option in enumerate(options)]
    with pytest.raises(StopIteration) as end:
        walk.send(told)
    assert end.value.value.logprobs == pytest.approx([math.log(0.3)] * 3)


def test_options_keep_their_key_whatever_they_look_like() -> None:
    assert Option('"Red"').key == Option(' "red" ').key == Option("red").key
    texts: Sequence[str] = ["1", '"1"', "null", '"null"']
    assert len({Option(text).key for text in texts}) == 2


class OneAtATime(ScriptedProvider):
    """A provider that answers one after the other, and notes for whom."""

    concurrency = 1
    asked: ClassVar[list[str]] = []

    async def score(self, request: Request, prefix: str, options: Sequence[Option]) -> OptionScores:
        self.asked.append(request.position.agent)
        await asyncio.sleep(0)
        return await super().score(request, prefix, options)


def test_the_parts_of_an_answer_follow_each_other(play: Any) -> None:
    """A model's cache has only what came last."""
    OneAtATime.asked.clear()
    what = scenario({"use": "one", "odds": {**ODDS, "offer": 1.0, "lower": 0.0, "wait": 0.0}})
    assert play(what, provider__one=OneAtATime).status == "completed"
    assert len(OneAtATime.asked) > 2 * 4 * 2  # an answer has more than one part
    answers_begun = [name for name, _ in groupby(OneAtATime.asked)]
    assert len(answers_begun) <= 2 * 4
