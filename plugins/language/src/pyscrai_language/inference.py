"""What an expression comes to on values of which only the shapes are known, and what is certain to be wrong.

It goes through all parts of an expression, also through those that a condition may leave out, and finds the
keys and strings that cannot exist, and the operations that no value of these shapes can take.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from .evaluator import EVENT_FIELDS, WORDS
from .expressions import Expression
from .misfit import Misfit
from .shapes import (
    ANY,
    BOOLEAN,
    EVENT,
    FLAG,
    LIST,
    MAPPING,
    NULL,
    NUMBER,
    NUMERIC,
    SET,
    STRING,
    TEXT,
    Shape,
    join,
    list_of,
    mapping,
    one_of,
    shape_of,
)
from .values import alternatives, named, quote_part

#: Of how many values that are written out in a loop each is looked at by itself.
MOST_ROUNDS = 50

_NUMBERS = frozenset((NUMBER, BOOLEAN))
_MANY = frozenset((LIST, SET, MAPPING, STRING))
#: The kinds of values that can be compared with each other: by their order, and whether they are equal.
_ORDERED = (_NUMBERS, *(frozenset((kind,)) for kind in (STRING, LIST, SET)))
_EQUAL = (*_ORDERED, frozenset((MAPPING,)), frozenset((EVENT,)), frozenset((NULL,)))
#: The kinds of values that each function takes; those in `_OF_NUMBERS` take lists of numbers.
_TAKES = {
    **dict.fromkeys(("round", "abs"), _NUMBERS),
    **dict.fromkeys(("len", "sum", "mean", "median", "sorted", "any", "all"), _MANY),
}
_OF_NUMBERS = ("sum", "mean", "median")


@frozen
class Events:
    """What events can be: the shapes of their `payloads` by kind, and those of three of their fields."""

    payloads: Mapping[str, Shape]
    kind: Shape
    source: Shape
    audience: Shape


def infer(expression: Expression, shapes: Mapping[str, Shape], events: Events) -> tuple[Shape, list[str]]:
    """The shape of an expression's value, and what is wrong with it.

    `shapes` are those of the names that it uses; one without a shape can be anything.
    """
    inference = Inference(expression.text, dict(shapes), events)
    shape = inference.eval(expression.tree.body)
    return shape, list(dict.fromkeys(inference.found))


def literals(node: ast.expr) -> Iterator[Any]:
    """The numbers, strings and booleans that are written out and that a condition chooses as the value."""
    match node:
        case ast.Constant(value=value) if value is not None:
            yield value
        case ast.Name(id=name) if WORDS.get(name) is not None:
            yield WORDS[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            yield -number
        case ast.IfExp(body=first, orelse=second):
            yield from (*literals(first), *literals(second))
        case ast.BoolOp(values=[*_, last]):
            yield from literals(last)


class Inference:
    """Infers the shapes of the parts of an expression, and collects in `found` what is wrong with them."""

    def __init__(self, source: str, names: dict[str, Shape], events: Events) -> None:
        self.source = source
        self.names = names
        self.events = events
        self.found: list[str] = []

    def eval(self, node: Any) -> Shape:
        evaluate = getattr(self, f"eval_{type(node).__name__.lower()}")
        try:
            shape: Shape = evaluate(node)
        except Misfit as error:
            # The message begins with what is said about the part at which it was found.
            self.found.append(str(error))
            return ANY
        return shape

    def where(self, node: ast.AST) -> str:
        return quote_part(self.source, node)

    def misfit(self, node: ast.AST, what: object) -> Misfit:
        return Misfit(f"{self.where(node)} {what}")

    def expect(self, node: ast.expr, shape: Shape, kinds: frozenset[str], what: str) -> None:
        if not shape.kinds & kinds:
            raise self.misfit(node, f"is {shape.words}, where {what} was expected")

    # -- names, keys and items --

    def eval_constant(self, node: ast.Constant) -> Shape:
        if isinstance(node.value, str):
            return one_of([node.value])
        return Shape(frozenset((NULL,))) if node.value is None else shape_of(node.value)

    def eval_name(self, node: ast.Name) -> Shape:
        if node.id in WORDS:
            return self.eval_constant(ast.Constant(WORDS[node.id]))
        return self.names.get(node.id, ANY)

    def eval_attribute(self, node: ast.Attribute) -> Shape:
        return self.look_up(self.eval(node.value), one_of([node.attr]), node.value)

    def look_up(self, shape: Shape, key: Shape, node: ast.expr) -> Shape:
        try:
            if EVENT in shape.kinds and shape.kinds != ANY.kinds:
                return join(self.field(shape, name) for name in key.strings or EVENT_FIELDS)
            return shape.at(key)
        except Misfit as error:
            raise self.misfit(node, error) from None

    def field(self, event: Shape, name: str) -> Shape:
        if name not in EVENT_FIELDS:
            raise Misfit(f"has no field {named(name)}{alternatives(name, EVENT_FIELDS, 'an event has')}")
        if name == "payload":
            kinds = self.events.payloads if event.events is None else event.events
            return join(self.events.payloads.get(kind, ANY) for kind in sorted(kinds))
        if name == "kind":
            return self.events.kind if event.events is None else one_of(event.events)
        if name in ("source", "audience"):
            shape: Shape = getattr(self.events, name)
            return shape
        return NUMERIC if name in ("seq", "step") else ANY

    def eval_subscript(self, node: ast.Subscript) -> Shape:
        shape = self.eval(node.value)
        if isinstance(node.slice, ast.Slice):
            self.expect(node.value, shape, frozenset((LIST, STRING)), "a list")
            return list_of(shape.item) if LIST in shape.kinds else TEXT
        key = self.eval(node.slice)
        if shape.kinds & {LIST, STRING} or shape.kinds == ANY.kinds:
            if not shape.kinds & {MAPPING, EVENT}:
                self.expect(node.slice, key, _NUMBERS, "a whole number")
                return shape.item
            return ANY
        return self.look_up(shape, key, node.value)

    # -- operators --

    def eval_boolop(self, node: ast.BoolOp) -> Shape:
        before, shapes = self.names, []
        for part in node.values:
            shapes.append(self.eval(part))
            if isinstance(node.op, ast.And):
                self.names = self.narrowed(part)
        self.names = before
        return join(shapes)

    def eval_ifexp(self, node: ast.IfExp) -> Shape:
        self.eval(node.test)
        before, self.names = self.names, self.narrowed(node.test)
        body = self.eval(node.body)
        self.names = before
        return body | self.eval(node.orelse)

    def narrowed(self, test: ast.expr) -> dict[str, Shape]:
        """The names where a condition holds: of an event, the kinds that it asks for."""
        names = self.names
        for part in test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]:
            match part:
                case ast.Compare(
                    left=ast.Attribute(value=ast.Name(id=name), attr="kind"),
                    ops=[ast.Eq() | ast.In() as operation],
                    comparators=[right],
                ) if EVENT in (event := names.get(name, ANY)).kinds:
                    shape = self.eval(right)
                    asked = (shape.item if isinstance(operation, ast.In) else shape).strings
                    if asked is not None and event != ANY:
                        kinds = asked if event.events is None else event.events & asked
                        names = {**names, name: Shape(frozenset((EVENT,)), events=kinds or asked)}
        return names

    def eval_unaryop(self, node: ast.UnaryOp) -> Shape:
        shape = self.eval(node.operand)
        if isinstance(node.op, ast.Not):
            return FLAG
        self.expect(node.operand, shape, _NUMBERS, "a number")
        return NUMERIC

    def eval_binop(self, node: ast.BinOp) -> Shape:
        left, right = self.eval(node.left), self.eval(node.right)
        if isinstance(node.op, ast.Div | ast.FloorDiv | ast.Mod) and 0 in literals(node.right):
            raise self.misfit(node, "divides by zero")
        possible: list[Shape] = []
        if left.kinds & _NUMBERS and right.kinds & _NUMBERS:
            possible.append(NUMERIC)
        if isinstance(node.op, ast.Add):
            if STRING in left.kinds & right.kinds:
                possible.append(TEXT)
            if LIST in left.kinds & right.kinds:
                possible.append(list_of(left.item | right.item))
        elif isinstance(node.op, ast.Mult):
            for many, number in ((left, right), (right, left)):
                if NUMBER in number.kinds and many.kinds & {LIST, STRING}:
                    possible.append(list_of(many.item) if LIST in many.kinds else TEXT)
        elif isinstance(node.op, ast.Sub) and SET in left.kinds & right.kinds:
            possible.append(left)
        if not possible:
            raise self.misfit(node, f"combines {left.words} with {right.words}, which do not fit together")
        return join(possible) if ANY.kinds not in (left.kinds, right.kinds) else ANY

    def eval_compare(self, node: ast.Compare) -> Shape:
        left, left_node = self.eval(node.left), node.left
        for operation, part in zip(node.ops, node.comparators, strict=True):
            right = self.eval(part)
            if isinstance(operation, ast.In | ast.NotIn):
                self.check_membership(left, right, left_node, part)
            elif isinstance(operation, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
                self.check_equal(left, right, node)
                self.check_strings(left, right, left_node)
                self.check_strings(right, left, part)
            else:
                if not _share(left, right, _ORDERED):
                    what = f"compares {left.words} with {right.words}, which have no order"
                    raise self.misfit(node, what)
            left, left_node = right, part
        return FLAG

    def check_equal(self, left: Shape, right: Shape, node: ast.expr) -> None:
        """Note a comparison of values whose kinds are never equal. Anything may be compared with null."""
        known = left.kinds and right.kinds and {NULL} not in (left.kinds, right.kinds)
        if known and not _share(left, right, _EQUAL):
            what = f"compares {left.words} with {right.words}, which are never equal"
            self.found.append(str(self.misfit(node, what)))

    def check_strings(self, shape: Shape, other: Shape, node: ast.expr, never: str = "is never") -> None:
        """Note a comparison of the value of `node` with strings that it can never be."""
        if other.kinds != TEXT.kinds or not other.strings or isinstance(node, ast.Constant):
            return
        if STRING in shape.kinds and shape.strings is not None and not shape.strings & other.strings:
            try:
                shape.check_string(min(other.strings), never)
            except Misfit as error:
                self.found.append(str(self.misfit(node, error)))

    def check_membership(self, left: Shape, right: Shape, node: ast.expr, container: ast.expr) -> None:
        self.expect(container, right, _MANY | {EVENT}, "a list")
        if isinstance(container, ast.List | ast.Tuple | ast.Set):
            self.check_equal(left, right.item, node)
            for part in container.elts:
                self.check_strings(left, self.eval(part), node)
        elif right.kinds <= {MAPPING} and left.kinds == TEXT.kinds and left.strings:
            self.look_up(right, left, container)
        elif right.kinds <= {LIST, SET}:
            self.check_strings(right.item, left, container, "never holds")

    # -- literals and comprehensions --

    def eval_starred(self, node: ast.Starred) -> Shape:
        return self.eval(node.value).item

    def eval_list(self, node: ast.List | ast.Tuple) -> Shape:
        return list_of(join(map(self.eval, node.elts)))

    eval_tuple = eval_list

    def eval_set(self, node: ast.Set) -> Shape:
        return Shape(frozenset((SET,)), items=join(map(self.eval, node.elts)))

    def eval_dict(self, node: ast.Dict) -> Shape:
        result = mapping({}, None if node.keys else ANY)
        for key, value in zip(node.keys, node.values, strict=True):
            shape = self.eval(value)
            result |= shape if key is None else _entry(self.eval(key), shape)
        return result

    def eval_joinedstr(self, node: ast.JoinedStr) -> Shape:
        for part in node.values:
            self.eval(part.value if isinstance(part, ast.FormattedValue) else part)
        return TEXT

    def eval_comprehension(self, node: Any) -> Shape:
        before = self.names
        entries = list(self.rounds(node, node.generators))
        self.names = before
        if isinstance(node, ast.DictComp):
            return join(entries)
        return Shape(frozenset((SET if isinstance(node, ast.SetComp) else LIST,)), items=join(entries))

    def rounds(self, node: Any, loops: Sequence[ast.comprehension]) -> Iterator[Shape]:
        """What a comprehension makes, once for each value that is written out."""
        if not loops:
            made = self.eval(node.value if isinstance(node, ast.DictComp) else node.elt)
            yield _entry(self.eval(node.key), made) if isinstance(node, ast.DictComp) else made
            return
        (loop, *inner), before = loops, self.names
        shape = self.eval(loop.iter)
        self.expect(loop.iter, shape, _MANY, "a list")
        written = loop.iter.elts if isinstance(loop.iter, ast.List | ast.Tuple | ast.Set) else ()
        several = 0 < len(written) <= MOST_ROUNDS and not inner
        for item in map(self.eval, written) if several else (shape.item,):
            self.names = {**before, **_targets(loop.target, item)}
            for condition in loop.ifs:
                self.eval(condition)
                self.names = self.narrowed(condition)
            passed = self.names
            for apart in () if inner else _keys_apart(shape, node, loop):
                self.names = {**passed, **_targets(loop.target, apart)}
                yield from self.rounds(node, inner)
            self.names = passed
            yield from self.rounds(node, inner)

    eval_listcomp = eval_setcomp = eval_dictcomp = eval_generatorexp = eval_comprehension

    # -- functions --

    def eval_call(self, node: ast.Call) -> Shape:
        name = node.func.id  # type: ignore[attr-defined]
        shapes = [self.eval(argument) for argument in node.args]
        default = [self.eval(each.value) for each in node.keywords if each.arg == "default"]
        takes = _TAKES.get(name, _MANY if len(shapes) == 1 else None)
        if takes is not None:
            what = "a number" if takes is _NUMBERS else "a list"
            self.expect(node.args[0], shapes[0], takes, what)
        if name in _OF_NUMBERS and not shapes[0].item.kinds & _NUMBERS:
            raise self.misfit(node, f"needs numbers, and gets {shapes[0].item.words}")
        if name in ("min", "max"):
            return join((*(shapes if len(shapes) > 1 else [shapes[0].item]), *default))
        if name == "sorted":
            return list_of(shapes[0].item)
        return FLAG if name in ("any", "all") else NUMERIC


def _share(one: Shape, two: Shape, groups: Iterable[frozenset[str]]) -> bool:
    """Whether two values can be of the same group of kinds."""
    return any(one.kinds & kinds and two.kinds & kinds for kinds in groups)


def _entry(key: Shape, value: Shape) -> Shape:
    """A mapping with one kind of entry."""
    if key.kinds == TEXT.kinds and key.strings is not None and not key.loose:
        return mapping(dict.fromkeys(sorted(key.strings), value))
    return mapping({}, value)


def _keys_apart(shape: Shape, node: Any, loop: ast.comprehension) -> list[Shape]:
    """The keys of a mapping that a loop goes through, apart by what is under them.

    Empty if a condition, or one in what the loop makes, may leave out some that are not known here.
    """
    closed = shape.kinds == {MAPPING} and shape.others is None and not shape.loose
    made = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
    choices = (ast.IfExp, ast.BoolOp, ast.comprehension)
    if not closed or any(isinstance(part, choices) for one in made for part in ast.walk(one)):
        return []
    groups: dict[int, list[str]] = {}
    for key, part in shape.keys.items():
        passed = [_passes(condition, loop.target, key) for condition in loop.ifs]
        if None in passed:
            return []
        if all(passed):
            groups.setdefault(id(part), []).append(key)
    return [one_of(keys) for keys in groups.values()]


def _passes(condition: ast.expr, target: ast.expr, key: str) -> bool | None:
    """Whether a condition on a key holds, such as `n != 'Judge'`; None: it is not known."""
    match condition:
        case ast.Compare(left=ast.Name(id=name), ops=[operation], comparators=[right]) if (
            isinstance(target, ast.Name) and name == target.id
        ):
            listed = right.elts if isinstance(right, ast.List | ast.Tuple | ast.Set) else [right]
            known = [one.value for one in listed if isinstance(one, ast.Constant)]
            if len(known) == len(listed) and isinstance(operation, ast.Eq | ast.In):
                return key in known
            if len(known) == len(listed) and isinstance(operation, ast.NotEq | ast.NotIn):
                return key not in known
    return None


def _targets(target: Any, shape: Shape) -> dict[str, Shape]:
    """The variables of a loop, which take `shape` apart."""
    if isinstance(target, ast.Name):
        return {target.id: shape}
    parts: dict[str, Shape] = {}
    for part in target.elts:
        parts |= _targets(part, shape.item if LIST in shape.kinds and shape.kinds != ANY.kinds else ANY)
    return parts
