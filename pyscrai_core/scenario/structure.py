"""From plain data to attrs classes: strict, with the path of every mistake.

Used for the scenario itself and for every extension's `Config`, so both behave the same.
"""

from __future__ import annotations

import enum
import pathlib
import re
import types
from collections import abc
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import StructureHandlerNotFoundError

from .. import contracts
from ..contracts import CONTRACTS, Component
from ..errors import ContractError, PyscraiError
from ..language.misfit import Misfit, Misfits
from ..language.templates import Prompt
from ..suggest import did_you_mean, format_value, unknown_key

T = TypeVar("T")
#: Makes something of a value, for the type that is wanted.
Hook = Callable[[Any, Any], Any]

_WORDS = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    type(None): "null",
    contracts.FilePath: "the path of a file",
    contracts.Url: "an address that begins with http:// or https://",
    contracts.SecretName: "the name of an environment variable",
    contracts.Program: "a program with its arguments, as a list",
    contracts.JsonSchema: "a JSON Schema",
    Prompt: "the path of a template file",
}
#: What a `ValueError` of a Config may begin with, to say which option it is about: `faults[0].kind: …`
_ABOUT = re.compile(r"([A-Za-z_]\w*)((?:\.[^\s.:\[\]]+|\[\d+\])*): ")


def describe_type(kind: Any) -> str:
    """What a type expects, as text."""
    if kind in _WORDS:
        return _WORDS[kind]
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(member) for member in get_args(kind))
    if origin in (list, tuple):
        return "a list"
    if origin is dict or attrs.has(kind):
        return "a mapping"
    if kind in _CONTRACT_KINDS:
        return f"{{use: …}} with a {_CONTRACT_KINDS[kind]}"
    return getattr(kind, "__name__", str(kind))


class Structurer:
    """Structures data against types; `build` makes the component for a nested `{use: …}`.

    Of cattrs, the dispatch over types is used. Its own hooks coerce values, so each is replaced; they also
    stop at the first mistake in a class, or report every exception as one of the data.
    """

    def __init__(self, build: Callable[[str, Any], Component]) -> None:
        self._build = build
        self._fields: dict[type, _Fields] = {}
        self._converter = converter = Converter(detailed_validation=False)
        converter.register_structure_hook_factory(lambda kind: isinstance(kind, type), _no_option)
        converter.register_structure_hook_func(_is_enum, _enum)
        for kind in (str, int, bool, type(None)):
            converter.register_structure_hook(kind, _exactly(kind))
        converter.register_structure_hook(float, _number)
        for other in (bytes, pathlib.Path):
            converter.register_structure_hook(other, _no_option)
        converter.register_structure_hook_func(_is_any, lambda value, _: value)
        converter.register_structure_hook_func(_is_literal, _literal)
        converter.register_structure_hook_func(_is_union, self._union)
        converter.register_structure_hook_factory(attrs.has, self._attrs_class)
        converter.register_structure_hook_func(_is_sequence, self._sequence)
        converter.register_structure_hook_func(_is_mapping, self._mapping)
        converter.register_structure_hook_func(_is_part, self._part)

    def structure(self, value: Any, kind: type[T]) -> T:
        """`value` as a `kind`. Raises `Misfit`."""
        made: T = _fit(self._converter.structure, value, kind)
        return made

    def parts(self, value: dict[str, Any], kind: type) -> tuple[dict[str, Any], list[Misfit]]:
        """Those fields of the attrs class `kind` that fit, as arguments for it, and the misfits of others."""
        if kind not in self._fields:
            self._fields[kind] = _Fields(self._converter, kind)
        return self._fields[kind].structure(value)

    def hook(self, kind: Any, function: Hook) -> None:
        """Structure values of the type `kind` with `function(value, kind)`."""
        self._converter.register_structure_hook(kind, function)

    # -- hooks that structure the parts of a value --

    def _part(self, value: Any, kind: Any) -> Component:
        return self._build(_CONTRACT_KINDS[kind], value)

    def _attrs_class(self, kind: Any) -> Hook:
        fields = _Fields(self._converter, kind)

        def structure(value: Any, _: Any) -> Any:
            if not isinstance(value, dict):
                keys = ", ".join(fields.options)
                with_keys = f" with the keys {keys}" if keys else ""
                raise Misfit(f"expected a mapping{with_keys}; got {format_value(value)}")
            given, found = fields.structure(value)
            if found:
                raise Misfits(found)
            return fields.make(given)

        return structure

    def _union(self, value: Any, kind: Any) -> Any:
        members = get_args(kind)
        if value is None and type(None) in members:
            return None
        failures: list[tuple[Any, Misfit]] = []
        for member in members:
            if member is type(None):
                continue
            try:
                return self.structure(value, member)
            except Misfit as error:
                failures.append((member, error))
        # If the value has the right outer form for one member, that member's own complaint says most.
        for member, failure in failures:
            if isinstance(value, dict) and (attrs.has(member) or _is_mapping(member) or _is_part(member)):
                raise failure
            if isinstance(value, list) and _is_sequence(member):
                raise failure
        if len(failures) == 1:
            raise failures[0][1]
        raise Misfit(f"expected {describe_type(kind)}, got {format_value(value)}")

    def _sequence(self, value: Any, kind: Any) -> Any:
        members = get_args(kind)
        if not isinstance(value, list):
            raise Misfit(f"expected a list, got {format_value(value)}")
        if get_origin(kind) is tuple and members and Ellipsis not in members:
            if len(value) != len(members):
                raise Misfit(f"expected a list of {len(members)}, got one of {len(value)}")
        else:
            members = (members[0] if members else Any,) * len(value)
        hook = self._converter.structure
        made, found = _each(
            (index, hook, *pair) for index, pair in enumerate(zip(value, members, strict=True))
        )
        if found:
            raise Misfits(found)
        try:
            return _SEQUENCES[get_origin(kind) or kind](made.values())
        except TypeError:  # a set of lists or mappings
            raise Misfit(f"expected a list of plain values, got {format_value(value)}") from None

    def _mapping(self, value: Any, kind: Any) -> Any:
        arguments = get_args(kind)
        member = arguments[1] if arguments else Any
        if not isinstance(value, dict):
            raise Misfit(f"expected a mapping, got {format_value(value)}")
        made, found = _each((key, self._converter.structure, part, member) for key, part in value.items())
        if found:
            raise Misfits(found)
        return made


