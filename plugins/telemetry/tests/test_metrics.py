"""The metrics, beside the totals of the store; as a collector gets them, and as Prometheus reads them."""

from __future__ import annotations

import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyscrai_core import Completion, Engine, Provider, Usage, api
from pyscrai_records.store.store import Store
from pyscrai_telemetry.observer import Telemetry
from pyscrai_telemetry.output import forget

INPUT = "gen_ai.client.inference.usage.input_tokens"
OUTPUT = "gen_ai.client.inference.usage.output_tokens"


class Talks(Engine):
    async def run(self, turn: Any) -> None:
        if turn.agent.actions:
            turn.emit("jump")
        turn.say((await turn.think("What do you say?")).text)


SCENARIO: dict[str, Any] = {
    "scenario": "talking",
    "providers": {
        "default": {
            "use": "scripted",
            "replies": ["one", "a longer one", "three three three"],
            "faults": [{"kind": "overload", "at": [{"agent": "Ann", "turn": 1}], "times": 1}],
        }
    },
    "agents": {
        "Ann": {"engine": "talks"},
        "Bob": {"engine": "talks", "actions": {"jump": {"when": "step > 2"}}},
    },
    "schedule": {"use": "simultaneous", "rounds": 4},
}


@pytest.fixture(autouse=True)
def _prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyscrai.toml").write_text("[prices.scripted]\ninput = 1000\noutput = 5000\n")


def check_totals(collector: Any, store: Path, run: str) -> None:
    with Store.open(str(store), create=False) as opened:
        stored = opened.run(run)
        calls = [one for one in stored.calls() if one["kind"] == "complete"]
        kinds = Counter(event.kind for event in stored.events())
        usage, cost = stored.usage(), stored.cost()
    assert usage.input_tokens > 0
    assert collector.total(INPUT) == usage.input_tokens
    assert collector.total(OUTPUT) == usage.output_tokens
    assert collector.total(INPUT, gen_ai__provider__name="scripted", gen_ai__token__modality="text") > 0
    assert cost.dollars > 0
    assert collector.total("pyscrai.cost") == pytest.approx(cost.dollars, abs=1e-9)
    assert collector.count("gen_ai.client.inference.duration") == len(calls)
    assert collector.count("gen_ai.client.inference.operation.input_tokens") == len(calls)
    assert collector.total("pyscrai.call.queue.duration") == pytest.approx(
        sum(one["queued"] for one in calls)
    )
    for kind, count in kinds.items():
        assert collector.total("pyscrai.events", pyscrai__kind=kind) == count
    assert collector.total("pyscrai.actions.rejected", pyscrai__kind="jump") == kinds["rejected"] == 2
    assert collector.total("pyscrai.call.retries", error__type="Overloaded") == 1


def test_totals_are_those_of_the_store(play: Any, telemetry: Any, collector: Any, tmp_path: Path) -> None:
    observer = telemetry()
    result = play(SCENARIO, engine__talks=Talks, observers=[observer])
    assert result.status == "completed", result.error
    assert observer.flush()
    check_totals(collector, tmp_path / "runs.db", result.run)
    assert collector.total("pyscrai.runs", pyscrai__run__status="completed") == 1
    assert collector.count("gen_ai.invoke_agent.duration") == 8
    # The sum of the durations is that of the spans.
    spans = sum(one.ended - one.began for one in collector.named("chat")) / 1e9
    assert collector.total("gen_ai.client.inference.duration") == pytest.approx(spans)
    assert "gen_ai.client.token.usage" not in collector.metrics


def test_a_stopped_run_and_its_resume_add_up_to_the_store(
    play: Any, host_with: Any, telemetry: Any, collector: Any, tmp_path: Path
) -> None:
    observer = telemetry()
    result = play({**SCENARIO, "limits": {"calls": 4}}, engine__talks=Talks, observers=[observer])
    assert result.status == "stopped"
    host = host_with(engine__talks=Talks)
    resumed = api.resume(
        set={"limits.calls": 99}, store=tmp_path / "runs.db", host=host, observers=[observer]
    )
    assert resumed.status == "completed", resumed.error
    assert observer.flush()
    check_totals(collector, tmp_path / "runs.db", result.run)
    assert collector.total("pyscrai.runs") == 2
    assert collector.total("pyscrai.runs", pyscrai__run__status="stopped") == 1


