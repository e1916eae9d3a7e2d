"""Names that look alike, names with invisible characters, and text that is the same in two encodings."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from pyscrai_core import api
from pyscrai_core.plugins import Host
from pyscrai_core.scenario import plan as planning
from pyscrai_core.scenario.overrides import Override
from pyscrai_language.lookalikes import find_lookalikes
from pyscrai_records.errors import ScenarioError

SCENARIO = """\
scenario: names
world: {{state: {{price: 0, {key}: 1}}}}
agents:
  Mara: {{persona: hi, engine: &e {{use: rules, policy: [{{say: x}}]}}, actions: {{offer: {{}}}}}}
  {agent}: {{persona: hi, engine: *e}}
schedule: {{use: round-robin, rounds: 1}}
outcomes: {{price: "state['{read}']"}}
"""


def check(path: Path, **parts: str) -> list[str]:
    """The mistakes of a scenario with these names."""
    parts = {"agent": "Jon", "key": "sold", "read": "price", **parts}
    path.write_text(SCENARIO.format(**parts), encoding="utf-8")
    try:
        planning.from_file(path, Host())
    except ScenarioError as error:
        return [str(mistake) for mistake in error.mistakes]
    return []


@pytest.mark.parametrize(
    "more",
    [
        "outcomes: {share: '1', shаre: '2'}",
        "measures: {share: '1', shаre: '2'}",
        "tables: {share: {rows: agents, columns: {n: name}}, shаre: {rows: agents, columns: {n: name}}}",
        "tables: {t: {rows: agents, columns: {share: name, shаre: name}}}",
    ],
)
def test_names_of_results_that_look_alike(more: str, tmp_path: Path) -> None:
    path = tmp_path / "names.yaml"
    whole, _, _ = SCENARIO.format(agent="Jon", key="sold", read="").partition("outcomes")
    path.write_text(whole + more, encoding="utf-8")
    with pytest.raises(ScenarioError, match="'shаre' looks like another name, 'share'"):
        planning.from_file(path, Host())
    path.write_text(whole + more.replace("shаre", "other"), encoding="utf-8")
    planning.from_file(path, Host())


def test_variables_of_a_population_that_look_alike(tmp_path: Path) -> None:
    path = tmp_path / "names.yaml"
    population = "Jon: {count: 3, vary: {age: [1, 2], аge: [3]}, "
    text = SCENARIO.format(agent="Jon", key="sold", read="price").replace("Jon: {", population)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match="'аge' looks like another name, 'age'") as caught:
        planning.from_file(path, Host())
    assert len(caught.value.mistakes) == 1


@pytest.mark.parametrize(
    "names",
    [
        "Mara Mаra",  # Cyrillic
        "Iris Іris",
        "Κim Kim",  # Greek
        "Օtto Otto",  # Armenian
        "Ｍara Mara",  # full width
        "𝐌ara Mara",  # mathematical
        "П Π",  # Cyrillic and Greek
        "ёж ëж",
        "カ 力",
        "A‐1 A-1",
        "aа аa",  # each has both letters
    ],
)
def test_names_that_look_alike(names: str) -> None:
    first, second = names.split()
    ((name, what),) = find_lookalikes([first, second])
    assert name == second
    assert "looks like another name" in what
    assert "U+" in what


@pytest.mark.parametrize("names", ["A1 Al AI", "Марк Mark2", "x2 x²", "Zoë Zoe", "Ανδρέας Anna", "李 力"])
def test_names_that_do_not_look_alike(names: str) -> None:
    assert not list(find_lookalikes(names.split()))


@pytest.mark.parametrize("hidden", ["\u200b", "\u200d", "\u202e", "\x01", "\u3164", "\ufe0f", "\u00ad"])
def test_names_with_invisible_characters(hidden: str) -> None:
    ((_, what),) = find_lookalikes([f"Ma{hidden}ra"])
    assert f"U+{ord(hidden):04X}" in what
    assert "remove it" in what


def test_each_kind_of_name_is_checked_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    assert not check(path)
    (agent,) = check(path, agent="Mаra")
    assert agent.startswith(f"{path}:5:3: agents.Mаra: 'Mаra' looks like another name, 'Mara'")
    (key,) = check(path, key="рrice")
    assert key.startswith(f"{path}:2:27: world.state.рrice: ")
    (key,) = check(path, key='"so\\u200bld"')
    assert "U+200B zero width space" in key
    path.write_text(
        "scenario: x\nproviders: {a: scripted, а: scripted}\nevents: {}\n"
        "world: {state: {deep: {a: 1, а: 2}}}\n"
        "agents: {A: {provider: a, actions: {go: {x: {}, х: {}}}}}\ngroups: {А: [A]}\n",
        encoding="utf-8",
    )
    with pytest.raises(ScenarioError) as error:
        planning.from_file(path, Host())
    assert [mistake.path for mistake in error.value.mistakes if "looks like" in mistake.what] == [
        "providers.а", "world.state.deep.а", "agents.A.actions.go.х", "groups.А",
    ]  # fmt: skip


def test_text_is_the_same_in_every_encoding(tmp_path: Path) -> None:
    """What is written in NFD, in an escape or in an override is found under the name in NFC."""
    path, nfd = tmp_path / "a.yaml", unicodedata.normalize("NFD", "größe")
    assert not check(path, key=nfd, read="größe")
    assert not check(path, key='"gro\\u0308ße"', read=nfd)
    (twice,) = check(path, key=f"größe: 1, {nfd}")
    assert "appears twice" in twice
    assert not check(path, key="größe", read=nfd)
    plan = planning.from_file(
        path,
        Host(),
        overrides=[Override.of(f"world.state.{nfd}", {nfd: nfd}), Override.parse("agents.Jon.persona", nfd)],
    )
    assert plan.scenario.state == {"price": 0, "größe": {"größe": "größe"}}
    assert plan.scenario.agents["Jon"].persona == "größe"
    with pytest.raises(ScenarioError, match="two keys of a mapping are the same text"):
        Override.of("world.state", {nfd: 1, "größe": 2})
    (tmp_path / "t.yaml").write_text(f"persona: {nfd}", encoding="utf-8")
    path.write_text("scenario: x\nagents: {A: {template: t.yaml}}", encoding="utf-8")
    assert planning.from_file(path, Host()).scenario.agents["A"].persona == "größe"


def test_values_from_python_are_taken_as_they_are(tmp_path: Path) -> None:
    path, store = tmp_path / "a.yaml", tmp_path / "runs.db"
    check(path)
    for value in ("3", "true", "[1]", "null", 3, None, {"a": "1"}):
        assert api.run(path, set={"world.state.price": value}, store=store).outcomes == {"price": value}
    fork = api.fork(at=1, set={"world.state.price": "04"}, store=store)
    assert fork.outcomes == {"price": "04"}
    assert Override.parse("world.state.price", "3").value == 3


def test_options_that_look_alike(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    text = (
        'scenario: x\nagents: {A: {actions: {go: {way: {enum: [1, car, "cаr"]},'
        ' mood: {enum: ["❤️", "👩‍👧"]},\n'
        '  deep: {type: array, items: {enum: [a, "a\\u200b"]}}}}}}\n'
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        planning.from_file(path, Host())
    assert [(mistake.path, mistake.what.partition(",")[0]) for mistake in error.value.mistakes] == [
        ("agents.A.actions.go.way.enum[2]", "'cаr' looks like another name"),
        ("agents.A.actions.go.deep.items.enum[1]", "'a\\u200b' looks like another name"),
    ]
    path.write_text(text.replace("cаr", "bus").replace("\\u200b", "b"), encoding="utf-8")
    planning.from_file(path, Host())
