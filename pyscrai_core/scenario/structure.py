"""From plain data to attrs classes: strict, with the path of every mistake.

Used for the scenario itself and for every extension's `Config`, so both behave the same.
"""

from __future__ import annotations

import difflib
import enum
import pathlib
import re
import shlex
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
from ..language.schemas import NotASchema, check_schema
from ..language.templates import Prompt, PromptError, guess
from .document import Found, Misfit, Misfits, Path

T = TypeVar("T")

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


def shown(value: Any) -> str:
    """A value in an error message: short, and in the scenario's own notation."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def describe_type(kind: Any) -> str:
    """What a type expects, in words."""
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
    """Structures data against types.

    `read` gives the text and the name of a file that an option of type `Prompt` names; `locate` turns the
    path of a `FilePath` into an absolute one; `demand` notes what a person has to allow; `build` makes
    the component for a nested `{use: …}`.
    """

    def __init__(
        self,
        *,
        read: Callable[[str], tuple[str, str]],
        locate: Callable[[str], str],
        demand: Callable[[str, str], None],
        build: Callable[[str, Any], Component],
    ) -> None:
        self._read = read
        self._locate = locate
        self._demand = demand
        self._build = build
        self._converter = self._make_converter()
        self._fields: dict[type, _Fields] = {}

    def structure(self, value: Any, kind: type[T]) -> T:
        """`value` as a `kind`. Raises `Misfits`."""
        try:
            made: T = _fit(self._converter.structure, value, kind)
        except (Misfit, Misfits) as error:
            raise Misfits(list(_flatten(error, ()))) from None
        return made

    def parts(self, value: dict[str, Any], kind: type) -> tuple[dict[str, Any], list[Found]]:
        """Those fields of the attrs class `kind` that fit, as arguments for it, and the misfits of others."""
        if kind not in self._fields:
            self._fields[kind] = _Fields(self._converter, kind)
        return self._fields[kind].structure(value)

    def hook(self, kind: Any, function: Callable[[Any, Any], Any]) -> None:
        """Structure values of the type `kind` with `function(value, kind)`."""
        self._converter.register_structure_hook(kind, function)

    # -- the converter --

    def _make_converter(self) -> Converter:
        # Of cattrs, the dispatch over types is used. Its own hooks coerce, so each is replaced.
        converter = Converter(detailed_validation=False)
        converter.register_structure_hook_factory(lambda kind: isinstance(kind, type), _no_option)
        converter.register_structure_hook_func(_is_enum, _enum)
        for kind in (str, int, bool, type(None)):
            converter.register_structure_hook(kind, _exactly(kind))
        converter.register_structure_hook(float, _number)
        for other in (bytes, pathlib.Path):
            converter.register_structure_hook(other, _no_option)
        converter.register_structure_hook_func(_is(Any), lambda value, _: value)
        converter.register_structure_hook_func(_is_literal, _literal)
        converter.register_structure_hook_factory(_is_union, lambda kind: _union(converter))
        converter.register_structure_hook_factory(attrs.has, lambda kind: _attrs_class(converter, kind))
        converter.register_structure_hook_factory(_is_sequence, lambda kind: _sequence(converter, kind))
        converter.register_structure_hook_factory(_is_dictionary, lambda kind: _dictionary(converter, kind))
        converter.register_structure_hook(Prompt, self._prompt)
        converter.register_structure_hook_func(_is(contracts.FilePath), self._file_path)
        converter.register_structure_hook_func(_is(contracts.Url), self._url)
        converter.register_structure_hook_func(_is(contracts.SecretName), self._secret)
        converter.register_structure_hook_func(_is(contracts.Program), self._program)
        converter.register_structure_hook_func(_is(contracts.JsonSchema), _schema)
        converter.register_structure_hook_func(_is_part, self._component)
        return converter

    def _prompt(self, value: Any, _: Any) -> Prompt:
        if not isinstance(value, str):
            raise Misfit(f"expected the path of a template file, got {shown(value)}")
        try:
            text, name = self._read(value)
        except ValueError as error:
            raise Misfit(str(error)) from None
        return Prompt(text, name)

    def _file_path(self, value: Any, _: Any) -> str:
        if not isinstance(value, str) or not value:
            raise Misfit(f"expected the path of a file, got {shown(value)}")
        try:
            return self._locate(value)
        except ValueError as error:
            raise Misfit(str(error)) from None

    def _url(self, value: Any, _: Any) -> str:
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(value) if isinstance(value, str) else None
        except ValueError:  # such as a bracket that is not closed
            parts = None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misfit(f"expected an address that begins with http:// or https://, got {shown(value)}")
        if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            self._demand("connect to", parts.hostname)
        return str(value)

    def _secret(self, value: Any, _: Any) -> str:
        if not isinstance(value, str) or not value.replace("_", "").isalnum() or value[0].isdigit():
            raise Misfit(f"expected the name of an environment variable, got {shown(value)}")
        self._demand("read the secret in the environment variable", value)
        return value

    def _program(self, value: Any, _: Any) -> list[str]:
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            raise Misfit(f"expected a program with its arguments, such as [python, x.py]; got {shown(value)}")
        if not value[0].strip():
            raise Misfit("the program is empty; name one")
        self._demand("start the program", shlex.join(value))
        # `./` is the scenario's folder, wherever the command was given.
        return [self._file_path(part, str) if part.startswith("./") else part for part in value]

    def _component(self, value: Any, kind: Any) -> Component:
        return self._build(_CONTRACT_KINDS[kind], value)


_CONTRACT_KINDS = {contract: kind for kind, contract in CONTRACTS.items()}


def check_prompts(config: Any, path: Path = ()) -> Iterator[tuple[Path, str, PromptError]]:
    """The mistakes in the prompts of a structured Config: (path of the option, origin, error).

    A file that replaces a plugin's prompt gets that one's variables.
    """
    for option in attrs.fields(type(config)):
        value, here = getattr(config, option.name), (*path, option.alias)
        if isinstance(value, Prompt):
            lender = option.default
            if isinstance(lender, Prompt) and not value.names:
                value = attrs.evolve(value, names=lender.names)
                object.__setattr__(config, option.name, value)
            try:
                value.check()
            except PromptError as error:
                yield here, value.origin, error
        elif attrs.has(type(value)) and not isinstance(value, Component):
            yield from check_prompts(value, here)


def inside(value: Any) -> Iterator[Any]:
    """All that a Config holds, also in its lists and mappings; of components, only themselves."""
    if isinstance(value, (Component, Prompt)):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from inside(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from inside(part)
    elif attrs.has(type(value)):
        for option in attrs.fields(type(value)):
            yield from inside(getattr(value, option.name))
    else:
        yield value


def _fit(hook: Callable[[Any, Any], Any], value: Any, kind: Any) -> Any:
    """What `hook` makes of `value`; whatever it says against it, as a misfit."""
    try:
        return hook(value, kind)
    except (Misfit, Misfits, PyscraiError):
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise Misfit(str(error)) from None


def _is(wanted: Any) -> Callable[[Any], bool]:
    return lambda kind: kind is wanted


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and kind in _CONTRACT_KINDS


def _is_sequence(kind: Any) -> bool:
    return kind in _SEQUENCES or get_origin(kind) in _SEQUENCES


def _is_dictionary(kind: Any) -> bool:
    return kind in (dict, abc.Mapping) or get_origin(kind) in (dict, abc.Mapping)


#: The types that a list is read as, with the one that is made.
_SEQUENCES: dict[Any, Any] = {
    **{kind: kind for kind in (list, tuple, set, frozenset)},
    abc.Sequence: tuple,
    abc.Collection: tuple,
}


def _exactly(kind: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise Misfit(f"expected {_WORDS[kind]}, got {shown(value)}")
        return value

    return structure


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise Misfit(f"expected a number, got {shown(value)}")
    return float(value)


def _literal(value: Any, kind: Any) -> Any:
    allowed = get_args(kind)
    for one in allowed:
        if type(one) is type(value) and one == value:
            return value
    near = guess(value, [str(one) for one in allowed]) if isinstance(value, str) else ""
    raise Misfit(f"expected one of {', '.join(map(str, allowed))}, got {shown(value)}{near}")


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


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


def _union(converter: Converter) -> Callable[[Any, Any], Any]:
    def structure(value: Any, kind: Any) -> Any:
        members = get_args(kind)
        if value is None and type(None) in members:
            return None
        failures: list[tuple[Any, Misfit | Misfits]] = []
        for member in members:
            if member is type(None):
                continue
            try:
                return _fit(converter.structure, value, member)
            except (Misfit, Misfits) as error:
                failures.append((member, error))
        # If the value has the right outer form for one member, that member's own complaint says most.
        for member, failure in failures:
            if isinstance(value, dict) and (attrs.has(member) or _is_dictionary(member) or _is_part(member)):
                raise failure
            if isinstance(value, list) and _is_sequence(member):
                raise failure
        if len(failures) == 1:
            raise failures[0][1]
        raise Misfit(f"expected {describe_type(kind)}, got {shown(value)}")

    return structure


def _attrs_class(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    fields = _Fields(converter, kind)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            keys = ", ".join(fields.options)
            raise Misfit(f"expected a mapping{f' with the keys {keys}' if keys else ''}; got {shown(value)}")
        given, found = fields.structure(value)
        if found:
            raise Misfits(found)
        return fields.make(given)

    return structure


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
        self._hooks: dict[str, Callable[[Any, Any], Any]] = {}
        for name, option in self.options.items():
            wanted = Any if option.type is None else option.type
            try:
                self._hooks[name] = converter.get_structure_hook(wanted)
            except (ContractError, StructureHandlerNotFoundError) as error:
                raise ContractError(f"{kind.__module__}.{kind.__name__}.{option.name}: {error}") from None

    def structure(self, value: dict[str, Any]) -> tuple[dict[str, Any], list[Found]]:
        """The arguments that fit, and what does not fit."""
        given: dict[str, Any] = {}
        found: list[Found] = []
        for key, part in value.items():
            hook = self._hooks.get(key)
            if hook is None:
                found.append(((key,), unknown_key(key, self.options), True))
                continue
            try:
                given[key] = _fit(hook, part, self.options[key].type)
            except (Misfit, Misfits) as error:
                found.extend(_flatten(error, (key,)))
        for name, option in self.options.items():
            if option.default is attrs.NOTHING and name not in value:
                found.append(((), f"the key {name!r} is missing", False))
        return given, found

    def make(self, given: dict[str, Any]) -> Any:
        """An instance. Raises `Misfits` for what its validators and its own checks refuse."""
        try:
            return self._kind(**given)
        except (PyscraiError, Misfit, Misfits):
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

    def _refused(self, given: dict[str, Any]) -> Iterator[Found]:
        """What each validator says by itself: the class stops at the first."""
        instance = object.__new__(self._kind)
        for name, option in self.options.items():
            default = option.default
            value = given.get(name, default.factory() if _is_plain_factory(default) else default)
            if callable(option.converter) and name in given:
                try:
                    value = option.converter(value)
                except (ValueError, TypeError) as error:
                    yield (name,), str(error), False
            object.__setattr__(instance, option.name, value)
        for name, option in self.options.items():
            if option.validator is None or name not in given:
                continue
            try:
                option.validator(instance, option, getattr(instance, option.name))
            except (ValueError, TypeError) as error:
                path, what, on_key = self._about(error)
                yield path or (name,), what, on_key

    def _about(self, error: Exception) -> Found:
        """An error of the class, at the option that its message begins with."""
        what = str(error.args[0]) if error.args else type(error).__name__
        about = _ABOUT.match(what)
        if about and about[1] in self.options:
            steps = re.findall(r"\.([^\s.:\[\]]+)|\[(\d+)\]", about[2])
            path = (about[1], *(int(index) if index else key for key, index in steps))
            return path, what[about.end() :], False
        return (), what, False


def _is_plain_factory(default: Any) -> bool:
    return isinstance(default, attrs.Factory) and not default.takes_self  # type: ignore[arg-type]


def _sequence(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    arguments = [argument for argument in get_args(kind) if argument is not Ellipsis]
    member = arguments[0] if arguments else Any
    origin = _SEQUENCES[get_origin(kind) or kind]

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise Misfit(f"expected a list, got {shown(value)}")
        if get_origin(kind) is tuple and Ellipsis not in get_args(kind) and arguments:
            if len(value) != len(arguments):
                raise Misfit(f"expected a list of {len(arguments)}, got one of {len(value)}")
            return tuple(_each(converter, value, arguments))
        made = _each(converter, value, [member] * len(value))
        try:
            return origin(made)
        except TypeError:  # a set of lists or mappings
            raise Misfit(f"expected a list of plain values, got {shown(value)}") from None

    return structure


def _each(converter: Converter, parts: list[Any], kinds: list[Any]) -> list[Any]:
    made: list[Any] = []
    found: list[Found] = []
    for index, (part, kind) in enumerate(zip(parts, kinds, strict=True)):
        try:
            made.append(_fit(converter.structure, part, kind))
        except (Misfit, Misfits) as error:
            found.extend(_flatten(error, (index,)))
    if found:
        raise Misfits(found)
    return made


def _dictionary(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    arguments = get_args(kind)
    member = arguments[1] if arguments else Any

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise Misfit(f"expected a mapping, got {shown(value)}")
        made: dict[str, Any] = {}
        found: list[Found] = []
        for key, part in value.items():
            try:
                made[key] = _fit(converter.structure, part, member)
            except (Misfit, Misfits) as error:
                found.extend(_flatten(error, (key,)))
        if found:
            raise Misfits(found)
        return made

    return structure


def _schema(value: Any, _: Any) -> Any:
    if not isinstance(value, dict):
        raise Misfit(f"expected a JSON Schema (a mapping), got {shown(value)}")
    try:
        check_schema(value)
    except NotASchema as error:
        raise Misfit(str(error), error.path) from None
    return value


def _flatten(error: Misfit | Misfits, path: Path) -> Iterator[Found]:
    """The misfits of an error, below `path`."""
    if isinstance(error, Misfit):
        yield path + error.below, str(error), error.on_key
    else:
        for below, what, on_key in error.found:
            yield path + below, what, on_key


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The words for a key that nobody knows."""
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    remedy = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown key {key!r}; {remedy}known keys: {', '.join(names) or 'none'}"
