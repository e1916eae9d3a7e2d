"""The state of the world: a JSON document that only events change.

The document has three parts: `world` (public), `agents` (private to each) and `groups` (shared by their
members). A change copies what lies on its path and shares the rest, so that a snapshot costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from pyscrai_records.base.suggest import format_json, quote
from pyscrai_records.canonical import check_json

Root: TypeAlias = dict[str, Any]
View: TypeAlias = Mapping[str, Any]

PARTS = ("world", "agents", "groups")


def freeze(value: Any) -> Any:
    """A view of plain data that cannot be written to."""
    if isinstance(value, dict):
        return MappingProxyType({key: freeze(part) for key, part in value.items()})
    if isinstance(value, list):
        return tuple(freeze(part) for part in value)
    return value


class Snapshot:
    """Read-only views of one state; each is made when it is first looked at."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._views: dict[tuple[str, ...], View] = {}

    def _view(self, *path: str) -> View:
        view = self._views.get(path)
        if view is None:
            value: Any = self._root
            for key in path:
                value = value[key]
            view = self._views[path] = freeze(value)
        return view

    @property
    def world(self) -> View:
        return self._view("world")

    def of_agent(self, name: str) -> View:
        return self._view("agents", name)

    def of_groups(self, names: Sequence[str]) -> View:
        return MappingProxyType({name: self._view("groups", name) for name in names})


def resolve(path: str) -> tuple[str, ...]:
    """The full path in the document: a path that names no other part is one in the world's."""
    keys = tuple(path.split("."))
    if not all(keys):
        raise ValueError(f"{quote(path)} is not a path: expected names with dots between them")
    return keys if keys[0] in PARTS[1:] else ("world", *keys)


def changed(root: Root, path: tuple[str, ...], op: Literal["set", "add"], value: Any) -> Root:
    """The document after one change. Raises `ValueError` if the change is not possible there."""
    shown = ".".join(path[1:] if path[0] == "world" else path)
    if path[0] != "world" and (len(path) < 3 or path[1] not in root[path[0]]):
        raise ValueError(f"{shown}: there is no such state; expected {path[0]}.NAME.KEY")
    new: Root = dict(root)
    node: Any = new
    for key in path[:-1]:
        inner = node.get(key)
        if inner is None:
            inner = {}
        if not isinstance(inner, dict):
            raise ValueError(f"{shown}: {quote(key)} holds {format_json(inner)}, which has no keys")
        node[key] = dict(inner)
        node = node[key]
    last = path[-1]
    if op == "set":
        node[last] = value
        return new
    old = node.get(last)
    if isinstance(old, list):
        node[last] = [*old, value]
    elif _number(value) and (old is None or _number(old)):
        node[last] = check_json((old or 0) + value, f"{shown}: the sum")
    else:
        what = f"cannot add {format_json(value)} to {format_json(old)}"
        raise ValueError(f"{shown}: {what}; expected numbers, or a list to append to")
    return new


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
