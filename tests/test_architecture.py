"""The architecture: who may import whom, and how large the kernel may be.

All imports count: those at the top of a file, those under `TYPE_CHECKING` and those inside functions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KERNEL = ROOT / "pyscrai_core"
PACKAGES = [
    KERNEL,
    *sorted(
        entry.parent for base in ("plugins", "contrib") for entry in (ROOT / base).glob("*/src/*/__init__.py")
    ),
]

#: The rooms of the kernel and of the libraries below it, from the bottom to the top. A file imports from its
#: own room or from a lower row. Rooms that share a row do not import each other. `name/` is a folder, any
#: other name is a file; the package alone is its `__init__.py`.
ROWS: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "records": (
            "pyscrai_records",
            "pyscrai_records.base/",
            "pyscrai_records.canonical",
            "pyscrai_records.errors",
            "pyscrai_records.messages",
            "pyscrai_records.records",
            "pyscrai_records.secret",
            "pyscrai_records.stored_run",
            "pyscrai_records.base.suggest",
        )
    },
    {"store": ("pyscrai_records.store/",), "language": ("pyscrai_language/",)},
    {"answers": ("pyscrai_answers/",)},
    {
        "face": (
            "pyscrai_core.agent",
            "pyscrai_core.base/",
            "pyscrai_core.config",
            "pyscrai_core.contracts",
            "pyscrai_core.discovery/",
            "pyscrai_core.display/",
            "pyscrai_core.hookspecs",
            "pyscrai_core.plugins",
            "pyscrai_core.tools",
            "pyscrai_core.turn",
            "pyscrai_core.vendors",
        )
    },
    {"scenario": ("pyscrai_core.scenario/",)},
    {"calls": ("pyscrai_core.calls/",)},
    {"runtime": ("pyscrai_core.runtime/",)},
    {"api": ("pyscrai_core.api",)},
    {"package": ("pyscrai_core",)},
)
#: The packages of these rooms, by name.
FOUNDATION = {
    name: next(package for package in PACKAGES if package.name == name)
    for name in ("pyscrai_records", "pyscrai_language", "pyscrai_answers", "pyscrai_core")
}


def files(package: Path) -> dict[str, Path]:
    """Each module of a package by its dotted name; a package's own name stands for its `__init__.py`."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, modules: Iterable[str]) -> set[str]:
    """The modules of the same package that a module imports, wherever in it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")
                parent = parent[: len(parent) - node.level + 1]
                base = ".".join([*parent, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from package import module` imports the module; anything else comes from `base` itself.
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
    return {one for one in found if one in modules and one != name}


def graph(package: Path) -> dict[str, set[str]]:
    modules = files(package)
    return {name: imports(name, path, modules) for name, path in modules.items()}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(edges[start])
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo.extend(edges[one])
        return seen

    reach = {name: reachable(name) for name in edges}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in edges
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def place(module: str) -> tuple[int, str]:
    """The row and the room of a module of the kernel or of a library below it."""
    parts = module.split(".")
    wanted = {module, f"{parts[0]}/", f"{'.'.join(parts[:2])}/"}
    for row, rooms in enumerate(ROWS):
        for room, members in rooms.items():
            if wanted & set(members):
                return row, room
    raise AssertionError(f"{module}: no room holds this file; add it to ROWS or move it")


def lines(paths: Iterable[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def test_circles_are_found_whatever_form_the_import_has(tmp_path: Path) -> None:
    package = tmp_path / "pack"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("")
    (package / "a.py").write_text("if TYPE_CHECKING:\n    from pack.inner.b import B\n")
    (package / "inner" / "b.py").write_text("def f():\n    from .. import c\n")
    (package / "c.py").write_text("import pack.a\n")
    (package / "d.py").write_text("from .a import A\n")
    assert circles(graph(package)) == [["pack.a", "pack.c", "pack.inner.b"]]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_files_import_each_other_in_a_circle(package: Path) -> None:
    assert circles(graph(package)) == []


def test_the_kernel_imports_from_its_own_room_or_from_a_lower_one() -> None:
    modules = {name: path for package in FOUNDATION.values() for name, path in files(package).items()}
    upward = []
    for module, path in modules.items():
        row, room = place(module)
        for other in sorted(imports(module, path, modules)):
            below, its_room = place(other)
            if its_room != room and below >= row:
                upward.append(f"{module} ({room}) imports {other} ({its_room})")
    assert upward == []


@pytest.mark.parametrize("package", FOUNDATION.values(), ids=FOUNDATION)
def test_no_file_of_the_kernel_is_long(package: Path) -> None:
    long = {str(path.relative_to(ROOT)): lines([path]) for path in package.rglob("*.py")}
    assert {name: count for name, count in long.items() if count > 450} == {}


def test_the_kernel_stays_small() -> None:
    assert lines(KERNEL.rglob("*.py")) <= 13_000


def test_what_plugins_agree_on_stays_small() -> None:
    """All files at the top of the kernel and of its records; `api.py` is for applications."""
    tops = [path for name in ("pyscrai_core", "pyscrai_records") for path in FOUNDATION[name].glob("*.py")]
    assert lines(path for path in tops if path != KERNEL / "api.py") < 3_000
