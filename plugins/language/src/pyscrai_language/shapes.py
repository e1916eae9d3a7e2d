"""Shapes: what is known of a value before a run, such as the keys of a mapping or the strings that it can be.

What is not known fits everything, so whoever checks with shapes finds only what is certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import evolve, frozen

from pyscrai_records.base.suggest import TYPO, closest

from .misfit import Misfit
from .values import alternatives, kind_of, mistyped, named, types_of

#: The kinds of values, in the words of `kind_of`.
NULL, BOOLEAN, NUMBER, STRING = "null", "a boolean", "a number", "a string"
MAPPING, LIST, SET, EVENT = "a mapping", "a list", "a set", "an event"
_ALL = frozenset((NULL, BOOLEAN, NUMBER, STRING, MAPPING, LIST, SET, EVENT))
_OF_TYPE = {
    "null": NULL,
    "boolean": BOOLEAN,
    "integer": NUMBER,
    "number": NUMBER,
    "string": STRING,
    "array": LIST,
    "object": MAPPING,
}

#: A value of each kind of which all are much alike.
SAMPLES = {BOOLEAN: True, NUMBER: 1, STRING: "text"}

#: What to do about a name that does not exist.
REMEDY = "correct it, or declare it (a key of a state with null, a kind of events in `events`)"
_Strings: TypeAlias = frozenset[str]


@frozen
class Shape:
    """What a value can be; `kinds` are those of the value itself.

    strings
        what it can be if it is a string; None: any
    keys
        the shapes under the keys that are known, if it is a mapping
    others
        the shape under any other key; None: there are no others
    items
        the shape of what is in it, if it is a list or a set
    events
        the kinds that it can have if it is an event; None: any
    loose
        whether there may be `strings` or `keys` that are not known, so that only what looks like one of the
        known ones is certain to be a mistake
    near
        how alike such a string is to a known one, from 0 to 1
    """

    kinds: _Strings = _ALL
    strings: _Strings | None = None
    keys: Mapping[str, Shape] = {}
    others: Shape | None = None
    items: Shape | None = None
    events: _Strings | None = None
    loose: bool = False
    near: float = TYPO

    def __or__(self, other: Shape) -> Shape:
        """The shape of a value that has one of the two."""
        if self is other or self.kinds == _ALL:
            return self
        if other.kinds == _ALL:
            return ANY
        one, two = self.keys, other.keys
        return Shape(
            self.kinds | other.kinds,
            self._union("strings", STRING, other),
            {**one, **{key: one[key] | part if key in one else part for key, part in two.items()}},
            _either(self.others, other.others),
            _either(self.items, other.items),
            self._union("events", EVENT, other),
            self.loose or other.loose,
            min(self.near, other.near),
        )

    def _union(self, what: str, kind: str, other: Shape) -> _Strings | None:
        parts = [getattr(one, what) for one in (self, other) if kind in one.kinds]
        return None if None in parts else frozenset().union(*parts)

    @property
    def item(self) -> Shape:
        """The shape of an element, if it has any: of a mapping, a key."""
        if self.kinds == _ALL:
            return ANY
        found = []
        if {LIST, SET} & self.kinds:
            found.append(self.items or ANY)
        if MAPPING in self.kinds:
            closed = self.others is None
            found.append(Shape(_S, frozenset(self.keys) if closed else None, loose=self.loose))
        if STRING in self.kinds:
            found.append(TEXT)
        return join(found)

    def wide(self) -> Shape:
        """The same without `strings`: for what may be assigned another one."""
        return evolve(
            self,
            strings=None,
            keys={key: part.wide() for key, part in self.keys.items()},
            others=self.others and self.others.wide(),
            items=self.items and self.items.wide(),
        )

    def loosened(self) -> Shape:
        """The same, where mappings may have keys that are not known."""
        keys = {key: part.loosened() for key, part in self.keys.items()}
        return evolve(self, keys=keys, loose=MAPPING in self.kinds)

    def find(self, key: str, named_as: str = "") -> Shape:
        """The shape under a key of a mapping. Raises `Misfit` if it is certain that there is none."""
        if MAPPING not in self.kinds:
            raise Misfit(f"is {self.words}, so it has no {named(key)}")
        if self.kinds == _ALL:
            return ANY
        if key in self.keys:
            return self.keys[key]
        if self.others is None and not (self.loose and not closest(key, self.keys, TYPO)):
            what = f"has no key {named(key)}{alternatives(key, self.keys, 'it has')}; {REMEDY}"
            raise Misfit(f"{named_as} {what}".lstrip())
        return self.others or ANY

    def at(self, key: Shape) -> Shape:
        """The shape under a key of which only the shape is known."""
        if key.strings and not key.loose:
            found, wrong = [], []
            for name in sorted(key.strings):
                try:
                    found.append(self.find(name))
                except Misfit as misfit:
                    wrong.append((name, misfit))
            # A condition may rule out what is not there, unless it looks like a key that is never asked for.
            for name, error in wrong:
                if not found or closest(name, self.keys.keys() - key.strings, TYPO):
                    raise error
            return join(found)
        if MAPPING not in self.kinds:
            raise Misfit(f"is {self.words}, so it cannot be read with {key.words} in brackets")
        if self.kinds == _ALL or self.loose:
            return ANY
        return join((*self.keys.values(), *([self.others] if self.others else [])))

    def check_string(self, text: str, never: str = "is never") -> None:
        """Raise `Misfit` if a string is certain to be none of those that the value can be."""
        known = self.strings
        if known is None or text in known or (self.loose and not mistyped(text, known, self.near)):
            return
        if not text.startswith("@"):  # what the kernel writes itself
            raise Misfit(f"{never} {named(text)}{alternatives(text, known, 'it can be')}; {REMEDY}")

    def find_unfit(self, value: Any, place: str) -> str:
        """What a value at `place` has that the shape has not; empty if nothing. Of a list, it tries one."""
        if self.fits_all:
            return ""
        kind = kind_of(value)
        if kind not in self.kinds:
            return f"{place} is {kind}, expected {self.words}"
        if kind == MAPPING and self.others is None:
            if different := value.keys() ^ self.keys.keys():
                return f"{place} has other keys than expected: {', '.join(sorted(different))}"
            found = (part.find_unfit(value[key], f"{place}.{key}") for key, part in self.keys.items())
            return next(filter(None, found), "")
        item = self.items or ANY
        return item.find_unfit(value[0], f"{place}[0]") if kind == LIST and value else ""

    @property
    def fits_all(self) -> bool:
        """Whether it can be anything."""
        return self.kinds == _ALL

    def fitting_types(self) -> frozenset[type]:
        """The types of values that fit whatever is in them."""
        kinds = self.kinds - {LIST, SET, EVENT} - ({MAPPING} if self.others is None else set())
        return types_of(kinds)

    @property
    def words(self) -> str:
        """Its kinds, for messages."""
        return " or ".join(sorted(self.kinds))


def _either(one: Shape | None, other: Shape | None) -> Shape | None:
    return one | other if one and other else one or other


_S = frozenset((STRING,))
ANY = Shape()
TEXT = Shape(_S)
#: What may be anything, as ANY, until it is known what it is set to.
UNSET = Shape(loose=True)
FLAG, NUMERIC, NOTHING = (Shape(frozenset((kind,))) for kind in (BOOLEAN, NUMBER, NULL))


def join(shapes: Iterable[Shape]) -> Shape:
    """The shape of a value that has one of several; of none, it can be anything."""
    result: Shape | None = None
    for shape in {id(shape): shape for shape in shapes}.values():
        result = shape if result is None else result | shape
    return ANY if result is None else result


def one_of(strings: Iterable[str], loose: bool = False, near: float = TYPO) -> Shape:
    return Shape(_S, frozenset(strings), loose=loose, near=near)


def list_of(shape: Shape) -> Shape:
    return Shape(frozenset((LIST,)), items=shape)


def mapping(keys: Mapping[str, Shape], others: Shape | None = None, loose: bool = False) -> Shape:
    return Shape(frozenset((MAPPING,)), keys=keys, others=others, loose=loose)


def shape_of(value: Any) -> Shape:
    """The shape of plain data of which strings may change; a `Shape` in it stands for itself.

    Null may become anything, and an empty mapping or list may get anything.
    """
    if isinstance(value, Shape):
        return value
    if value is None:
        return ANY
    if isinstance(value, Mapping):
        return mapping({key: shape_of(part) for key, part in value.items()}, None if value else ANY)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list_of(join(map(shape_of, value)))
    return Shape(frozenset((kind_of(value),)))


def shape_of_schema(schema: Any) -> Shape:
    """The shape of a value that fits a JSON Schema.

    A schema that lists properties allows others only if it says so with `additionalProperties`.
    """
    if not isinstance(schema, dict) or schema.keys() & {"$ref", "allOf", "if", "not", "dependentSchemas"}:
        return ANY
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return ANY if "properties" in schema else join(map(shape_of_schema, schema[several]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return join(
            one_of([value]) if isinstance(value, str) else NOTHING if value is None else shape_of(value)
            for value in values
        )
    types = schema.get("type", "object" if "properties" in schema else list(_OF_TYPE))
    kinds = frozenset(_OF_TYPE[one] for one in ([types] if isinstance(types, str) else types))
    keys = {key: shape_of_schema(part) for key, part in schema.get("properties", {}).items()}
    more = schema.get("additionalProperties", not keys)
    others = ANY if schema.get("patternProperties") else shape_of_schema(more) if more is not False else None
    items = None if "prefixItems" in schema else shape_of_schema(schema.get("items"))
    if MAPPING not in kinds:
        keys, others = {}, None
    return Shape(kinds, keys=keys, others=others, items=items) if "type" in schema or keys else ANY
