"""The host of plugins, with real distributions: built, installed by pip, and found by their entry points.

`distributions/` holds their sources. One is good; each of the others is wrong in its own way. Every test
looks at them from a new process and makes sure that the good one still works.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import pytest

import pyscrai_core
from pyscrai_core import Engine, Extension, ExtensionError, hookimpl
from pyscrai_core.plugins import GIVEN, Host, Plugin, known_plugins

SOURCES = Path(__file__).parent / "distributions"
KERNEL = Path(pyscrai_core.__file__).parents[1]
PARROT = ("engine", "parrot")

Report: TypeAlias = dict[str, Any]
Look: TypeAlias = Callable[..., Report]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed all of the distributions."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    command += [str(source.parent) for source in sorted(SOURCES.glob("*/pyproject.toml"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(site: Path, *arguments: str) -> str:
    path = os.pathsep.join([str(site), str(KERNEL), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def look(site: Path) -> Look:
    """Make a host in a new process, ask it for extensions, and return its report (see look.py)."""

    def look(
        plugins: Sequence[str] | None,
        *ask: tuple[str, str],
        disable: Sequence[str] = (),
        narrow: Sequence[str] | None = None,
    ) -> Report:
        order = {"host": {"plugins": plugins, "disable": disable}, "narrow": narrow, "ask": ask}
        report: Report = json.loads(run(site, str(SOURCES / "look.py"), json.dumps(order)))
        return report

    return look


def plugin(report: Report, distribution: str) -> dict[str, str]:
    (found,) = [each for each in report["plugins"] if each["distribution"] == distribution]
    return dict(found)


# -- the good one -------------------------------------------------------------------------------


def test_a_good_plugin_is_found_and_its_extension_imported_when_used(look: Look) -> None:
    unused = look(["good"], disable=["fixture-twin"])
    assert unused["imported"] == ["fixture_good", "fixture_good.plugin"]
    assert plugin(unused, "fixture-good") == {
        "name": "good",
        "distribution": "fixture-good",
        "version": "1.2.3",
        "module": "fixture_good.plugin",
        "status": "loaded",
        "error": "",
        "details": "",
    }
    assert unused["offers"] == [
        ["engine", "parrot", "good"],
        ["tool", "clock", "good"],
        ["tool", "shed", "good"],
    ]
    used = look(["fixture_good"], PARROT, ("tool", "clock"), ("tool", "shed"))
    assert used["answers"] == [{"loaded": "Parrot"}, {"loaded": "Clock"}, {"loaded": "Shed"}]
    assert "fixture_good.parrot" in used["imported"]


# -- the broken ones ----------------------------------------------------------------------------

BROKEN = {
    "fixture-no-import": ["ModuleNotFoundError: No module named 'a_package_that_nobody_has'"],
    "fixture-quitter": ["SystemExit: 3"],
    "fixture-signature": ["pyscrai_engines(settings", "hooks take no arguments"],
    "fixture-misspelt": ["pyscrai_engine: there is no such hook (did you mean 'pyscrai_engines'?)"],
    "fixture-old": [
        "fixture_old.plugin: states 0 as the version of the contract",
        "this kernel speaks version 1; upgrade the plugin: pip install --upgrade fixture-old",
    ],
    "fixture-raising": ["pyscrai_engines: raised RuntimeError: the moon is in the wrong house"],
    "fixture-mapping": [
        "pyscrai_engines: returned an object of the class dict; expected a list of Extension"
    ],
}


@pytest.mark.parametrize("distribution", BROKEN)
def test_a_broken_plugin_stops_nobody_and_says_why(look: Look, distribution: str) -> None:
    name = distribution.removeprefix("fixture-")
    report = look(["fixture-good", distribution], PARROT, ("engine", name), ("engine", "starling"))
    good, asked, other = report["answers"]
    assert good == {"loaded": "Parrot"}
    found = plugin(report, distribution)
    assert found["status"] == "broken"
    assert "\n" not in found["error"]
    assert "Traceback" in found["details"]
    for words in BROKEN[distribution]:
        assert words in found["error"]
    # Asking for what it would have offered raises with that cause …
    version = found["version"]
    assert asked["error"] == (
        f"engine {name!r}: its plugin {name} ({distribution} {version}) is broken: {found['error']}"
    )
    assert asked["cause"]
    # … and so does asking for what it might have, for all that anybody knows.
    assert other["error"].startswith("engine 'starling': not installed; installed engines: parrot; ")
    assert f"broken plugins: {name} ({distribution} {version}): {found['error']}" in other["error"]


def test_what_a_plugin_offered_before_it_broke_raises_its_cause(look: Look) -> None:
    report = look(["fixture-good", "raising"], ("provider", "oracle"), PARROT)
    oracle, good = report["answers"]
    assert oracle["error"].startswith(
        "provider 'oracle': its plugin raising (fixture-raising 0.1.0) is broken"
    )
    assert oracle["cause"] == "ContractError"
    assert not [offer for offer in report["offers"] if offer[1] == "oracle"]
    assert good == {"loaded": "Parrot"}


def test_all_of_them_at_once(look: Look) -> None:
    report = look(None, ("tool", "clock"), ("engine", "starling"), disable=["targets"])
    assert report["answers"] == [{"loaded": "Clock"}, {"loaded": "Starling"}]
    broken = {each["distribution"] for each in report["plugins"] if each["status"] == "broken"}
    assert broken >= {*BROKEN, "fixture-twin"}
    assert not broken & {"fixture-good", "fixture-copycat", "fixture-targets"}
    names = [each["name"] for each in report["plugins"]]
    assert names == sorted(names)


# -- the same name twice ------------------------------------------------------------------------


def test_two_plugins_of_the_same_name(look: Look) -> None:
    report = look(["good"], PARROT, ("provider", "good"))
    twin = plugin(report, "fixture-twin")
    assert twin["status"] == "broken"
    assert "fixture-good 1.2.3 and fixture-twin 2.0.0" in twin["error"]
    assert plugin(report, "fixture-good")["status"] == "loaded"
    assert report["answers"][0] == {"loaded": "Parrot"}
    assert "fixture-good 1.2.3 and fixture-twin 2.0.0" in report["answers"][1]["error"]
    # With one of the two disabled, by its distribution, the other one has the name to itself.
    alone = look(["good"], ("engine", "parrot"), disable=["fixture-good"])
    assert plugin(alone, "fixture-twin")["status"] == "loaded"
    assert plugin(alone, "fixture-good")["status"] == "disabled"


def test_two_plugins_that_offer_the_same_name(look: Look) -> None:
    report = look(["fixture-good", "copycat"], PARROT, ("engine", "starling"), ("tool", "clock"))
    parrot, *others = report["answers"]
    assert "good (fixture-good 1.2.3)" in parrot["error"]
    assert "copycat (fixture-copycat 4.5.6)" in parrot["error"]
    assert others == [{"loaded": "Starling"}, {"loaded": "Clock"}]
    assert report["conflicts"] == {"engine parrot": ["fixture-copycat", "fixture-good"]}
    assert {each["status"] for each in report["plugins"]} == {"loaded", "disabled"}
    # One kind's names are not another's, and a plugin that is not loaded is in nobody's way.
    assert look(["fixture-good"], PARROT)["conflicts"] == {}


# -- what is wanted -----------------------------------------------------------------------------


def test_a_disabled_plugin_is_not_imported(look: Look) -> None:
    report = look(None, ("engine", "quitter"), PARROT, disable=["Fixture_Quitter", "copycat", "nobody"])
    asked, good = report["answers"]
    assert good == {"loaded": "Parrot"}
    found = plugin(report, "fixture-quitter")
    assert found["status"] == "disabled"
    assert not [name for name in report["imported"] if name.startswith("fixture_quitter")]
    assert "is installed and disabled" in asked["error"]
    assert "take 'Fixture_Quitter' out of it, in pyscrai.toml or PYSCRAI_DISABLE" in asked["error"]
    assert report["unmatched"] == ["nobody"]


def test_only_those_listed_are_loaded(look: Look) -> None:
    report = look(["fixture-good", "god"], PARROT, ("engine", "copycat"), ("engine", "starling"))
    good, asked, other = report["answers"]
    assert good == {"loaded": "Parrot"}
    assert {name.partition(".")[0] for name in report["imported"]} == {"fixture_good"}
    assert plugin(report, "fixture-copycat")["status"] == "disabled"
    assert "add 'copycat' to `plugins` in pyscrai.toml" in asked["error"]
    assert "disabled plugins: " in other["error"]
    assert "copycat (fixture-copycat 4.5.6)" in other["error"]
    assert report["unmatched"] == ["god"]


def test_a_scenario_narrows_what_is_loaded(look: Look) -> None:
    names = ["fixture-good", "copycat", "quitter"]
    report = look(names, PARROT, ("engine", "starling"), narrow=["fixture-good"])
    parrot, starling = report["answers"]
    assert parrot == {"loaded": "Parrot"}
    assert report["conflicts"] == {}
    assert [offer[2] for offer in report["offers"]] == ["good"] * 3
    assert "its plugin copycat (fixture-copycat 4.5.6) is installed and disabled" in starling["error"]
    assert "add 'copycat' there" in starling["error"]


def test_a_scenario_names_what_it_cannot_have(look: Look) -> None:
    report = look(["fixture-good", "quitter"], PARROT, narrow=["copycta", "quitter", "targets", "good"])
    assert "'copycta' is not installed (did you mean 'copycat'?)" in report["refused"]
    assert "quitter (fixture-quitter 0.1.0) is broken: SystemExit: 3" in report["refused"]
    assert "targets (fixture-targets 0.1.0) is disabled: not listed in `plugins`" in report["refused"]
    assert "fixture-good" not in report["refused"]
    assert report["answers"] == [{"loaded": "Parrot"}]


# -- targets ------------------------------------------------------------------------------------

WRONG_TARGETS = {
    "no-module": ("No module named 'fixture_targets.nowhere'", "ModuleNotFoundError"),
    "no-sdk": ("pip install --force-reinstall fixture-targets", "ModuleNotFoundError"),
    "no-attribute": ("has no attribute 'Ghost'", "AttributeError"),
    "wrong-class": ("is the class Wrong, not a subclass of Engine", ""),
    "not-a-class": ("is an object of the class int, not a subclass of Engine", ""),
    "unfinished": ("does not implement run", ""),
}


def test_wrong_targets_are_told_when_they_are_asked_for(look: Look) -> None:
    wanted = [("engine", name) for name in WRONG_TARGETS]
    report = look(["fixture-good", "targets"], *wanted, ("engine", "fine"), PARROT)
    *wrong, fine, good = report["answers"]
    assert plugin(report, "fixture-targets")["status"] == "loaded"
    assert fine == {"loaded": "Fine"}
    assert good == {"loaded": "Parrot"}
    for answer, (name, (words, cause)) in zip(wrong, WRONG_TARGETS.items(), strict=True):
        assert answer["error"].startswith(f"engine {name!r} (fixture-targets 0.1.0): ")
        assert words in answer["error"]
        assert answer["cause"] == cause


# -- what is missing ----------------------------------------------------------------------------


def offering(hook: str, *names: str) -> ModuleType:
    module = ModuleType(f"given_{hook}")
    module.__dict__["pyscrai_api"] = 1
    extensions = [Extension(name, f"{__name__}:Quiet") for name in names]
    setattr(module, hook, hookimpl(lambda: extensions, specname=hook))
    return module


class Quiet(Engine):
    async def run(self, turn: Any) -> None:
        return


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without plugins, whatever is installed in this one."""
    monkeypatch.setattr("pyscrai_core.plugins.entry_points", lambda group: ())


