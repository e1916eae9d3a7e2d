"""What is wrong with a value, told from the errors that jsonschema finds.

These texts are logged, hashed and sent to models. So neither the library's own texts nor the order in which
it finds errors enters them: another version of it would make a replay diverge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from pyscrai_records.base.suggest import did_you_mean, format_json, list_some
from pyscrai_records.canonical import canonical

from .misfit import Path, dotted
from .patterns import compile_pattern

#: An error of jsonschema, a `ValidationError`; its attributes may be unset, which never happens here.
Error: TypeAlias = Any

#: How many errors at one place, and how many forms that do not fit, are told.
TOLD = 3

TYPES = {
    "array": "an array",
    "boolean": "a boolean",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


class Explained(Exception):
    """The cause of an error that one of our own checks found: its text says what is wrong."""


def explain(errors: Iterable[Error]) -> tuple[Path, str]:
    """Where and what is wrong with a value that has `errors`, of which there is at least one.

    Only the errors at one place are told: the one nearest to the whole value, and of several such the first
    by index or by key. They come in the order of `_TELL`. What a value is (`_VALUE`) is told alone, and the
    errors of `anyOf` and `oneOf` only if there are no others.
    """
    found = list(errors)
    place = min(map(_path, found), key=_order)
    here = sorted((error for error in found if _path(error) == place), key=_rank)
    first = here[0]
    if first.validator in _FORMS:
        return _explain_forms(first, place)
    if _keyword(first) in _VALUE:
        return place, _tell(first)
    texts: dict[str, None] = {}
    told = set()
    for error in here:
        rule = (error.validator, id(error.schema), error.cause)  # many references may lead to it
        if rule not in told and error.validator not in _FORMS and len(texts) < TOLD:
            told.add(rule)
            texts[_tell(error)] = None
    return place, "; ".join(texts)


def _path(error: Error) -> Path:
    return tuple(error.absolute_path)


def _order(path: Path) -> Any:
    return len(path), [(isinstance(step, str), step) for step in path]


def _keyword(error: Error) -> Any:
    """The keyword that a value does not fit; None: it is a schema that nothing fits."""
    return None if error.validator == "not" and error.validator_value == {} else error.validator


def _rank(error: Error) -> Any:
    """The place of an error among those at the same place, which depends on nothing but the schema."""
    keywords, keyword = [*_TELL, *_FORMS], _keyword(error)
    rank = keywords.index(keyword) if keyword in keywords else len(keywords)
    return rank, str(keyword), canonical(error.validator_value), canonical(error.schema)


def _tell(error: Error) -> str:
    if isinstance(error.cause, Explained):
        return str(error.cause)
    if (keyword := _keyword(error)) in _TELL:
        return _TELL[keyword](error)
    rule = f"{error.validator} {format_json(error.validator_value)}"
    return f"it does not fit the rule {rule}, got {format_json(error.instance)}"


# -- one of several forms -----------------------------------------------------------------------


def _explain_forms(error: Error, place: Path) -> tuple[Path, str]:
    """What is wrong with a value that fits none of the forms of an `anyOf` or `oneOf`, or too many."""
    got = format_json(error.instance)
    by_form: dict[Any, list[Error]] = {}
    for each in error.context or ():
        by_form.setdefault(each.relative_schema_path[0], []).append(each)
    forms = [by_form[index] for index in sorted(by_form)]
    if not forms:
        return place, f"it fits several of the possible forms, where exactly one is expected; got {got}"
    # A form for values of another type is not the one that was meant, nor is one with another constant.
    types = [_find(form, ("type",), len(place)) for form in forms]
    meant = [form for form, other in zip(forms, types, strict=True) if other is None]
    if not meant:
        return place, f"expected {_types(other.validator_value for other in types if other)}, got {got}"
    for depth in (0, 1):
        constants = [_find(form, ("const", "enum"), len(place) + depth) for form in meant]
        if None in constants:
            meant = [form for form, other in zip(meant, constants, strict=True) if other is None]
    if len(meant) == 1:
        return explain(meant[0])
    if None not in constants and len(places := {_path(other) for other in constants}) == 1:
        wanted = [value for other in constants for value in _wanted(other)]
        return places.pop(), _one_of(wanted, constants[0])
    texts = []
    for form in meant[:TOLD]:
        path, what = explain(form)
        texts.append(f"{dotted(path[len(place) :])}: {what}" if path != place else what)
    return place, f"none of the {len(forms)} possible forms fits: {'; or '.join(dict.fromkeys(texts))}"


def _find(form: list[Error], keywords: tuple[str, ...], depth: int) -> Error | None:
    """The first error of one of `keywords` that is at most so deep."""
    found = [error for error in form if error.validator in keywords and len(_path(error)) <= depth]
    return min(found, key=lambda error: (_order(_path(error)), _rank(error)), default=None)


# -- one keyword --------------------------------------------------------------------------------


def _types(wanted: Iterable[Any]) -> str:
    names = [name for one in wanted for name in ([one] if isinstance(one, str) else one)]
    return " or ".join(TYPES[name] for name in dict.fromkeys(names))


def _wanted(error: Error) -> list[Any]:
    values = error.validator_value
    return list(values) if error.validator == "enum" else [values]


def _one_of(values: list[Any], error: Error) -> str:
    listed = list_some(dict.fromkeys(map(format_json, values)))
    near = ""
    if isinstance(error.instance, str):
        near = did_you_mean(error.instance, [value for value in values if isinstance(value, str)])
    one_of = "one of " if len(values) > 1 else ""
    return f"expected {one_of}{listed}, got {format_json(error.instance)}{near}"


def _missing(names: Iterable[str], error: Error) -> str:
    missing = [format_json(name) for name in names if name not in error.instance]
    return (
        f"the key {missing[0]} is missing"
        if len(missing) == 1
        else f"the keys {list_some(missing)} are missing"
    )


def _dependent(error: Error) -> str:
    texts = [
        f"{_missing(names, error)}, as there is {format_json(key)}"
        for key, names in error.validator_value.items()
        if key in error.instance and any(name not in error.instance for name in names)
    ]
    return "; ".join(texts[:TOLD])


def _unknown(error: Error) -> str:
    properties = error.schema.get("properties", {})
    known = sorted(properties)
    patterns = sorted(error.schema.get("patternProperties", ()))
    unknown = sorted(
        name
        for name in error.instance
        if name not in properties and not any(compile_pattern(pattern).search(name) for pattern in patterns)
    )
    names = list_some(map(format_json, unknown))
    near = did_you_mean(unknown[0], known) if len(unknown) == 1 else ""
    there = list_some(
        [*map(format_json, known), *(f"those that match {format_json(one)}" for one in patterns)]
    )
    return f"unknown key{'s' if len(unknown) > 1 else ''} {names}{near}; known keys: {there or 'none'}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _than(bound: str) -> Callable[[Error], str]:
    """The text for a keyword that bounds a value, such as "at least"."""
    return lambda error: (
        f"expected {bound} {format_json(error.validator_value)}, got {format_json(error.instance)}"
    )


def _size(bound: str, thing: str) -> Callable[[Error], str]:
    """The text for a keyword that bounds how many things there are."""
    return lambda error: (
        f"expected {bound} {_count(error.validator_value, thing)}, got {len(error.instance)}: "
        f"{format_json(error.instance)}"
    )


def _contained(error: Error) -> str:
    """The text for the keywords that bound how many items fit the schema of `contains`."""
    few = error.validator != "maxContains"
    number = error.schema.get("minContains", 1) if few else error.validator_value
    bound = f"at {'least' if few else 'most'} {_count(number, 'item')}"
    return (
        f"expected {bound} to fit {format_json(error.schema['contains'])}, got {format_json(error.instance)}"
    )


def _too_many(error: Error) -> str:
    most = len(error.schema.get("prefixItems", ()))
    return (
        f"expected at most {_count(most, 'item')}, got {len(error.instance)}: {format_json(error.instance)}"
    )


#: The text for each keyword, in the order in which errors at one place are told.
_TELL: dict[Any, Callable[[Error], str]] = {
    None: lambda error: f"nothing is allowed here, got {format_json(error.instance)}",
    "const": lambda error: _one_of(_wanted(error), error),
    "enum": lambda error: _one_of(_wanted(error), error),
    "type": lambda error: f"expected {_types([error.validator_value])}, got {format_json(error.instance)}",
    "additionalProperties": _unknown,
    "required": lambda error: _missing(error.validator_value, error),
    "dependentRequired": _dependent,
    "minProperties": _size("at least", "key"),
    "maxProperties": _size("at most", "key"),
    "items": _too_many,
    "minItems": _size("at least", "item"),
    "maxItems": _size("at most", "item"),
    "uniqueItems": lambda error: f"two items are equal, got {format_json(error.instance)}",
    "contains": _contained,
    "minContains": _contained,
    "maxContains": _contained,
    "minLength": _size("at least", "character"),
    "maxLength": _size("at most", "character"),
    "pattern": _than("a match of the pattern"),
    "format": _than("the format"),
    "minimum": _than("at least"),
    "maximum": _than("at most"),
    "exclusiveMinimum": _than("more than"),
    "exclusiveMaximum": _than("less than"),
    "multipleOf": _than("a multiple of"),
    "not": _than("a value that does not fit"),
}
#: The keywords that say what a value is: no other error at its place is worth telling beside them.
_VALUE = (None, "const", "enum", "type")
#: The keywords whose errors are those of several schemas.
_FORMS = ("anyOf", "oneOf")
