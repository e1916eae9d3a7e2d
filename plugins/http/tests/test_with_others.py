"""In whole runs, with the plugins that a scenario usually has: skipped where those are not installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import pyscrai_core
from pyscrai_core import Completion, Extension, Reasoning, Request, RunResult, Turn, hookimpl
from pyscrai_core.api import replay
from pyscrai_core.plugins import Host
from pyscrai_http.openapi import OpenApiConfig
from pyscrai_http.tool import HttpConfig
from pyscrai_testing import check_resume

for _name in ("cast", "memory", "schedules", "scripted"):
    pytest.importorskip(f"pyscrai_{_name}.plugin", reason=f"needs pyscrai-{_name}")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
TOWN = {
    "openapi": "3.1.0",
    "paths": {"/look/{place}": {"get": {
        "operationId": "look", "summary": "Look at a place.", "parameters": [
            {"name": "place", "in": "path", "required": True, "schema": {"$ref": "#/components/schemas/P"}}
        ],
    }}},
    "components": {"schemas": {"P": {"enum": ["harbour", "market"]}}},
}  # fmt: skip


def uses(result: RunResult) -> list[dict[str, Any]]:
    return [event.payload for event in result.events if event.kind == "tool"]


def both(api: Any, folder: Path) -> list[dict[str, Any]]:
    (folder / "town.json").write_text(json.dumps(TOWN))
    city = {"parameters": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}}, "response": "data.0.temp"}
    reach = {"private": True, "headers": {"X-Key": {"secret": "TOWN_KEY"}}}
    return [
        {
            "use": "http",
            "name": "weather",
            "description": "The weather.",
            "url": api.url + "/{city}",
            **city,
            **reach,
        },
        {"use": "openapi", "file": "town.json", "server": api.url, "timeout": 20, **reach},
    ]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWN_KEY", "town-secret-1")


def test_the_readmes_example_runs(api: Any, tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(scenario:.*?)```", README, re.DOTALL)
    file = tmp_path / "outlook.yaml"
    file.write_text(text.replace("http://127.0.0.1:8000", api.url))
    result = pyscrai_core.run(file, store=tmp_path / "runs.db")
    assert result.status == "completed", result.error
    assert uses(result) == [{"name": "weather", "arguments": {"city": "Lisbon"}, "result": "21.5"}]
    assert api.paths() == ["/v1/Lisbon?units=metric"]


@pytest.mark.parametrize("config", [HttpConfig, OpenApiConfig])
def test_each_option_is_in_the_readme(config: type) -> None:
    for option in attrs.fields(config):
        assert f"| `{option.name}` |" in README


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_run(api: Any, tmp_path: Path) -> None:
    calls = [
        {"name": "weather", "arguments": {"city": "Rome"}},
        {"name": "look", "arguments": {"place": "market"}},
    ]
    scenario = {
        "scenario": "town",
        "providers": {"default": {"use": "scripted", "replies": [{"tool_calls": calls, "then": "I see."}]}},
        "agents": {name: {"persona": "A person.", "tools": both(api, tmp_path)} for name in ("Ann", "Ben")},
        "schedule": {"use": "simultaneous", "rounds": 2},
    }
    whole = check_resume(scenario, tmp_path, kills=[1, 5])
    used = [json.loads(line)["payload"] for line in whole.log if json.loads(line)["kind"] == "tool"]
    assert len(used) == 8
    assert not [use for use in used if "error" in use]
    assert "town-secret-1" not in "".join(whole.log)
    assert "[TOWN_KEY]" in "".join(whole.log)  # the server tells it; it stays out of what is written


class Once(Reasoning):
    """Lets the model call its tools once."""

    async def reason(self, request: Request, turn: Turn) -> Completion:
        completion = await turn.complete(request)
        for call in completion.tool_calls:
            await turn.call_tool(call.name, call.arguments)
        return Completion("Done.", model=completion.model)


class Parts:
    pyscrai_api = 1
    __name__ = "parts"

    @hookimpl
    def pyscrai_reasoning(self) -> list[Extension]:
        return [Extension("once", f"{__name__}:Once")]


@pytest.mark.parametrize("index, form", [(0, "weather"), (1, "look")])
@pytest.mark.slow
def test_a_model_calls_it_and_a_replay_needs_no_server(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int, form: str
) -> None:
    pytest.importorskip("xllamacpp", reason="needs pyscrai-llamacpp")
    arguments = {"weather": {"city": "Rome"}, "look": {"place": "market"}}[form]
    tool = both(api, tmp_path)[index]
    said = json.dumps({"next": {"tool": form, "arguments": arguments}})
    document = {
        "scenario": "model",
        "providers": {"default": {"use": "llamacpp", "exact": True, "max_tokens": 60, "temperature": 0}},
        "agents": {"Ann": {"persona": f"You say {said}", "reasoning": "once", "tools": [tool]}},
        "schedule": {"use": "round-robin", "rounds": 1},
    }
    file, store, host = tmp_path / "scenario.json", tmp_path / "runs.db", Host(extra=[Parts()])
    file.write_text(json.dumps(document))
    result = pyscrai_core.run(file, store=store, trust=True, host=host)
    assert result.status == "completed", result.error
    assert [use["name"] for use in uses(result) if "result" in use] == [form]
    api.shutdown()
    api.server_close()
    (tmp_path / "town.json").unlink()
    monkeypatch.delenv("TOWN_KEY")
    assert replay(store=store, host=host).fingerprint == result.fingerprint