def test_cut_off_and_refused_answers_are_counted(play: Any, telemetry: Any, collector: Any) -> None:
    class Odd(Provider):
        async def complete(self, request: Any, sink: Any = None) -> Completion:
            reason: Any = {0: "length", 1: "refusal"}.get(request.turn, "stop")
            return Completion(
                "text", finish_reason=reason, usage=Usage(10, 3, cached_tokens=4), model="odd-1"
            )

    scenario = {
        "providers": {"default": {"use": "odd"}},
        "agents": {"A": {"engine": "talks", "on_error": "skip"}},
        "schedule": {"use": "round-robin", "rounds": 3},
    }
    observer = telemetry(former_metrics=True)
    result = play(scenario, engine__talks=Talks, provider__odd=Odd, observers=[observer])
    assert result.status == "completed", result.error
    assert observer.flush()
    assert collector.total("pyscrai.answers.truncated") == result.truncated == 1
    assert collector.total("pyscrai.answers.refused") == 1
    assert collector.total("pyscrai.calls.unpriced") == result.cost.unpriced
    assert collector.total(INPUT, gen_ai__response__model="odd-1") == result.usage.input_tokens == 30
    assert collector.total("gen_ai.client.inference.usage.cache_read.input_tokens") == 12
    assert collector.total("gen_ai.client.token.usage", gen_ai__token__type="input") == 30
    assert collector.total("gen_ai.client.token.usage", gen_ai__token__type="output") == 9
    assert collector.count("gen_ai.client.operation.duration") == 3


def read_prometheus(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url) as answer:
        return {one.name: one for one in text_string_to_metric_families(answer.read().decode())}


def test_prometheus_reads_the_same(play: Any, telemetry: Any, collector: Any) -> None:
    observer = telemetry(prometheus=0)
    results = [play(SCENARIO, engine__talks=Talks, observers=[observer], seed=seed) for seed in (1, 2)]
    assert observer.flush()
    assert observer.prometheus_url.startswith("http://127.0.0.1:")
    found = read_prometheus(observer.prometheus_url)
    tokens = found["gen_ai_client_inference_usage_input_tokens"]
    assert tokens.type == "counter"
    total = sum(one.value for one in tokens.samples)
    assert total == sum(result.usage.input_tokens for result in results) == collector.total(INPUT)
    (sample,) = tokens.samples
    assert sample.labels == {
        "gen_ai_operation_name": "chat", "gen_ai_provider_name": "scripted", "gen_ai_token_modality": "text",
        "gen_ai_response_model": "scripted", "pyscrai_scenario": "talking",
    }  # fmt: skip
    assert sum(one.value for one in found["pyscrai_cost_usd"].samples) == pytest.approx(
        sum(result.cost.dollars for result in results)
    )
    duration = found["gen_ai_client_inference_duration_seconds"]
    assert duration.type == "histogram"
    counts = [one.value for one in duration.samples if one.name.endswith("_bucket")]
    assert counts == sorted(counts)
    assert counts[-1] == collector.count("gen_ai.client.inference.duration") == 16
    assert found["pyscrai_runs"].samples[0].value == 2


def test_prometheus_alone_sends_nothing(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "TRACES_", "METRICS_"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}ENDPOINT", raising=False)
    observer = Telemetry(Telemetry.Config(prometheus="localhost:0"))
    try:
        assert observer._output._otlp is None
        play(SCENARIO, engine__talks=Talks, observers=[observer])
        assert read_prometheus(observer.prometheus_url)["pyscrai_runs"].samples[0].value == 1
    finally:
        forget(observer._output)