def missing(host: Host, kind: str, name: str) -> str:
    with pytest.raises(ExtensionError) as caught:
        host.load(kind, name)
    return str(caught.value)


@pytest.mark.usefixtures("bare")
def test_a_typo_is_guessed_and_the_command_given() -> None:
    host = Host(plugins=[], extra=[offering("pyscrai_providers", "b", "a")])
    assert missing(host, "provider", "llamcpp") == (
        "provider 'llamcpp': not installed (did you mean 'llamacpp'?); installed providers: a, b; "
        "install it with: pip install pyscrai-llamacpp"
    )
    assert missing(host, "provider", "OpenAI").endswith("pip install pyscrai-openai")
    assert missing(host, "memory", "window") == (
        "memory 'window': not installed; installed memories: none; "
        "install it with: pip install pyscrai-memory"
    )
    assert missing(host, "provider", "zzz") == (
        "provider 'zzz': not installed; installed providers: a, b; "
        "look for a plugin that offers it, then: pip install THAT-PLUGIN"
    )


@pytest.mark.usefixtures("bare")
def test_a_typo_of_something_installed_needs_no_command() -> None:
    host = Host(plugins=[], extra=[offering("pyscrai_engines", "parliament")])
    assert missing(host, "engine", "parlament") == (
        "engine 'parlament': not installed (did you mean 'parliament'?); installed engines: parliament"
    )


