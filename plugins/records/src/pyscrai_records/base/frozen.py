"""JSON that cannot be changed: payloads, arguments, options and schemas, which parts of a run share."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import lru_cache
from gc import get_referents
from typing import Any, NoReturn

import orjson

#: The most values in a JSON Schema; one that is checked with has no more than a megabyte.
MAX_SCHEMA_PARTS = 500_000


def _refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
    kind = "dict" if isinstance(self, dict) else "list"
    raise TypeError(
        f"this {kind} is read-only, because others in the run see it too; change a copy of it: "
        f"copy.deepcopy(value), or {kind}(value) for its first level"
    )


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed. `dict(value)` and `copy.deepcopy(value)` are plain again.

    `freeze` makes them. As with every subclass of dict, `dict.update(value, …)` would change it.
    """

    __slots__ = ()
    __init__ = __setattr__ = __delattr__ = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> Any:
        return freeze_dict, (dict(self),)


class FrozenList(list[Any]):
    """A list that cannot be changed. `list(value)` and `copy.deepcopy(value)` are plain again.

    `freeze` makes them. As with every subclass of list, `list.append(value, …)` would change it, and so would
    what calls that, such as `heapq`.
    """

    __slots__ = ()
    __init__ = __setattr__ = __delattr__ = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [copy.deepcopy(value, memo) for value in self]

    def __reduce__(self) -> Any:
        return freeze_list, (list(self),)


def freeze_dict(value: Mapping[str, Any]) -> FrozenDict:
    """A dict with the same values that cannot be changed."""
    made: FrozenDict = _new_dict(FrozenDict)
    _fill(made, value)
    return made


def freeze_list(values: Iterable[Any] = ()) -> FrozenList:
    """A list of the same values that cannot be changed."""
    made: FrozenList = _new_list(FrozenList)
    _extend(made, values)
    return made


_new_dict, _fill, _new_list, _extend = dict.__new__, dict.update, list.__new__, list.extend


def freeze(value: Any) -> Any:
    """A copy of plain data that cannot be changed; what is no dict, list or tuple stays as it is."""
    kind = type(value)
    if kind is str or kind is FrozenDict or kind is FrozenList:
        return value
    if isinstance(value, dict):
        return freeze_dict({key: freeze(part) for key, part in value.items()})
    if isinstance(value, list):
        return freeze_list([freeze(part) for part in value])
    return tuple(map(freeze, value)) if kind is tuple else value


class Sealed:
    """A base of frozen attrs classes: none of its methods, such as `__init__`, makes an instance anew."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        def __attrs_pre_init__(self: Any) -> None:
            # A new instance refers to its class alone. Reading an empty slot takes four times as long.
            if len(get_referents(self)) > 1:
                raise TypeError(f"this {cls.__name__} is read-only; attrs.evolve makes a changed copy")

        def __getstate__(self: Any) -> dict[str, Any]:
            return {field.name: getattr(self, field.name) for field in self.__attrs_attrs__}

        def __setstate__(self: Any, state: dict[str, Any]) -> None:
            __attrs_pre_init__(self)
            for name, value in state.items():
                object.__setattr__(self, name, value)

        for method in (__attrs_pre_init__, __getstate__, __setstate__):  # attrs makes none of its own then
            setattr(cls, method.__name__, method)


def as_tuple(values: Any) -> tuple[Any, ...]:
    """`tuple`, as a converter of attrs that mypy accepts."""
    return tuple(values)


@lru_cache(maxsize=4096)
def _schema(written: bytes) -> Any:
    return freeze(orjson.loads(written))


def too_many(where: str, most: int) -> str:
    """What is said of plain data with more than `most` values."""
    return (
        f"{where}: there are more than {most:,} values in it, where one that stands in several places counts "
        "each time; make it smaller"
    )


def freeze_schema(schema: Any) -> Any:
    """`freeze` for a JSON Schema; equal ones become one object, so that caches find it.

    Raises `ValueError` for one with more than `MAX_SCHEMA_PARTS` values.
    """
    if type(schema) is FrozenDict or not isinstance(schema, dict):
        return schema
    waiting: list[Any] = [schema]
    parts = 0  # a few objects that share others can be more than fits into memory
    while waiting:
        part = waiting.pop()
        parts += len(part)
        if parts > MAX_SCHEMA_PARTS:
            raise ValueError(too_many("the JSON Schema", MAX_SCHEMA_PARTS))
        inner = part.values() if isinstance(part, dict) else part
        waiting.extend(one for one in inner if isinstance(one, (dict, list, tuple)))
    try:
        return _schema(orjson.dumps(schema))
    except TypeError:  # it is not JSON; whoever checks it says so
        return freeze(schema)
