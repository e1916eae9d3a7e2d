"""JSON that cannot be changed: payloads, arguments, options and schemas, which parts of a run share."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any, NoReturn

import orjson


def _refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
    kind = "dict" if isinstance(self, dict) else "list"
    raise TypeError(
        f"this {kind} is read-only, because others in the run see it too; change a copy of it: "
        f"copy.deepcopy(value), or {kind}(value) for its first level"
    )


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed. `dict(value)` and `copy.deepcopy(value)` are plain again."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> Any:
        return FrozenDict, (dict(self),)


class FrozenList(list[Any]):
    """A list that cannot be changed. `list(value)` and `copy.deepcopy(value)` are plain again."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [copy.deepcopy(value, memo) for value in self]

    def __reduce__(self) -> Any:
        return FrozenList, (list(self),)


def freeze(value: Any) -> Any:
    """A copy of plain data that cannot be changed; what is no dict, list or tuple stays as it is."""
    kind = type(value)
    if kind is str or kind is FrozenDict or kind is FrozenList:
        return value
    if isinstance(value, dict):
        return FrozenDict({key: freeze(part) for key, part in value.items()})
    if isinstance(value, list):
        return FrozenList([freeze(part) for part in value])
    return tuple(map(freeze, value)) if kind is tuple else value


def as_tuple(values: Any) -> tuple[Any, ...]:
    """`tuple`, as a converter of attrs that mypy accepts."""
    return tuple(values)


@lru_cache(maxsize=4096)
def _schema(written: bytes) -> Any:
    return freeze(orjson.loads(written))


def freeze_schema(schema: Any) -> Any:
    """`freeze` for a JSON Schema; equal ones become one object, so that caches find it."""
    if type(schema) is FrozenDict or not isinstance(schema, dict):
        return schema
    try:
        return _schema(orjson.dumps(schema))
    except TypeError:  # it is not JSON; whoever checks it says so
        return freeze(schema)
