"""Settings: where they come from, which one counts, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pyscrai_core
from pyscrai_core import ConfigError, api
from pyscrai_core.config import Settings, load_settings
from pyscrai_core.plugins import Host
from pyscrai_core.scenario.overrides import Override

SCENARIO = """\
scenario: talk
providers: {PROVIDERS}
agents: {Mara: {engine: actor}}
"""


@pytest.fixture(scope="module")
def installed() -> Host:
    return Host()


def settings(text: str, **environment: str) -> Settings:
    Path("pyscrai.toml").write_text(text)
    return load_settings(environment=environment)


# -- where they come from -----------------------------------------------------------------------


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    assert load_settings(environment={}) == Settings(store=str(tmp_path / ".pyscrai/runs.db"))


def test_a_file_in_a_folder_above_counts_and_its_paths_are_its_own(tmp_path: Path) -> None:
    Path("pyscrai.toml").write_text('store = "mine.db"\n')
    (tmp_path / "a/b").mkdir(parents=True)
    found = load_settings(environment={}, start=tmp_path / "a/b")
    assert found.store == str(tmp_path / "mine.db")
    assert found.source == tmp_path / "pyscrai.toml"
    (tmp_path / "a/pyscrai.toml").write_text("")
    assert load_settings(environment={}, start=tmp_path / "a/b").store == str(tmp_path / "a/.pyscrai/runs.db")


def test_the_environment_counts_more_than_the_file_and_an_option_most() -> None:
    text = 'store = "sqlite:///file.db"\nplugins = ["cast"]\ndisable = ["tables"]\nobservers = ["sink"]\n'
    found = settings(text)
    assert (found.store, found.plugins) == ("sqlite:///file.db", ("cast",))
    assert (found.disable, found.observers) == (("tables",), ("sink",))
    found = settings(
        text,
        PYSCRAI_STORE="env.db",
        PYSCRAI_PLUGINS="memory, cast,",
        PYSCRAI_DISABLE="",
        PYSCRAI_OBSERVERS="a,b",
    )
    assert (found.store, found.plugins) == ("env.db", ("memory", "cast"))
    assert (found.disable, found.observers) == ((), ("a", "b"))
    assert load_settings(environment={"PYSCRAI_STORE": "env.db"}, store="option.db").store == "option.db"


# -- bad ones -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'stor = "x"\n',
            "pyscrai.toml:1: unknown key 'stor'; did you mean 'store'? known keys: disable, observers, "
            "plugins, prices, providers, store",
        ),
        (
            "# settings\n\n[provider.default]\n",
            "pyscrai.toml:3: unknown key 'provider'; did you mean 'providers'?",
        ),
        ("\nstore = 3\n", "pyscrai.toml:2: store: expected a path or URL, got 3"),
        ('store = ""\n', "pyscrai.toml:1: store: expected a path or URL, got ''"),
        ('plugins = "cast"\n', "pyscrai.toml:1: plugins: expected a list of names, got 'cast'"),
        ('observers = [{path = "x"}]\n', "pyscrai.toml:1: observers: expected a list of names, or of tables"),
        ('observers = "sink"\n', "pyscrai.toml:1: observers: expected a list of names, or of tables"),
        ('disable = ["cast", 3]\n', "pyscrai.toml:1: disable: expected a list of names, got ['cast', 3]"),
        (
            "[providers]\ndefault = 3\n",
            "pyscrai.toml:1: providers: expected tables, such as [providers.default], got",
        ),
        ("providers = []\n", "pyscrai.toml:1: providers: expected tables"),
        ("[providers.a]\nx = 2026-11-01\n", "pyscrai.toml: providers.a.x: date is not JSON"),
        ("[providers.a]\nx = inf\n", "pyscrai.toml: providers.a.x: inf is not a finite number"),
        ("store = \n", "pyscrai.toml: it is not TOML: Invalid value (at line 1, column 9); correct the line"),
        (
            "store = 'a'\nstore = 'b'\n",
            "pyscrai.toml: it is not TOML: Cannot overwrite a value (at line 2, column 12)",
        ),
    ],
)
def test_a_mistake_is_told_with_the_file_and_the_line(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(text)
    assert str(caught.value).startswith(f"{tmp_path}/{expected}")


def test_a_file_that_is_no_text() -> None:
    Path("pyscrai.toml").write_bytes(b"store = '\xff'\n")
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        load_settings(environment={})


def test_a_bad_file_keeps_a_scenario_from_being_run(installed: Host) -> None:
    Path("pyscrai.toml").write_text("stor = 'x'\n")
    Path("scenario.yaml").write_text(SCENARIO)
    with pytest.raises(ConfigError):
        pyscrai_core.run("scenario.yaml", host=installed)
    assert sorted(path.name for path in Path().iterdir()) == ["pyscrai.toml", "scenario.yaml"]


# -- providers ----------------------------------------------------------------------------------

DEFAULTS = """\
[providers.default]
use = "scripted"
replies = ["From the settings."]
temperature = 0.5
max_tokens = 40
"""


def provider(text: str, providers: str, host: Host, name: str = "default", **given: Any) -> Any:
    Path("scenario.yaml").write_text(SCENARIO.replace("{PROVIDERS}", providers))
    return api.prepare("scenario.yaml", settings=settings(text), host=host, **given).scenario.providers[name]


def test_the_scenario_counts_more_than_the_settings_key_by_key(installed: Host) -> None:
    found = provider(DEFAULTS, "{default: {use: scripted, temperature: 0.9}}", installed)
    assert found.options == {"replies": ["From the settings."]}
    assert (found.sampling.temperature, found.sampling.max_tokens) == (0.9, 40)


@pytest.mark.parametrize(
    "providers", ["{}", "{default: {}}", "{default: {temperature: 0.5}}", "{default: scripted}"]
)
def test_what_the_scenario_leaves_open_comes_from_the_settings(installed: Host, providers: str) -> None:
    found = provider(DEFAULTS, providers, installed)
    assert (found.use, found.options) == ("scripted", {"replies": ["From the settings."]})
    assert found.sampling.temperature == 0.5


def test_options_of_one_vendor_are_no_defaults_of_another(installed: Host) -> None:
    other = DEFAULTS.replace('"scripted"', '"llamacpp"').replace(
        'replies = ["From the settings."]', "slots = 2"
    )
    found = provider(other, "{default: {use: scripted, replies: [Mine.]}}", installed)
    assert (found.use, found.options, found.sampling.temperature) == (
        "scripted",
        {"replies": ["Mine."]},
        None,
    )


def test_settings_add_a_provider_beside_those_of_the_scenario(installed: Host) -> None:
    text = DEFAULTS.replace("providers.default", "providers.second")
    found = provider(text, "{default: {use: scripted, replies: [Mine.]}}", installed, "second")
    assert found.options == {"replies": ["From the settings."]}


def test_an_override_counts_more_than_both(installed: Host) -> None:
    given: dict[str, Any] = {"overrides": [Override.parse("providers.default.temperature", "1")]}
    assert provider(DEFAULTS, "{default: {temperature: 0.9}}", installed, **given).sampling.temperature == 1.0
    assert provider(DEFAULTS, "{}", installed, **given).sampling.temperature == 1.0


def test_a_bare_name_is_short_for_its_use(installed: Host) -> None:
    text = '[providers]\ndefault = "scripted"\n'
    assert provider(text, "{default: {replies: [Mine.]}}", installed).options == {"replies": ["Mine."]}


def test_a_mistake_in_a_default_is_told_as_one_of_the_settings(installed: Host) -> None:
    with pytest.raises(pyscrai_core.ScenarioError) as caught:
        provider(DEFAULTS + 'replys = ["x"]\n', "{default: {temperature: hot}}", installed)
    assert str(caught.value).splitlines() == [
        "scenario.yaml:2:36: providers.default.temperature: expected a number, got 'hot'",
        "pyscrai.toml: providers.default.replys: unknown key 'replys'; did you mean 'replies'? known keys: "
        "after, choice, concurrency, draw, fallback, faults, generate, latency, max_answer_bytes, "
        "max_tokens, odds, on_truncated, patterns, replies, requests_per_minute, retry, rule, "
        "split_thoughts, stop, temperature, timeout, tokens_per_minute, top_p, usage",
    ]
