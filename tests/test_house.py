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


#: Libraries of the repository: any plugin may use them, as it may use numpy. They are no plugins.
LIBRARIES = {
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
    """Nor do the libraries that it is made of, which do not know the kernel either."""
    packages = {next((path / "src").iterdir()).name for path in WITH_CODE}
    for file in (ROOT / "pyscrai_core").rglob("*.py"):
        assert not imported(file) & packages, file
    for name in project(ROOT)["dependencies"]:  # type: ignore[attr-defined]
        if name.startswith("pyscrai-"):
            folder = ROOT / "plugins" / re.split(r"[<>=]", name)[0].removeprefix("pyscrai-")
            for file in folder.rglob("*.py"):
                assert not imported(file) & {"pyscrai_core", *packages}, file


def caught(handler: ast.ExceptHandler) -> set[str]:
    """The names of what it catches; an empty one if it names nothing."""
    if handler.type is None:
        return {""}
    return {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("path", [ROOT, *PLUGINS], ids=lambda path: path.name)
def test_whoever_catches_everything_says_why(path: Path) -> None:
    """Beside `except Exception`, on its line. What catches everything to raise it again needs no reason."""
    for file in (path / ("pyscrai_core" if path == ROOT else "src")).rglob("*.py"):
        text = file.read_text()
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler) and caught(node) & {"Exception", "BaseException", ""}:
                last = node.body[-1]
                again = isinstance(last, ast.Raise) and last.exc is None
                reason = re.sub(r"noqa: [A-Z0-9]+", "", lines[node.lineno - 1].partition("#")[2]).strip(" -")
                assert reason or (again and "Exception" not in caught(node)), f"{file}:{node.lineno}"


@pytest.mark.parametrize("path", [ROOT, *PLUGINS], ids=lambda path: path.name)
def test_python_s_parser_is_used_by_one_thread_at_a_time(path: Path) -> None:
    """By `parse_module` and `parse_expression`, which lock it. A node alone may be evaluated anywhere."""
    for file in (path / ("pyscrai_core" if path == ROOT else "src")).rglob("*.py"):
        if file != ROOT / "plugins/records/src/pyscrai_records/base/syntax.py":
            assert not re.search(r"\bast\.parse\(|PyCF_ONLY_AST", file.read_text()), file


def test_ci_runs_the_readmes_command() -> None:
    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"^python3 .*nox -s tests$", readme, re.MULTILINE)
    pattern = re.search(r"grep -m 1 -E '(.*)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern
    assert re.fullmatch(pattern[1].strip("^$"), command)
