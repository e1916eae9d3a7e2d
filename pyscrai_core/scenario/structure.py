"""From plain data to attrs classes: strict, with the path of every mistake.

Used for the scenario itself and for every extension's `Config`, so both behave the same.
"""

from __future__ import annotations

import enum
import operator
import pathlib
import re
import types
from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import StructureHandlerNotFoundError

from pyscrai_language.misfit import Misfit, Misfits
from pyscrai_language.templates import Prompt
from pyscrai_records.base.suggest import did_you_mean, expected, unknown_key
from pyscrai_records.errors import ContractError, PyscraiError

from .. import contracts
from ..contracts import CONTRACTS, Component

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
    contracts.HubFile: "a file on the Hugging Face Hub, as hf:ORG/REPO/FILE",
    contracts.Url: "an address that begins with http:// or https://",
    contracts.Listen: "a port, or HOST:PORT such as 127.0.0.1:9464",
    contracts.SecretName: "the name of an environment variable",
    contracts.Program: "a program with its arguments, such as [python, x.py]",
    contracts.JsonSchema: "a JSON Schema, as a mapping",
    Prompt: "the path of a template file",
}
_KINDS = {contract: kind for kind, contract in CONTRACTS.items()}
#: The types that a list is read as, with the one that is made.
_SEQUENCES: dict[Any, Any] = {
    **{kind: kind for kind in (list, tuple, set, frozenset)},
    abc.Sequence: tuple,
    abc.Collection: tuple,
}
_MAPPINGS = (dict, abc.Mapping)
_UNIONS = (Union, types.UnionType)
#: What a `ValueError` of a Config may begin with, to say which option it is about: `faults[0].kind: …`
_ABOUT = re.compile(r"([A-Za-z_]\w*)((?:\.[^\s.:\[\]]+|\[\d+\])*): ")


def describe_type(kind: Any) -> str:
    """What a type expects, as text."""
    if kind in _WORDS:
        return _WORDS[kind]
    origin = get_origin(kind) or kind
    if origin is Literal:
        allowed = get_args(kind)
        return "one of " * (len(allowed) > 1) + ", ".join(map(str, allowed))
    if origin in _UNIONS:
        return " or ".join(describe_type(member) for member in get_args(kind))
    if origin in _SEQUENCES:
        return "a list"
    if origin in _MAPPINGS or attrs.has(kind):
        return "a mapping"
    if kind in _KINDS:
        return f"{{use: …}} with a {_KINDS[kind]}"
    return getattr(kind, "__name__", str(kind))


def unfit(value: Any, kind: Any) -> Misfit:
    """The misfit that says what a type expects, and what was given."""
    return Misfit(expected(describe_type(kind), value))


class UnknownKey(Misfit):
    """A key that is none of those `known`."""

    def __init__(self, key: str, known: Iterable[str]) -> None:
        super().__init__(unknown_key(key, known), (key,), on_key=True)
        self.known = {*known}


