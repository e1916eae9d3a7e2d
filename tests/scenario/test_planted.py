"""Every planted mistake is found before a run, and nothing in the scenarios of the repository is one.

`PYSCRAI_PLANTED=1000 pytest tests/scenario/test_planted.py -s` plants more, and prints those that are missed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pyscrai_core.plugins import Host
from pyscrai_core.scenario import plan as planning
from pyscrai_records.errors import Mistake, ScenarioError

sys.path.insert(0, str(Path(__file__).parent))

import planted

COUNT = int(os.environ.get("PYSCRAI_PLANTED", 150))
HOST = Host()


def mistakes_of(document: dict[str, Any], folder: Path) -> list[Mistake]:
    file = folder / "planted.yaml"
    file.write_text(json.dumps(document), encoding="utf-8")
    try:
        planning.from_file(file, HOST)
    except ScenarioError as error:
        return list(error.mistakes)
    return []


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path, dict[str, Any]]]:
    """The repository's scenarios, each with a copy of its folder."""
    copies: dict[Path | None, Path] = {}
    for _, folder, _ in planted.repository_scenarios():
        if folder not in copies:
            copies[folder] = tmp_path_factory.mktemp("scenarios")
            if folder is not None:
                shutil.copytree(folder, copies[folder], dirs_exist_ok=True)
    return [(name, copies[folder], document) for name, folder, document in planted.repository_scenarios()]


def test_no_false_alarm(scenarios: list[tuple[str, Path, dict[str, Any]]], tmp_path: Path) -> None:
    assert len(scenarios) > 25
    for name, folder, document in scenarios:
        assert not mistakes_of(document, folder), name
    for seed in range(20):
        assert not mistakes_of(planted.generate(Random(seed)), tmp_path), seed


def test_planted_mistakes_are_found(
    scenarios: list[tuple[str, Path, dict[str, Any]]], tmp_path: Path
) -> None:
    missed = []
    usable = [each for each in scenarios if planted.find_sites(each[2])]
    for number in range(COUNT):
        random = Random(number)
        if number % 2:
            name, folder, document = random.choice(usable)
        else:
            name, folder, document = "generated", tmp_path, planted.generate(random)
        site = random.choice(planted.find_sites(document))
        wrong, changed = planted.plant(document, site, random)
        found = mistakes_of(wrong, folder)
        if not any(re.search(rf"(?<![\w-]){re.escape(changed)}(?![\w-])", one.what) for one in found):
            missed.append(f"{number}: {name}: {'.'.join(map(str, site.path))}: {changed!r}: {found}")
            print(missed[-1])
    print(f"{COUNT - len(missed)} of {COUNT} are found")
    assert len(missed) <= COUNT // 100, "\n".join(missed)
