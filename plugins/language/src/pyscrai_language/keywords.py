"""The keywords of JSON Schema, as jsonschema checks them, with all work counted.

Schemas and values may come from strangers. jsonschema compares each item of a list with all the others, tries
forms within forms, follows references for as long as they lead on, and writes the whole value into each
error, so a few hundred characters can keep it busy for years. Here each keyword pays from `MAX_WORK` for what
it does. Those that cost more than their size are replaced, and so are those that use Python's `re`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any

from pyscrai_records.base.suggest import format_json

from .explain import TOLD, Explained, explain
from .misfit import Misfit, Path, dotted
from .patterns import compile_pattern

#: What one check may do. A unit is about a microsecond: a keyword is ten, a part that is compared less.
MAX_WORK = 3_000_000
#: How many references are followed in one check.
MAX_REFERENCES = 10_000

#: The keywords that go through a value; the others go through what the schema holds.
_OVER_VALUES = {
    *("additionalProperties", "contains", "items", "patternProperties", "propertyNames", "uniqueItems"),
}


class Check:
    """One check of a value, and the work that may still be done for it.

    places
        the place of each schema in the whole one, by the identity of its dictionary
    resolve
        the schema among these that a reference leads to, None if it leads elsewhere
    """

    def __init__(
        self,
        places: Mapping[int, Path],
        resolve: Callable[[str], Any],
        work: int = MAX_WORK,
        references: int = MAX_REFERENCES,
    ) -> None:
        self.places, self.resolve = places, resolve
        self.left, self.references = work, references
        self._sizes: dict[int, int] = {}

    def spend(self, units: int, schema: Any, keyword: str) -> None:
        self.left -= units
        if self.left < 0:
            place = dotted((*self.places.get(id(schema), ()), keyword))
            what = f"it takes too much work to check it by the schema's {place}"
            raise Misfit(f"{what}; make the schema simpler, or the value smaller")

    def size(self, value: Any) -> int:
        """The parts of a value, about; a long text has several. What stands in it twice counts twice."""
        if isinstance(value, str):
            return 1 + (len(value) >> 6)
        if not isinstance(value, dict | list):
            return 1
        # The value and the schema outlive the check, so nothing else gets the identity of a part.
        if (known := self._sizes.get(id(value))) is None:
            parts = value.values() if isinstance(value, dict) else value
            known = self._sizes[id(value)] = 1 + len(value) + sum(map(self.size, parts))
        return known


_current: ContextVar[Check] = ContextVar("check")


def errors_of(schema: Any, value: Any, check: Check) -> list[Any]:
    """The errors of jsonschema for a value. Raises `Misfit` when `check` runs out of work."""
    token = _current.set(check)
    try:
        return list(_validator_class()(schema).iter_errors(value))
    finally:
        _current.reset(token)


@functools.cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator, validators

    keywords: Mapping[str, Any] = {**Draft202012Validator.VALIDATORS, **_OWN}
    counted = {name: _counted(name, function) for name, function in keywords.items()}
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    return validators.extend(Draft202012Validator, counted, type_checker=types)  # type: ignore[no-untyped-call]


def _is_integer(checker: Any, value: Any) -> bool:
    """Whether a value is a whole number, also as 9.0 or 1e3; beyond 53 bits, others than that are meant."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < 2**53
    return isinstance(value, int) and not isinstance(value, bool)


def _counted(name: str, function: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    over_values = name in _OVER_VALUES

    def counted(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
        check = _current.get()
        through = value if over_values else wanted
        check.spend(10 + 3 * len(through) if isinstance(through, dict | list) else 10, schema, name)
        for error in function(validator, wanted, value, schema) or ():
            # A new one has the text of the value, and of the schema; others come from inside.
            new = not error.schema_path
            check.spend(5 + (check.size(value) + check.size(schema) if new else 0), schema, name)
            yield error

    return counted


# -- the keywords that are replaced -------------------------------------------------------------


def _error(what: str = "") -> Any:
    """An error; with `what`, it is told so."""
    from jsonschema.exceptions import ValidationError

    return ValidationError(what, cause=Explained(what) if what else None)


def _reference(validator: Any, target: str, value: Any, schema: Any) -> Any:
    check = _current.get()
    # jsonschema would fetch what is elsewhere, and be slow with what is here.
    if (found := check.resolve(target)) is None:
        raise Misfit(f"its $ref {format_json(target)} leads out of the schema, and is not followed")
    check.references -= 1
    if check.references < 0:
        raise Misfit("its references lead to too much work, or never end; make them simpler")
    return validator.descend(value, found)


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, str):
        try:
            if not _found(pattern, value, schema, "pattern"):
                yield _error()
        except Misfit as error:
            yield _error(str(error))


def _found(pattern: str, text: str, schema: Any, keyword: str) -> bool:
    compiled = compile_pattern(pattern)
    found = compiled.search(text)  # which is bounded by itself
    _current.get().spend(compiled.work(text) >> 6, schema, keyword)
    return found


def _pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[Any]:
    for key, part in value.items() if isinstance(value, dict) else ():
        for pattern, inner in patterns.items():
            if _found(pattern, key, schema, "patternProperties"):
                yield from validator.descend(part, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, value: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(value, dict):
        return
    extra = [key for key in value if _is_additional(key, schema)]
    if inner is not False:
        for key in extra:
            yield from validator.descend(value[key], inner, path=key)
    elif extra:
        yield _error()


def _is_additional(key: str, schema: Any) -> bool:
    patterns = schema.get("patternProperties", ())
    return key not in schema.get("properties", ()) and not any(
        _found(pattern, key, schema, "additionalProperties") for pattern in patterns
    )


def _property_names(validator: Any, inner: Any, value: Any, schema: Any) -> Iterator[Any]:
    # The library's errors do not tell which key they are about.
    names = sorted(value) if isinstance(value, dict) else ()
    wrong = ((name, errors) for name in names if (errors := list(validator.descend(name, inner))))
    for name, errors in islice(wrong, TOLD):
        yield _error(f"the key {format_json(name)}: {explain(errors)[1]}")


def _required(validator: Any, names: Any, value: Any, schema: Any) -> Iterator[Any]:
    if isinstance(value, dict) and any(name not in value for name in names):
        yield _error()  # one for all


def _dependent_required(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(value, dict):
        return
    for key, names in wanted.items():
        _current.get().spend(len(names), schema, "dependentRequired")
        if key in value and any(name not in value for name in names):
            yield _error()
            return


def _unique_items(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    if wanted and isinstance(value, list):
        check = _current.get()
        check.spend(check.size(value), schema, "uniqueItems")
        if len(set(map(_identity, value))) < len(value):
            yield _error()


def _enum(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    check = _current.get()
    check.spend(check.size(value) + (check.size(wanted) >> 2), schema, "enum")
    if _identity(value) not in map(_identity, wanted):
        yield _error()


def _const(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
    check = _current.get()
    check.spend(check.size(value) + check.size(wanted), schema, "const")
    if _identity(value) != _identity(wanted):
        yield _error()


def _identity(value: Any) -> Any:
    """What is the same for values that JSON Schema calls equal, and for no others, and can be hashed."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(_plain(value), sort_keys=True, default=repr).encode()
    return isinstance(value, bool), value


def _plain(value: Any) -> Any:
    """`value` in which 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


_OWN: dict[str, Callable[..., Any]] = {
    "$ref": _reference,
    "additionalProperties": _additional_properties,
    "const": _const,
    "dependentRequired": _dependent_required,
    "enum": _enum,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "propertyNames": _property_names,
    "required": _required,
    "uniqueItems": _unique_items,
}