class _Fields:
    """The fields of an attrs class as the keys of a mapping."""

    def __init__(self, converter: Converter, kind: Any) -> None:
        self._kind = kind
        try:
            attrs.resolve_types(kind)  # annotations may be strings
        except NameError as error:
            raise ContractError(
                f"{kind.__module__}.{kind.__name__}: {error}; import what it names"
            ) from error
        self.options = {option.alias: option for option in attrs.fields(kind) if option.init}
        self._hooks: dict[str, Hook] = {}
        for name, option in self.options.items():
            wanted = Any if option.type is None else option.type
            try:
                self._hooks[name] = converter.get_structure_hook(wanted)
            except (ContractError, StructureHandlerNotFoundError) as error:
                raise ContractError(f"{kind.__module__}.{kind.__name__}.{option.name}: {error}") from None

    def structure(self, value: dict[str, Any]) -> tuple[dict[str, Any], list[Misfit]]:
        """The arguments that fit, and what does not fit."""
        given, found = _each(
            (key, self._hooks[key], part, self.options[key].type)
            for key, part in value.items()
            if key in self._hooks
        )
        found += [
            Misfit(unknown_key(key, self.options), (key,), on_key=True)
            for key in value
            if key not in self._hooks
        ]
        found += [
            Misfit(f"the key {name!r} is missing")
            for name, option in self.options.items()
            if option.default is attrs.NOTHING and name not in value
        ]
        return given, found

    def make(self, given: dict[str, Any]) -> Any:
        """An instance. Raises `Misfit` for what its validators and its own checks refuse."""
        try:
            return self._kind(**given)
        except (PyscraiError, Misfit):
            raise
        except (ValueError, TypeError) as error:
            found = list(self._refused(given)) or [self._about(error)]
            raise Misfits(found) from None
        except Exception as error:
            # A check of the plugin's own that raises anything else is broken, and says so.
            raise ContractError(
                f"{self._kind.__module__}.{self._kind.__name__}: it raised {type(error).__name__}: {error}, "
                "expected a ValueError for options that it refuses; tell its author"
            ) from error

    def _refused(self, given: dict[str, Any]) -> Iterator[Misfit]:
        """What each validator says by itself: the class stops at the first."""
        instance = object.__new__(self._kind)
        for name, option in self.options.items():
            default = option.default
            value = given.get(name, default.factory() if _is_plain_factory(default) else default)
            if callable(option.converter) and name in given:
                try:
                    value = option.converter(value)
                except (ValueError, TypeError) as error:
                    yield Misfit(str(error), (name,))
            object.__setattr__(instance, option.name, value)
        for name, option in self.options.items():
            if option.validator is None or name not in given:
                continue
            try:
                option.validator(instance, option, getattr(instance, option.name))
            except (ValueError, TypeError) as error:
                misfit = self._about(error)
                yield misfit if misfit.below else misfit.under((name,))

    def _about(self, error: Exception) -> Misfit:
        """An error of the class, at the option that its message begins with."""
        what = str(error.args[0]) if error.args else type(error).__name__
        about = _ABOUT.match(what)
        if about and about[1] in self.options:
            steps = re.findall(r"\.([^\s.:\[\]]+)|\[(\d+)\]", about[2])
            path = (about[1], *(int(index) if index else key for key, index in steps))
            return Misfit(what[about.end() :], path)
        return Misfit(what)


