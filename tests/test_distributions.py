"""The distributions as a packager gets them: wheels, metadata, READMEs, dependencies."""

from __future__ import annotations

import ast
import email
import email.message
import functools
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import files, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pyscrai_core.plugins import Host

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(
    path.parent for base in ("plugins", "contrib") for path in (ROOT / base).glob("*/pyproject.toml")
)
DISTRIBUTIONS = [ROOT, *PLUGINS]
#: The kernel, and the libraries below it.
FOUNDATION = [ROOT, *(ROOT / "plugins" / name for name in ("answers", "language", "records"))]
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
#: Imported by a function that says what to install; its callers declare them.
OPTIONAL = {
    "pyscrai-core": {"genai-prices"},
    "pyscrai-dask": {"dask-jobqueue"},
    "pyscrai-experiments": {"matplotlib"},
    "pyscrai-html": {"ipython"},
    "pyscrai-statistics": {"pandas", "pyarrow", "salib", "statsmodels", "zstandard"},
    "pyscrai-testing": {"pyte", "xllamacpp"},
}
#: Declared for what the kernel does with the first if it is installed; imported by name, with a remedy.
INDIRECT = {"cryptography", "genai-prices", "xllamacpp"}

each_distribution = pytest.mark.parametrize(
    "path", DISTRIBUTIONS, ids=lambda path: "core" if path == ROOT else path.name
)
each_plugin = pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.name)


def tables(path: Path) -> dict[str, Any]:
    return tomllib.loads((path / "pyproject.toml").read_text())


def project(path: Path) -> dict[str, Any]:
    about: dict[str, Any] = tables(path)["project"]
    return about


def named(requirements: Iterable[str]) -> set[str]:
    """The distributions that requirements name."""
    return {canonicalize_name(Requirement(one).name) for one in requirements}


def sources(path: Path) -> Path:
    return path / "pyscrai_core" if path == ROOT else path / "src"


def all_requirements(path: Path) -> list[str]:
    about = project(path)
    extras = about.get("optional-dependencies", {}).values()
    return [*about["dependencies"], *(one for extra in extras for one in extra)]


# -- wheels -------------------------------------------------------------------------------------


@frozen
class Built:
    wheel: Path
    sdist: Path

    def names(self) -> set[str]:
        return set(zipfile.ZipFile(self.wheel).namelist())

    def read(self, name: str) -> str:
        """A file of the wheel's `.dist-info`."""
        archive = zipfile.ZipFile(self.wheel)
        (found,) = (each for each in archive.namelist() if each.endswith(f".dist-info/{name}"))
        return archive.read(found).decode()

    def metadata(self) -> email.message.Message:
        return email.message_from_string(self.read("METADATA"))


def wheel_of(path: Path, destination: Path) -> Path:
    return Path(next(iter(WheelBuilder(str(path)).build(directory=str(destination), versions=["standard"]))))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Built]:
    """Each distribution's wheel and source distribution, by its folder."""
    folder = tmp_path_factory.mktemp("dist")
    return {
        path: Built(
            wheel_of(path, folder), Path(next(iter(SdistBuilder(str(path)).build(directory=str(folder)))))
        )
        for path in DISTRIBUTIONS
    }


