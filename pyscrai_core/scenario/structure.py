"""From plain data to attrs classes: strict, with the path of every mistake.

Used for the scenario itself and for every extension's `Config`, so both behave the same.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable
from pathlib import Path as FilesystemPath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import AttributeValidationNote, BaseValidationError, Converter, IterableValidationNote
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from ..contracts import CONTRACTS, Component
from ..errors import InputError
from . import values
from .prompts import Prompt, PromptError, guess
from .schemas import check_schema

T = TypeVar("T")
Path = tuple[str | int, ...]

_WORDS = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    type(None): "null",
}


class Misfit(ValueError):
    """A value is not what is expected; `below` is where inside it, `on_key` whether its key is at fault."""

    def __init__(self, what: str, below: Path = (), on_key: bool = False) -> None:
        super().__init__(what)
        self.below = below
        self.on_key = on_key


class Misfits(ValueError):
    """Several of them: (path, what, on_key)."""

    def __init__(self, found: list[tuple[Path, str, bool]]) -> None:
        super().__init__("; ".join(what for _, what, _ in found))
        self.found = found


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
        #: The prompts met since the last call of `structure`, by origin.
        self.prompts: dict[str, str] = {}
        self._converter = self._make_converter()

    def structure(self, value: Any, kind: type[T]) -> T:
        """`value` as a `kind`. Raises `Misfits`."""
        try:
            return self._converter.structure(value, kind)
        except BaseValidationError as error:
            raise Misfits(list(_flatten(error, ()))) from None
        except Misfit as error:
            raise Misfits([(error.below, str(error), error.on_key)]) from None
        except (ValueError, TypeError, KeyError) as error:
            raise Misfits([((), str(error), False)]) from None

    def hook(self, kind: Any, function: Callable[[Any, Any], Any]) -> None:
        """Structure values of the type `kind` with `function(value, kind)`."""
        self._converter.register_structure_hook(kind, function)

    # -- the converter --

    def _make_converter(self) -> Converter:
        converter = Converter(forbid_extra_keys=True, detailed_validation=True)
        for kind in (str, int, bool):
            converter.register_structure_hook(kind, _exactly(kind))
        converter.register_structure_hook(float, _number)
        converter.register_structure_hook_func(_is(Any), lambda value, _: value)
        converter.register_structure_hook_func(_is_literal, _literal)
        converter.register_structure_hook_factory(_is_union, lambda kind: _union(converter))
        converter.register_structure_hook_factory(
            attrs.has, lambda kind: _mapping_first(make_dict_structure_fn(kind, converter), kind)
        )
        converter.register_structure_hook_factory(_is_sequence, lambda kind: _sequence(converter, kind))
        converter.register_structure_hook_factory(_is_dictionary, lambda kind: _dictionary(converter, kind))
        converter.register_structure_hook(Prompt, self._prompt)
        converter.register_structure_hook_func(_is(values.FilePath), self._file_path)
        converter.register_structure_hook_func(_is(values.Url), self._url)
        converter.register_structure_hook_func(_is(values.SecretName), self._secret)
        converter.register_structure_hook_func(_is(values.JsonSchema), _schema)
        converter.register_structure_hook_func(
            lambda kind: isinstance(kind, type) and kind in _CONTRACT_KINDS, self._component
        )
        return converter

    def _prompt(self, value: Any, _: Any) -> Prompt:
        if not isinstance(value, str):
            raise Misfit(f"expected the path of a template file, got {shown(value)}")
        text, name = self._read(value)
        return Prompt(text, name)

    def _file_path(self, value: Any, _: Any) -> str:
        if not isinstance(value, str) or not value:
            raise Misfit(f"expected the path of a file, got {shown(value)}")
        return self._locate(value)

    def _url(self, value: Any, _: Any) -> str:
        from urllib.parse import urlsplit

        parts = urlsplit(value) if isinstance(value, str) else None
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

    def _component(self, value: Any, kind: Any) -> Component:
        return self._build(_CONTRACT_KINDS[kind], value)


_CONTRACT_KINDS = {contract: kind for kind, contract in CONTRACTS.items()}


def check_prompts(config: Any) -> Iterable[tuple[str, str, PromptError]]:
    """The mistakes in the prompts of a structured Config: (option, origin, error).

    A file that replaces a plugin's prompt gets that one's variables.
    """
    for option in attrs.fields(type(config)):
        prompt = getattr(config, option.name)
        if not isinstance(prompt, Prompt):
            continue
        lender = option.default
        if isinstance(lender, Prompt) and not prompt.names:
            prompt = attrs.evolve(prompt, names=lender.names)
            object.__setattr__(config, option.name, prompt)
        try:
            prompt.check()
        except PromptError as error:
            yield option.name, prompt.origin, error


def _is(wanted: Any) -> Callable[[Any], bool]:
    return lambda kind: kind is wanted


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (list, tuple, set, frozenset)


def _is_dictionary(kind: Any) -> bool:
    return kind is dict or get_origin(kind) is dict


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


def _union(converter: Converter) -> Callable[[Any, Any], Any]:
    def structure(value: Any, kind: Any) -> Any:
        members = get_args(kind)
        if value is None and type(None) in members:
            return None
        failures: list[tuple[Any, Exception]] = []
        for member in members:
            if member is type(None):
                continue
            try:
                return converter.structure(value, member)
            except (BaseValidationError, ValueError, TypeError, KeyError) as error:
                failures.append((member, error))
        # If the value has the right outer form for one member, that member's own complaint says most.
        for member, failure in failures:
            if isinstance(value, dict) and (attrs.has(member) or get_origin(member) is dict):
                raise failure
            if isinstance(value, list) and get_origin(member) in (list, tuple):
                raise failure
        if len(failures) == 1:
            raise failures[0][1]
        raise Misfit(f"expected {describe_type(kind)}, got {shown(value)}")

    return structure


def _mapping_first(inner: Any, kind: Any) -> Callable[[Any, Any], Any]:
    def structure(value: Any, given: Any) -> Any:
        if not isinstance(value, dict):
            keys = ", ".join(option.name for option in attrs.fields(kind))
            raise Misfit(f"expected a mapping with the keys {keys}; got {shown(value)}")
        return inner(value, given)

    return structure


def _sequence(converter: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    arguments = [argument for argument in get_args(kind) if argument is not Ellipsis]
    member = arguments[0] if arguments else Any
    origin = get_origin(kind)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise Misfit(f"expected a list, got {shown(value)}")
        if origin is tuple and Ellipsis not in get_args(kind) and arguments:
            if len(value) != len(arguments):
                raise Misfit(f"expected a list of {len(arguments)}, got one of {len(value)}")
            return tuple(_each(converter, value, arguments))
        return origin(_each(converter, value, [member] * len(value)))

    return structure


def _each(converter: Converter, parts: list[Any], kinds: list[Any]) -> list[Any]:
    made: list[Any] = []
    found: list[tuple[Path, str, bool]] = []
    for index, (part, kind) in enumerate(zip(parts, kinds, strict=True)):
        try:
            made.append(converter.structure(part, kind))
        except (BaseValidationError, ValueError, TypeError, KeyError) as error:
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
        found: list[tuple[Path, str, bool]] = []
        for key, part in value.items():
            try:
                made[key] = converter.structure(part, member)
            except (BaseValidationError, ValueError, TypeError, KeyError) as error:
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
    except ValueError as error:
        raise Misfit(str(error)) from None
    return value


def _flatten(error: BaseException, path: Path) -> Iterable[tuple[Path, str, bool]]:
    """The leaves of a validation error, each with its path."""
    if isinstance(error, Misfits):
        for below, what, on_key in error.found:
            yield path + below, what, on_key
    elif isinstance(error, Misfit):
        yield path + error.below, str(error), error.on_key
    elif isinstance(error, BaseValidationError):
        for part in error.exceptions:
            yield from _flatten(part, path + _note(part))
    elif isinstance(error, ForbiddenExtraKeysError):
        known = sorted(option.alias for option in attrs.fields(error.cl) if option.init)
        for key in sorted(error.extra_fields):
            yield (*path, key), unknown_key(key, known), True
    elif isinstance(error, KeyError):
        yield path, f"the key {error.args[0]!r} is missing", False
    elif isinstance(error, InputError):
        raise error
    else:
        yield path, str(error), False


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The words for a key that nobody knows."""
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    remedy = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown key {key!r}; {remedy}known keys: {', '.join(names) or 'none'}"


def _note(error: BaseException) -> Path:
    path: Path = ()
    for note in reversed(getattr(error, "__notes__", [])):
        if isinstance(note, AttributeValidationNote):
            # A missing key belongs to the mapping that should have it.
            if isinstance(error, KeyError) and error.args[:1] == (note.name,):
                return ()
            path = (note.name,)
        elif isinstance(note, IterableValidationNote):
            path = (note.index,)
    return path


def folder_of(path: str | FilesystemPath) -> FilesystemPath:
    """The folder that relative paths of a scenario are resolved against."""
    return FilesystemPath(path).resolve().parent