def test_a_first_party_plugin_that_is_not_loaded_is_known_by_what_it_offers() -> None:
    host = Host(plugins=[])
    host.plugins = (Plugin("cast", "Pyscrai_Cast", "0.3", "pyscrai_cast.plugin", "broken", "KeyError: 'x'"),)
    assert missing(host, "engine", "narrator") == (
        "engine 'narrator': its plugin cast (Pyscrai_Cast 0.3) is broken: KeyError: 'x'"
    )
    host.plugins = (Plugin("cast", "pyscrai-cast", "0.3", "pyscrai_cast.plugin"),)
    assert missing(host, "engine", "narrator").endswith("pip install --upgrade pyscrai-cast")


def test_each_extension_of_ours_is_in_the_list_of_known_plugins() -> None:
    ours = [offer for offer in Host().offers() if offer.distribution.startswith("pyscrai-")]
    assert len({offer.distribution for offer in ours}) > 15
    assert known_plugins() == {(offer.kind, offer.name): offer.distribution for offer in ours}


def test_what_a_run_was_made_with_is_known() -> None:
    host = Host(plugins=[]).remembering({("engine", "oracle"): "pyscrai-oracle"})
    assert "install it with: pip install pyscrai-oracle" in missing(host, "engine", "oracle")
    assert "did you mean 'oracle'" in missing(host.narrowed([]), "engine", "orakle")
    assert "look for a plugin that offers it" in missing(Host(plugins=[]), "engine", "oracle")


