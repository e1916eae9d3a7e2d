"""The house's own rules: whom each distribution may know, and that CI runs what the README shows."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(
    path.parent for base in ("plugins", "contrib") for path in (ROOT / base).glob("*/pyproject.toml")
)


def project(path: Path) -> dict[str, object]:
    loaded: dict[str, object] = tomllib.loads((path / "pyproject.toml").read_text())["project"]
    return loaded


#: Libraries of the repository: any plugin may use them, as it may use numpy. They are no plugins; but for
#: the schema of pyscrai-tables, so that all exports have the same tables.
LIBRARIES = {"pyscrai-tables"} | {
    str(project(path)["name"])
    for path in PLUGINS
    if "entry-points" not in project(path) and (path / "src").is_dir()
}
WITH_CODE = [path for path in PLUGINS if "pyscrai" in project(path).get("entry-points", {})]  # type: ignore[operator]


def imported(file: Path) -> set[str]:
    """The top-level modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.name)
def test_a_plugin_knows_the_kernel_alone(path: Path) -> None:
    package = next((path / "src").iterdir()).name
    for file in (path / "src").rglob("*.py"):
        known = {name for name in imported(file) if name.startswith("pyscrai_")}
        assert known <= {"pyscrai_core", package, *(name.replace("-", "_") for name in LIBRARIES)}, file
    entry = path / "src" / package / "plugin.py"
    assert imported(entry) <= {"pyscrai_core", "__future__"}
    assert "pyscrai_api = 1" in entry.read_text()
    depends = [re.split(r"[<>=~! \[]", name)[0] for name in project(path)["dependencies"]]  # type: ignore[attr-defined]
    assert "pyscrai-core" in depends
    assert not [
        name for name in depends if name.startswith("pyscrai") and name not in {"pyscrai-core", *LIBRARIES}
    ]


def test_the_kernel_knows_no_plugin() -> None:
    packages = {next((path / "src").iterdir()).name for path in WITH_CODE}
    for file in (ROOT / "pyscrai_core").rglob("*.py"):
        assert not imported(file) & packages, file


def test_ci_runs_the_readmes_command() -> None:
    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"^python3 .*nox -s tests$", readme, re.MULTILINE)
    pattern = re.search(r"grep -m 1 -E '(.*)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern
    assert re.fullmatch(pattern[1].strip("^$"), command)