def test_twine_accepts_them(built: dict[Path, Built]) -> None:
    files = [str(file) for each in built.values() for file in (each.wheel, each.sdist)]
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@each_distribution
def test_a_wheel_holds_its_package_and_nothing_else(path: Path, built: dict[Path, Built]) -> None:
    names = built[path].names()
    source = sources(path)
    if not source.is_dir():  # the metapackage
        assert {name.split("/")[0].rpartition(".")[2] for name in names} == {"dist-info"}
        return
    base = ROOT if path == ROOT else source
    needed = {
        str(file.relative_to(base))
        for file in source.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and ".ruff_cache" not in file.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == needed
    package = next(source.iterdir()).name if path != ROOT else source.name
    assert f"{package}/py.typed" in names
    assert {name.split("/")[0] for name in needed} == {package}


@each_distribution
def test_a_wheel_describes_itself(path: Path, built: dict[Path, Built]) -> None:
    about = built[path].metadata()
    assert about["License-Expression"] == "MIT"
    assert about.get_all("License-File") == ["LICENSE"]
    assert built[path].read("licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert about["Author"] == "PyScrAI maintainers"
    assert about["Requires-Python"] == ">=3.11"
    assert about["Keywords"]
    assert about["Summary"]
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_all("Project-URL") is None  # there is no address yet
    classifiers = set(about.get_all("Classifier", []))
    (pythons,) = re.findall(r"^PYTHONS = (.*)$", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    tested = {f"Programming Language :: Python :: {python}" for python in ast.literal_eval(pythons)}
    assert tested == {one for one in classifiers if re.search(r"Python :: 3\.", one)}
    assert any(one.startswith("Development Status :: ") for one in classifiers)
    assert "Typing :: Typed" in classifiers or not sources(path).is_dir()
    assert not any(one.startswith("License :: ") for one in classifiers)


@each_plugin
def test_entry_points_load_the_kernel_alone(path: Path, built: dict[Path, Built]) -> None:
    for module in project(path).get("entry-points", {}).get("pyscrai", {}).values():
        code = zipfile.ZipFile(built[path].wheel).read(module.replace(".", "/") + ".py").decode()
        assert {name.partition(".")[0] for name in imported_by(code)} <= {"pyscrai_core", "__future__"}


@each_distribution
def test_the_source_distribution_builds_the_same_wheel(
    path: Path, built: dict[Path, Built], tmp_path: Path
) -> None:
    with tarfile.open(built[path].sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    wheel = wheel_of(folder, tmp_path)
    again, first = zipfile.ZipFile(wheel), zipfile.ZipFile(built[path].wheel)
    assert {name: again.read(name) for name in again.namelist()} == {
        name: first.read(name) for name in first.namelist()
    }
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {"README.md", "LICENSE", "pyproject.toml"} <= files
    assert not [name for name in files if name.endswith("README.md") and name != "README.md"]


# -- READMEs ------------------------------------------------------------------------------------


@each_distribution
def test_links_of_a_readme_work_outside_of_the_repository(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", (path / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]*)\)", text):
        assert target.startswith("https://") or target.removeprefix("#") in anchors, target


@each_plugin
def test_a_readme_says_how_to_install(path: Path) -> None:
    assert f"pip install {project(path)['name']}" in (path / "README.md").read_text()


def rows(readme: Path) -> dict[str, set[str]]:
    """What a README says that each distribution offers, from the rows of its tables."""
    found = re.findall(
        r"^\|(?: `[a-z]+` \|)? `(pyscrai-[a-z-]+)` \| (.*) \|$", readme.read_text(), re.MULTILINE
    )
    return {name: set(re.findall(r"`([a-z -]+)`", offered)) for name, offered in found}


def offered() -> dict[str, set[str]]:
    """What each distribution of the repository offers; of the command, nothing but itself."""
    names: dict[str, set[str]] = {str(project(path)["name"]): set() for path in PLUGINS}
    for offer in Host().offers():
        names.setdefault(offer.distribution, set()).add(offer.extension.name)
    return {**names, "pyscrai-cli": {"pyscrai"}}


def test_the_readme_lists_every_plugin_with_what_it_offers() -> None:
    listed = rows(ROOT / "README.md")
    listed["pyscrai-cli"] &= {"pyscrai"}  # it names some of the commands
    known = {str(project(path)["name"]) for path in PLUGINS} - {"pyscrai"}
    assert listed == {name: names for name, names in offered().items() if name in known}


def test_the_metapackage_lists_what_it_brings() -> None:
    about = project(ROOT / "plugins" / "standard")
    extras = about["optional-dependencies"]
    brought = named(all_requirements(ROOT / "plugins" / "standard"))
    with_code = {
        str(project(path)["name"]) for path in PLUGINS if "pyscrai" in project(path).get("entry-points", {})
    }
    assert brought == {"pyscrai-core", *with_code}
    listed = rows(ROOT / "plugins" / "standard" / "README.md")
    assert listed == {name: names for name, names in offered().items() if name in with_code}
    # Whoever brings a large library is asked for by name.
    assert extras == {
        name: [f"pyscrai-{name}>=0.1"]
        for name in (
            "anthropic",
            "dashboard",
            "dask",
            "duckdb",
            "experiments",
            "http",
            "mcp",
            "measures",
            "ollama",
            "openai",
            "telemetry",
        )
    }


# -- dependencies -------------------------------------------------------------------------------


def imported_by(code: str) -> set[str]:
    """The modules that code imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module)
    return names


@functools.cache
def installed() -> Mapping[str, list[str]]:
    """The distributions of each installed package; looking for them takes half a second."""
    return packages_distributions()


@functools.cache
def files_of(distribution: str) -> frozenset[str]:
    return frozenset(map(str, files(distribution) or []))


def holds(distribution: str, module: str) -> bool:
    """Whether a module, or the package that it is in, is a distribution's."""
    path = module.replace(".", "/")
    return not files_of(distribution).isdisjoint((f"{path}.py", f"{path}/__init__.py"))


def distributions_behind(folder: Path, own: Path) -> set[str]:
    """The distributions that the files of a folder import; not the standard library, and not `own`."""
    known = installed()
    found: set[str] = set()
    for module in {name for file in folder.rglob("*.py") for name in imported_by(file.read_text())}:
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        behind = sorted({*known.get(top, [top])})
        if len(behind) > 1:  # a namespace that several distributions share
            behind = [one for one in behind if holds(one, module)] or behind
        found.add(canonicalize_name(behind[0]))
    return found - {project(own)["name"]}


@each_distribution
def test_what_a_distribution_imports_is_what_it_depends_on(path: Path) -> None:
    about = project(path)
    declared = named(about["dependencies"])
    if sources(path).is_dir():
        found = distributions_behind(sources(path), path)
        assert found - OPTIONAL.get(about["name"], set()) <= declared
        assert declared - INDIRECT <= found


@each_plugin
def test_what_a_plugins_tests_import_is_declared(path: Path) -> None:
    about = project(path)
    declared = named([*about["dependencies"], *about.get("optional-dependencies", {}).get("test", [])])
    if (path / "tests").is_dir():
        assert distributions_behind(path / "tests", path) <= declared
        assert "pytest" in declared


def test_each_dependency_has_one_lower_bound_everywhere() -> None:
    """Then the session `lowest` shows that it is true."""
    bounds: dict[str, set[str]] = {}
    for path in DISTRIBUTIONS:
        for one in [*all_requirements(path), *tables(path)["build-system"]["requires"]]:
            requirement = Requirement(one)
            if path in FOUNDATION and requirement.name.startswith("pyscrai-"):
                continue  # exactly one version
            bounds.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    assert {name: bound for name, bound in bounds.items() if len(bound) > 1} == {}
    assert [bound for bound in bounds.values() if not re.fullmatch(r"\{'>=[0-9.]+'\}", str(bound))] == []


def test_the_kernel_and_the_libraries_below_it_are_released_together() -> None:
    """So a run's record of the kernel's version tells theirs too."""
    (version,) = {project(path)["version"] for path in FOUNDATION}
    names = {project(path)["name"] for path in FOUNDATION}
    for path in FOUNDATION:
        ours = [one for one in all_requirements(path) if Requirement(one).name.startswith("pyscrai-")]
        assert {one.partition("==")[0] for one in ours} <= names
        assert {one.partition("==")[2] for one in ours} <= {version}


def test_the_constraints_are_names_and_versions_of_all_that_is_needed() -> None:
    pins: dict[str, str] = {}
    for line in CONSTRAINTS.read_text().splitlines():
        found = re.fullmatch(r"([a-z0-9-]+)==([a-z0-9.]+)( ; [a-z0-9_.'<>=!() -]+)?", line, re.IGNORECASE)
        assert found, line
        pins[found[1]] = found[2]
    first_party = {str(project(path)["name"]) for path in DISTRIBUTIONS}
    assert not first_party & set(pins)
    for path in DISTRIBUTIONS:
        for one in [*all_requirements(path), *tables(path)["build-system"]["requires"]]:
            requirement = Requirement(one)
            pin = pins.get(canonicalize_name(requirement.name), "none")
            fits = requirement.name in first_party or (pin != "none" and pin in requirement.specifier)
            assert fits, f"{one}: the pin is {pin}; run nox -s constraints"
