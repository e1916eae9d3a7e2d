"""The house's own rules: what each distribution is made of, and whom it may know."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(
    path.parent for base in ("plugins", "contrib") for path in (ROOT / base).glob("*/pyproject.toml")
)


def project(path: Path) -> dict[str, object]:
    loaded: dict[str, object] = tomllib.loads((path / "pyproject.toml").read_text())["project"]
    return loaded


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
        assert known <= {"pyscrai_core", package}, file
    entry = path / "src" / package / "plugin.py"
    assert imported(entry) <= {"pyscrai_core", "__future__"}
    assert "pyscrai_api = 1" in entry.read_text()
    depends = [re.split(r"[<>=~! \[]", name)[0] for name in project(path)["dependencies"]]  # type: ignore[attr-defined]
    assert "pyscrai-core" in depends
    assert not [name for name in depends if name.startswith("pyscrai") and name != "pyscrai-core"]


def test_the_kernel_knows_no_plugin() -> None:
    packages = {next((path / "src").iterdir()).name for path in WITH_CODE}
    for file in (ROOT / "pyscrai_core").rglob("*.py"):
        assert not imported(file) & packages, file


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.name)
def test_each_distribution_is_described(path: Path) -> None:
    about = project(path)
    assert about["license"] == "MIT"
    assert about["requires-python"] == ">=3.11"
    readme = (path / "README.md").read_text()
    assert f"pip install {about['name']}" in readme
    if path in WITH_CODE:
        assert f"]({path.parent.name}/{path.name}/README.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", [ROOT, *PLUGINS], ids=lambda path: path.name)
def test_wheels_hold_all_that_is_needed(path: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "pyscrai_core" if path == ROOT else path / "src"
    base = ROOT if path == ROOT else source
    if source.is_dir():
        needed = {
            str(file.relative_to(base))
            for file in source.rglob("*")
            if file.is_file() and "__pycache__" not in file.parts and ".ruff_cache" not in file.parts
        }
        assert needed <= names


def test_the_metapackage_brings_every_standard_plugin() -> None:
    about = project(ROOT / "plugins" / "standard")
    extras = about["optional-dependencies"]
    named = [*about["dependencies"], *(one for part in extras.values() for one in part)]  # type: ignore[attr-defined, misc]
    brought = sorted(re.split(r"[<>=]", name)[0] for name in named)
    assert brought == sorted(["pyscrai-core", *(str(project(path)["name"]) for path in WITH_CODE)])
    # Whoever brings a vendor's library is asked for by name.
    assert set(extras) == {"anthropic", "http", "mcp", "ollama", "openai"}  # type: ignore[call-overload]


def test_ci_runs_the_readmes_command() -> None:
    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"^python3 .*nox -s tests$", readme, re.MULTILINE)
    pattern = re.search(r"grep -m 1 -E '(.*)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern
    assert re.fullmatch(pattern[1].strip("^$"), command)


def test_the_scenario_in_the_readme_is_valid(tmp_path: Path) -> None:
    from pyscrai_core import api
    from pyscrai_core.config import load_settings

    readme = (ROOT / "README.md").read_text()
    market, vendors, tools = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    path = tmp_path / "market.yaml"
    path.write_text(market)
    assert api.prepare(path, settings=load_settings()).scenario.name == "apple-market"
    path.write_text(f"scenario: a part of one\n{vendors}")
    assert api.prepare(path, settings=load_settings()).scenario.limits.money == 2.5
    (module,) = re.findall(r"```python\n# my_tools.py\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "my_tools.py").write_text(module)
    path.write_text(f"scenario: tools\nagents:\n  Mara:\n    {tools}")
    plan = api.prepare(path, settings=load_settings())
    assert [one.make().name for one in plan.tools["Mara"]] == ["stock", "throw"]