def _is_plain_factory(default: Any) -> bool:
    return isinstance(default, attrs.Factory) and not default.takes_self  # type: ignore[arg-type]


def _each(parts: Iterable[tuple[str | int, Hook, Any, Any]]) -> tuple[dict[Any, Any], list[Misfit]]:
    """What is made of parts, given as (key, hook, value, type): those that fit, and the misfits of others."""
    made: dict[Any, Any] = {}
    found: list[Misfit] = []
    for key, hook, value, kind in parts:
        try:
            made[key] = _fit(hook, value, kind)
        except Misfit as error:
            found.extend(misfit.under((key,)) for misfit in error.found)
    return made, found


def _fit(hook: Hook, value: Any, kind: Any) -> Any:
    """What `hook` makes of `value`; whatever it says against it, as a misfit."""
    try:
        return hook(value, kind)
    except (Misfit, PyscraiError):
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise Misfit(str(error)) from None


_CONTRACT_KINDS = {contract: kind for kind, contract in CONTRACTS.items()}
#: The types that a list is read as, with the one that is made.
_SEQUENCES: dict[Any, Any] = {
    **{kind: kind for kind in (list, tuple, set, frozenset)},
    abc.Sequence: tuple,
    abc.Collection: tuple,
}


def _is_any(kind: Any) -> bool:
    return kind is Any


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and kind in _CONTRACT_KINDS


def _is_sequence(kind: Any) -> bool:
    return kind in _SEQUENCES or get_origin(kind) in _SEQUENCES


def _is_mapping(kind: Any) -> bool:
    return kind in (dict, abc.Mapping) or get_origin(kind) in (dict, abc.Mapping)


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _exactly(kind: type) -> Hook:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise Misfit(f"expected {_WORDS[kind]}, got {format_value(value)}")
        return value

    return structure


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise Misfit(f"expected a number, got {format_value(value)}")
    return float(value)


def _literal(value: Any, kind: Any) -> Any:
    allowed = get_args(kind)
    for one in allowed:
        if type(one) is type(value) and one == value:
            return value
    near = did_you_mean(value, [str(one) for one in allowed]) if isinstance(value, str) else ""
    raise Misfit(f"expected one of {', '.join(map(str, allowed))}, got {format_value(value)}{near}")


def _enum(value: Any, kind: type[enum.Enum]) -> enum.Enum:
    for one in kind:
        if type(one.value) is type(value) and one.value == value:
            return one
    _literal(value, Literal[tuple(one.value for one in kind)])
    raise AssertionError("a value that is none of the enumeration's fits it")


def _no_option(*given: Any) -> Any:
    raise ContractError(
        f"an option has the type {given[-1].__name__}, expected one of those that `pyscrai_core.contracts` "
        "lists (a path is a `FilePath`); tell its author"
    )