@pytest.mark.parametrize("distribution", ["pyscrai-oracle", GIVEN])
def test_a_run_whose_plugin_is_gone_names_the_distribution(distribution: str) -> None:
    from pyscrai_core.scenario.manifest import Manifest
    from pyscrai_core.scenario.plan import from_manifest

    manifest = Manifest(
        scenario={
            "scenario": "test",
            "providers": {"default": {"use": "scripted", "replies": ["hello"]}},
            "agents": {"Mara": {"engine": "oracle"}},
            "schedule": {"use": "round-robin", "rounds": 1},
        },
        folder=".",
        files={},
        plugins=[{"name": "oracles", "distribution": distribution, "version": "1"}],
        extensions=[{"at": "agents.Mara.engine", "kind": "engine", "use": "oracle", "plugin": "oracles"}],
        prompts={},
    )
    with pytest.raises(pyscrai_core.ScenarioError) as raised:
        from_manifest(manifest, Host(), replay=True)
    told = "install it with: pip install pyscrai-oracle" in str(raised.value)
    assert told == (distribution != GIVEN)


# -- plugins that are handed in -----------------------------------------------------------------


def test_a_plugin_may_be_any_object() -> None:
    class Mine:
        pyscrai_api = 1
        __version__ = "7"

        @hookimpl
        def pyscrai_engines(self) -> list[Extension]:
            return [Extension("quiet", f"{__name__}:Quiet")]

    host = Host(plugins=[], disable=["Mine"], extra=[Mine()])
    (given,) = [each for each in host.plugins if each.status == "loaded"]
    assert (given.name, given.distribution, given.version) == ("Mine", GIVEN, "7")
    assert host.load("engine", "quiet") is Quiet
    assert host.narrowed([]).load("engine", "quiet") is Quiet
    assert host.offer("engine", "quiet").extension == Extension("quiet", f"{__name__}:Quiet")
    # Another host knows nothing of it.
    assert "not installed" in missing(Host(plugins=[]), "engine", "quiet")


WRONG_ANSWERS = [
    (None, "returned None; expected a list of Extension"),
    (["actor"], "returned a list of str; expected a list of Extension"),
    ((Extension("a", "b:C"),), "returned an object of the class tuple"),
    ([Extension("", "b:C")], "an extension has the name ''"),
    ([Extension("a", "b.C")], "'a' has the target 'b.C'; expected 'module:attribute'"),
    ([Extension("a", "b:C"), Extension("a", "b:D")], "offers 'a' twice"),
]


