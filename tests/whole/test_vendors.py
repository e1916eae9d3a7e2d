"""The vendors' plugins in whole runs: a real model answers, behind each vendor's interface."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import pyscrai_core
from pyscrai_cli.main import cli
from pyscrai_core import Engine, Event, Memory, Message, ToolCall, ToolResult, Turn, api
from pyscrai_core.plugins import Host
from pyscrai_testing.models import TOOLS_TEMPLATE
from pyscrai_testing.servers import model_server

OLLAMA_TESTS = Path(__file__).parents[2] / "plugins/ollama/tests"


class Examples(Memory):
    """Recalls answers in the demanded form, since the smallest of models learns it from nothing else."""

    async def observe(self, events: Sequence[Event], turn: Turn) -> None:
        pass

    async def recall(self, turn: Turn) -> list[Message]:
        (action,) = turn.agent.actions
        told = []
        for price in (3, 8, 5):
            answer = {"say": "Good day.", "action": {action: {"price": price}}}
            question = Message.user(f"{turn.agent.name}, what do you say to the others now?")
            told += [question, Message.assistant(json.dumps(answer))]
        return told


class Reckoner(Engine):
    """Has the model reckon with its tool, after three times in which it did."""

    async def run(self, turn: Turn) -> None:
        history: list[Message] = []
        for number, (sum_, value) in enumerate((("6 * 7", "42"), ("10 + 5", "15"), ("9 * 9", "81"))):
            call = ToolCall(f"call_{number}", "calculator", {"expression": sum_})
            history += [
                Message.user(f"How much is {sum_}? Ask the calculator."),
                Message("assistant", (call,)),
                Message("tool", (ToolResult(call.id, value),)),
                Message.assistant(f"It is {value}."),
            ]
        question = Message.user("How much is 17 * 23? Ask the calculator.")
        turn.say((await turn.think([*history, question])).text)


MARKET = """\
scenario: market
seed: 7
providers:
  default: {PROVIDER, model: smollm2, temperature: 0, max_tokens: 60}
world:
  premise: A market at dawn.
  state: {price: 0, sold: 0}
agents:
  Mara:
    persona: You sell apples.
    engine: {use: actor, words: 12}
    memory: examples
    actions:
      offer: {description: name a price, price: {type: integer, minimum: 1, maximum: 9}}
  Jon:
    persona: You buy apples.
    engine: {use: actor, words: 12}
    memory: examples
    actions:
      bid:
        description: name a price
        price: {type: integer, minimum: 1, maximum: 9}
        when: state.price > 0
  Clerk: {engine: reckoner, tools: [calculator], memory: null}
rules:
  - {on: offer, set: {price: event.payload.price}}
  - {on: bid, set: {sold: state.sold + 1}}
schedule: {use: round-robin, rounds: 1}
outcomes: {price: state.price, sold: state.sold}
"""

MIXED = """\
scenario: mixed
seed: 7
providers:
  one: {use: openai, model: smollm2, base_url: "URL/v1", max_tokens: 12}
  two: {use: anthropic, model: smollm2, base_url: "URL", max_tokens: 12}
  three: {use: ollama, model: smollm2, base_url: "OLLAMA", max_tokens: 12}
  four: {use: llamacpp, model: smollm2, exact: true, max_tokens: 12}
world: {premise: A market at dawn.}
agents:
  Mara: {persona: A farmer., provider: one}
  Jon: {persona: A buyer., provider: two}
  Ida: {persona: A baker., provider: three}
  Tom: {persona: A thief., provider: four}
schedule: {use: simultaneous, rounds: 1}
"""


def module(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"ollama_{path.stem}", path)
    assert spec
    assert spec.loader
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def template() -> str:
    """A chat template that has a place for tools, which the model's own has not."""
    return TOOLS_TEMPLATE


@pytest.fixture(scope="module")
def url(template: str) -> Iterator[str]:
    with model_server(template=template) as url:
        yield url


@pytest.fixture(scope="module")
def ollama(url: str, template: str) -> Iterator[str]:
    with module(OLLAMA_TESTS / "ollama_server.py").ollama_server(upstream=url, template=template) as server:
        yield server


@pytest.mark.parametrize(
    "options, cost",
    [
        ('use: openai, base_url: "URL/v1"', "unknown"),
        ('use: openai, base_url: "URL/v1", tools: false', "unknown"),
        ('use: anthropic, base_url: "URL"', "unknown"),
        ('use: ollama, base_url: "OLLAMA"', r"\$0"),
    ],
    ids=["openai", "openai, tools in words", "anthropic", "ollama"],
)
@pytest.mark.slow
def test_a_market(
    options: str, cost: str, url: str, ollama: str, tmp_path: Path, host_with: Callable[..., Host]
) -> None:
    path = tmp_path / "market.yaml"
    path.write_text(MARKET.replace("PROVIDER", options.replace("URL", url).replace("OLLAMA", ollama)))
    host = host_with(engine__reckoner=Reckoner, memory__examples=Examples)
    result = pyscrai_core.run(path, store="runs.db", host=host)
    assert result.status == "completed", result.error

    def told(source: str, kind: str) -> list[dict[str, Any]]:
        return [event.payload for event in result.events if (event.source, event.kind) == (source, kind)]

    (offer,), (bid,) = told("Mara", "offer"), told("Jon", "bid")
    assert {type(offer["price"]), type(bid["price"])} == {int}
    assert result.outcomes == {"price": offer["price"], "sold": 1}
    used = told("Clerk", "tool")[0]
    assert used == {"name": "calculator", "arguments": {"expression": "17 * 23"}, "result": "391"}
    (said,) = told("Clerk", "say")
    assert "391" in said["text"]

    with api.Store.open("runs.db") as store:
        calls = list(store.run("last").calls())
    assert len(calls) == result.calls >= 4
    for call in calls:
        assert (call["kind"], call["status"], call["provider"]) == ("complete", "answered", "default")
        assert call["model"] == "smollm2"
        assert min(call["input_tokens"], call["output_tokens"]) > 0
    again = api.replay(store="runs.db", host=host)
    assert (again.fingerprint, again.asked) == (result.fingerprint, 0)
    shown = CliRunner().invoke(cli, ["show", "--store", "runs.db"]).stdout
    assert re.search(rf"cost +{cost}\b", shown), shown


def test_four_vendors_in_one_run(url: str, ollama: str, tmp_path: Path) -> None:
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED.replace("URL", url).replace("OLLAMA", ollama))
    result = pyscrai_core.run(path, store="runs.db")
    assert result.status == "completed", result.error
    assert [event.source for event in result.events] == ["Mara", "Jon", "Ida", "Tom"]
    assert all(event.payload["text"] for event in result.events)
    with api.Store.open("runs.db") as store:
        run = store.run("last")
        assert set(run.served) == {"one", "two", "three", "four"}
        assert all("smollm2" in model.lower() for model in run.served.values()), run.served
        assert {call["agent"]: call["provider"] for call in run.calls()} == {
            "Mara": "one",
            "Jon": "two",
            "Ida": "three",
            "Tom": "four",
        }
    assert api.replay(store="runs.db").fingerprint == result.fingerprint