class Structurer:
    """Structures data against types.

    `hooks` are the functions for types that mean more than their plain value; `build` makes the component for
    a nested `{use: …}`. Of cattrs, the dispatch over types is used. Its own hooks coerce values, so each is
    replaced; they also stop at the first mistake in a class, or report every exception as one of the data.
    """

    def __init__(self, hooks: Mapping[Any, Hook], build: Callable[[str, Any], Component]) -> None:
        self._build = build
        self._checked: set[type] = set()
        self.converter = Converter(detailed_validation=False)
        self.converter.register_structure_hook_factory(_is_plain, self._hook)
        for kind, hook in {**_HOOKS, **hooks}.items():
            if get_origin(kind) is None:
                self.converter.register_structure_hook(kind, hook)
            else:
                self.converter.register_structure_hook_func(partial(operator.eq, kind), hook)

    def structure(self, value: Any, kind: type[T]) -> T:
        """`value` as a `kind`. Raises `Misfit`."""
        try:
            return self.converter.structure(value, kind)
        except (Misfit, PyscraiError):
            raise
        except (ValueError, TypeError, KeyError) as error:
            raise Misfit(str(error)) from None

    def check_type(self, kind: Any) -> None:
        """Raise `ContractError` for a type that no option can have, also as a part of another."""
        if kind in self._checked:  # a class may have options of its own kind
            return
        if attrs.has(kind):
            self._checked.add(kind)
        if self.converter.get_structure_hook(kind) is _no_option:
            _no_option(None, kind)
        if (get_origin(kind) or kind) in (*_UNIONS, *_SEQUENCES, *_MAPPINGS):
            for member in get_args(kind):
                if member is not Ellipsis:
                    self.check_type(member)

    def each(self, parts: Iterable[tuple[Any, Any, Any]], others: Iterable[Misfit] = ()) -> dict[Any, Any]:
        """What is made of parts, given as (key, value, type), by key.

        Raises `Misfit` with those of all of them, and with `others` that the caller found.
        """
        made: dict[Any, Any] = {}
        found: list[Misfit] = []
        for key, value, kind in parts:
            try:
                made[key] = self.structure(value, kind)
            except Misfit as error:
                found.extend(misfit.under((key,)) for misfit in error.found)
        found.extend(others)
        if found:
            raise Misfits(found)
        return made

    def _hook(self, kind: Any) -> Hook:
        origin = get_origin(kind) or kind
        if kind is Any:
            return lambda value, _: value
        if origin is Literal:
            return _literal
        if origin in _UNIONS:
            return self._union
        if origin in _SEQUENCES:
            return self._sequence
        if origin in _MAPPINGS:
            return self._mapping
        if kind in _KINDS:
            return lambda value, kind: self._build(_KINDS[kind], value)
        if attrs.has(kind):
            return _Fields(self, kind).structure
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return _enum
        return _no_option(None, kind)

    def _union(self, value: Any, kind: Any) -> Any:
        members = [member for member in get_args(kind) if member is not type(None)]
        if value is None and len(members) < len(get_args(kind)):
            return None
        failures: list[Misfit] = []
        for member in members:
            try:
                return self.structure(value, member)
            except Misfit as error:
                failures.append(error)
        # If the value has the right outer form for one member, that member's own complaint says most.
        for member, failure in zip(members, failures, strict=True):
            origin = get_origin(member) or member
            if isinstance(value, dict) and (origin in (*_MAPPINGS, *_KINDS) or attrs.has(member)):
                raise failure
            if isinstance(value, list) and origin in _SEQUENCES:
                raise failure
        raise failures[0] if len(failures) == 1 else unfit(value, kind)

    def _sequence(self, value: Any, kind: Any) -> Any:
        members = get_args(kind)
        if not isinstance(value, list):
            raise unfit(value, kind)
        if get_origin(kind) is tuple and members and Ellipsis not in members:
            if len(value) != len(members):
                raise Misfit(f"expected a list of {len(members)}, got one of {len(value)}")
        else:
            members = (members[0] if members else Any,) * len(value)
        made = self.each(zip(range(len(value)), value, members, strict=True))
        try:
            return _SEQUENCES[get_origin(kind) or kind](made.values())
        except TypeError:  # a set of lists or mappings
            raise Misfit(expected("a list of plain values", value)) from None

    def _mapping(self, value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise unfit(value, kind)
        _, member = get_args(kind) or (Any, Any)
        return self.each((key, part, member) for key, part in value.items())


class _Fields:
    """The fields of an attrs class as the keys of a mapping."""

    def __init__(self, structurer: Structurer, kind: Any) -> None:
        self._structurer = structurer
        self._kind = kind
        self._name = f"{kind.__module__}.{kind.__name__}"
        try:
            attrs.resolve_types(kind)  # annotations may be strings
        except NameError as error:
            raise ContractError(f"{self._name}: {error}; import what it names: tell its author") from error
        self._options = {option.alias: option for option in attrs.fields(kind) if option.init}
        for option in self._options.values():
            try:
                structurer.check_type(option.type or Any)
            except (ContractError, StructureHandlerNotFoundError) as error:
                raise ContractError(f"{self._name}.{option.name}: {error}") from None

    @staticmethod
    def _type(option: attrs.Attribute[Any], value: Any) -> Any:
        """What an option is read as: text that is its default, such as a vendor's own address, as it is."""
        same = type(value) is type(option.default) is str and value == option.default
        return Any if same else option.type or Any

    def structure(self, value: Any, kind: Any) -> Any:
        """An instance. Raises `Misfit` for what its fields, its validators or its own checks refuse."""
        if not isinstance(value, dict):
            keys = f" with the keys {', '.join(self._options)}" if self._options else ""
            raise Misfit(expected(f"a mapping{keys}", value))
        options = self._options
        others: list[Misfit] = [UnknownKey(key, options) for key in value if key not in options]
        others += [
            Misfit(f"the key {name!r} is missing")
            for name, option in options.items()
            if option.default is attrs.NOTHING and name not in value
        ]
        known = ((key, part, self._type(options[key], part)) for key, part in value.items() if key in options)
        given = self._structurer.each(known, others)
        for name, part in given.items():
            default = options[name].default
            if isinstance(part, Prompt) and isinstance(default, Prompt) and not part.names:
                # A file that replaces a plugin's prompt gets that one's variables.
                given[name] = default.lend(part)
        try:
            return kind(**given)
        except (PyscraiError, Misfit):
            raise
        except (ValueError, TypeError) as error:
            raise Misfits(list(self._refused(given)) or [self._about(error)]) from None
        except Exception as error:  # a plugin's own check that raises anything else is broken: told so
            raise ContractError(
                f"{self._name}: it raised {type(error).__name__}: {error}, "
                "expected a ValueError for options that it refuses; tell its author"
            ) from error

    def _refused(self, given: dict[str, Any]) -> Iterator[Misfit]:
        """What each validator says by itself: the class stops at the first."""
        instance = object.__new__(self._kind)
        for name, option in self._options.items():
            default: Any = option.default
            plain = isinstance(default, attrs.Factory) and not default.takes_self  # type: ignore[arg-type]
            value = given.get(name, default.factory() if plain else default)
            if callable(option.converter) and name in given:
                try:
                    value = option.converter(value)
                except (ValueError, TypeError) as error:
                    yield Misfit(str(error), (name,))
            object.__setattr__(instance, option.name, value)
        for name, option in self._options.items():
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
        if about and about[1] in self._options:
            steps = re.findall(r"\.([^\s.:\[\]]+)|\[(\d+)\]", about[2])
            path = (about[1], *(int(index) if index else key for key, index in steps))
            return Misfit(what[about.end() :], path)
        return Misfit(what)


def _is_plain(kind: Any) -> bool:
    """Whether a type is none that stands for another one, such as a `NewType`: these cattrs looks through."""
    origin = get_origin(kind) or kind
    if origin is Annotated:
        return False
    return isinstance(origin, type) or origin in (Any, Literal, *_UNIONS)


def _exactly(value: Any, kind: Any) -> Any:
    if type(value) is not kind:
        raise unfit(value, kind)
    return value


def _number(value: Any, kind: Any) -> float:
    if type(value) not in (int, float):
        raise unfit(value, kind)
    return float(value)


def _literal(value: Any, kind: Any) -> Any:
    allowed = get_args(kind)
    if not any(type(one) is type(value) and one == value for one in allowed):
        near = did_you_mean(value, map(str, allowed)) if isinstance(value, str) else ""
        raise Misfit(f"{unfit(value, kind)}{near}")
    return value


def _enum(value: Any, kind: type[enum.Enum]) -> enum.Enum:
    return kind(_literal(value, Literal[tuple(one.value for one in kind)]))


def _no_option(_: Any, kind: Any) -> NoReturn:
    raise ContractError(
        f"an option has the type {getattr(kind, '__name__', kind)}, expected one of those that "
        "`pyscrai_core.contracts` lists (a path is a `FilePath`); tell its author"
    )


#: For types of which cattrs has hooks of its own that go before those of a factory.
_HOOKS: dict[Any, Hook] = {
    float: _number,
    **dict.fromkeys((str, int, bool, type(None)), _exactly),
    **dict.fromkeys((bytes, pathlib.Path), _no_option),
}