@pytest.mark.parametrize("answer, words", WRONG_ANSWERS, ids=[words for _, words in WRONG_ANSWERS])
def test_what_a_hook_must_not_return(answer: Any, words: str) -> None:
    wrong = SimpleNamespace(
        pyscrai_api=1, pyscrai_engines=hookimpl(lambda: answer, specname="pyscrai_engines")
    )
    host = Host(plugins=[], extra=[wrong, offering("pyscrai_providers", "good")])
    (broken,) = [each for each in host.plugins if each.status == "broken"]
    assert words in broken.error
    assert host.offer("provider", "good").distribution == GIVEN


@pytest.mark.parametrize(
    "stated, words",
    [
        ({}, "does not state the version"),
        ({"pyscrai_api": 2}, "states 2 as the version"),
        ({"pyscrai_api": "1"}, "states '1' as the version"),
    ],
)
def test_the_version_of_the_contract(stated: dict[str, Any], words: str) -> None:
    module = offering("pyscrai_engines", "a")
    del module.__dict__["pyscrai_api"]
    module.__dict__.update(stated)
    (broken,) = [each for each in Host(plugins=[], extra=[module]).plugins if each.status == "broken"]
    assert words in broken.error
    assert ("upgrade the kernel" in broken.error) is (stated == {"pyscrai_api": 2})


def test_a_hook_without_its_mark_is_not_passed_over() -> None:
    def forgotten() -> list[Extension]:
        return []

    module = ModuleType("unmarked")
    module.__dict__.update(pyscrai_api=1, pyscrai_engines=forgotten)
    (broken,) = [each for each in Host(plugins=[], extra=[module]).plugins if each.status == "broken"]
    assert "unmarked.pyscrai_engines: not marked as a hook; put @hookimpl above it" in broken.error


class Mute(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_an_error_that_cannot_be_printed() -> None:
    def refuse() -> list[Extension]:
        raise Mute

    mute = SimpleNamespace(pyscrai_api=1, pyscrai_engines=hookimpl(refuse, specname="pyscrai_engines"))
    host = Host(plugins=[], extra=[mute, offering("pyscrai_providers", "good")])
    (broken,) = [each for each in host.plugins if each.status == "broken"]
    assert "raised Mute" in broken.error
    assert host.offer("provider", "good")


def test_the_interrupt_key_gets_through() -> None:
    def interrupted() -> list[Extension]:
        raise KeyboardInterrupt

    plugin = SimpleNamespace(pyscrai_api=1, pyscrai_engines=hookimpl(interrupted, specname="pyscrai_engines"))
    with pytest.raises(KeyboardInterrupt):
        Host(plugins=[], extra=[plugin])


def test_the_entry_points_are_those_that_importlib_finds() -> None:
    from importlib import metadata

    from pyscrai_core.discovery.installed import entry_points, version

    for group in ("pyscrai", "console_scripts", "pytest11"):
        found = {(one.name, one.value, one.distribution, one.version) for one in entry_points(group)}
        assert found == {
            (one.name, one.value.partition(" [")[0], one.dist.name, one.dist.version)
            for one in metadata.entry_points(group=group)
            if one.dist
        }
        assert found
    assert version("Pyscrai_Core") == pyscrai_core.__version__ == metadata.version("pyscrai-core")
    assert version("nobody-has-this") == "None"


# -- light to import ----------------------------------------------------------------------------

HEAVY = {
    "cattrs",
    "click",
    "duckdb",
    "jinja2",
    "jsonschema",
    "loguru",
    "peewee",
    "rich",
    "simpleeval",
    "yaml",
}


def test_the_host_is_light_and_imports_no_plugin(site: Path) -> None:
    program = "import sys, pyscrai_core.plugins; print(*{name.partition('.')[0] for name in sys.modules})"
    imported = set(run(site, "-c", program).split())
    assert "pluggy" in imported
    assert not imported & HEAVY
    plugins = {name for name in imported if name.startswith(("fixture_", "pyscrai_"))}
    assert not plugins - {"pyscrai_answers", "pyscrai_core", "pyscrai_records"}
