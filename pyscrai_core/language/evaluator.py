"""The evaluator behind `expressions`: simpleeval's, over plain data, with all work counted.

It evaluates what `expressions` has checked: only kinds of nodes that it knows, names that are given,
functions that are listed, and keys without a leading underscore.
"""

from __future__ import annotations

import ast
import math
import operator
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AnySet
from itertools import islice
from typing import Any, NoReturn

from simpleeval import DEFAULT_OPERATORS, MAX_STRING_LENGTH, EvalWithCompoundTypes, InvalidExpression

from ..records import Event
from ..suggest import did_you_mean

#: What an expression may call.
FUNCTIONS = ("len", "sum", "min", "max", "mean", "median", "sorted", "any", "all", "round", "abs")

#: The units of work that one evaluation may take; a step of it, or an element that it handles, is one.
MAX_WORK = 5_000_000
#: The iterations of all comprehensions in one evaluation.
MAX_ITERATIONS = 1_000_000
#: The largest integer that is computed with, in bits.
MAX_BITS = 4096

_EVENT_FIELDS = ("seq", "step", "kind", "source", "audience", "payload", "cause")
WORDS = {"true": True, "false": False, "null": None}
SCALARS = frozenset({type(None), bool, int, float, str})
NUMBERS = frozenset({bool, int, float})

TOO_LARGE = "a number becomes too large"

#: On numbers these need none of simpleeval's bounds on lengths: integers are bounded by their bits.
_ARITHMETIC = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Pow: operator.pow}
_OPERANDS: dict[type[ast.operator], str] = {
    ast.Add: "two numbers, two strings or two lists",
    ast.Sub: "two numbers or two sets",
    ast.Mult: "two numbers, or a string or list and a whole number",
}


def short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def alternatives(name: str, known: Iterable[str], there: str) -> str:
    """What is like the wrong `name`, and after `there`, such as "it has", what is known."""
    names = [str(each)[:60] for each in islice(known, 1000)]
    listed = ", ".join(sorted(names)[:20]) + (", …" if len(names) > 20 else "")
    return f"{did_you_mean(name, names)}; {there} {short(listed, 300) or 'nothing'}"


class OrderedSet(AnySet[Any]):
    """A set that is read in the order in which it was filled, so that no hash seed ever shows."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[Any] = ()) -> None:
        self._parts = dict.fromkeys(parts)

    def __contains__(self, part: object) -> bool:
        return part in self._parts

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, self._parts))}}}"


def _kind(value: Any) -> str:
    """What a value is, in a scenario author's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    if isinstance(value, AnySet):
        return "a set"
    return "an event" if isinstance(value, Event) else "something else"


def checked(number: Any) -> Any:
    """`number`, if it is one that can be computed with further."""
    if type(number) is int:
        if number.bit_length() > MAX_BITS:
            raise InvalidExpression(TOO_LARGE)
    elif type(number) is complex:
        raise InvalidExpression("a root of a negative number is not a number")
    elif type(number) is float and not math.isfinite(number):
        raise InvalidExpression(TOO_LARGE)
    return number


def _check_power(base: int, exponent: int) -> None:
    """An estimate that is at most twice too large, before anything large is computed."""
    if abs(base) > 1 and exponent * base.bit_length() > 2 * MAX_BITS:
        raise InvalidExpression(TOO_LARGE)


class Evaluator(EvalWithCompoundTypes):  # type: ignore[misc]
    """simpleeval's evaluator over plain data.

    What is replaced is all that touches values: attributes are keys, nothing but our functions can be
    called, and work is paid for. simpleeval's own look at each value for modules and forbidden functions,
    which would walk through the whole log at each step, is not needed: no road leads to any.
    """

    def __init__(self) -> None:
        super().__init__(operators={**DEFAULT_OPERATORS, **_ARITHMETIC}, functions={}, names={})
        self.functions = {name: getattr(self, f"_call_{name}") for name in FUNCTIONS}
        self.nodes[ast.SetComp] = self._eval_comprehension
        self.nodes[ast.GeneratorExp] = self._eval_comprehension
        self.root: ast.AST | None = None  # messages quote the whole expression anyway
        self.work = 0

    def run(self, node: ast.expr, names: dict[str, Any]) -> Any:
        """The value of a checked expression."""
        self.root = node
        self.names = names
        self.work = MAX_WORK
        self._max_count = 0
        try:
            value = self._eval(node)
            return value if type(value) in SCALARS else self._plain(value, sets=False)
        finally:
            self.names = {}  # a log must not live on because it was once looked at

    def _eval(self, node: ast.AST) -> Any:
        self.work -= 1
        if self.work < 0:
            self._too_much()
        return self.nodes[type(node)](node)

    # -- paying ---------------------------------------------------------------------------------

    def _spend(self, units: int) -> None:
        self.work -= units
        if self.work < 0:
            self._too_much()

    def _too_much(self) -> NoReturn:
        raise InvalidExpression("it needs too much work; loop over less, or compare smaller values")

    def _plain(self, value: Any, sets: bool = True) -> Any:
        """`value` with every sequence as a list and every mapping as a dictionary, paid for by the part.

        The price of a part that stands in many places is paid at each, as it is when values are compared.
        Without `sets`, they become lists too.
        """
        self._spend(1)
        if type(value) is str:
            self._spend(len(value) >> 8)
        elif type(value) in SCALARS:
            pass
        elif isinstance(value, Mapping):
            return {key: self._plain(part, sets) for key, part in value.items()}
        elif isinstance(value, Sequence):
            return [self._plain(part, sets) for part in value]
        elif isinstance(value, Event):
            self._plain(value.payload)
        elif isinstance(value, AnySet):
            self._spend(len(value))
            return value if sets else list(value)
        return value

    def _key(self, value: Any) -> Any:
        """`value`, if it can be a key of a mapping or an element of a set."""
        if type(value) is str:
            self._spend(len(value) >> 8)
        elif type(value) is int:
            if value.bit_length() > 60:  # larger ones could be chosen so that their hashes collide
                raise InvalidExpression("a number is too large to be a key")
        elif type(value) is tuple:
            self._spend(len(value))
            for part in value:
                self._key(part)
        elif type(value) not in SCALARS:
            raise InvalidExpression(f"{_kind(value)} cannot be a key or an element of a set")
        return value

    def _parts(self, value: Any, node: ast.AST) -> Any:
        """What can be iterated over, or an error that says where it is not."""
        if isinstance(value, list | tuple | str | Mapping | Sequence | AnySet):
            return value
        raise InvalidExpression(f"{self._where(node)} is {_kind(value)}, where a list was expected")

    def _where(self, node: ast.AST) -> str:
        return "it" if node is self.root else f"'{short(ast.unparse(node))}'"

    # -- names, keys and items ------------------------------------------------------------------

    def _eval_name(self, node: ast.Name) -> Any:
        return self.names[node.id]

    def _eval_constant(self, node: ast.Constant) -> Any:
        return node.value

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        return self._look_up(self._eval(node.value), node.attr, node.value)

    def _look_up(self, value: Any, key: Any, node: ast.AST) -> Any:
        if type(value) is Event:
            if key in _EVENT_FIELDS:
                return getattr(value, key)
            has = alternatives(str(key), _EVENT_FIELDS, "an event has")
            raise InvalidExpression(f"{self._where(node)} has no field {short(repr(key))}{has}")
        if isinstance(value, Mapping):
            try:
                return value[key]
            except KeyError:
                has = alternatives(str(key), value, "it has")
                raise InvalidExpression(f"{self._where(node)} has no key {short(repr(key))}{has}") from None
        raise InvalidExpression(f"{self._where(node)} is {_kind(value)}, so it has no {short(repr(key))}")

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        value = self._eval(node.value)
        index = self._eval(node.slice)
        if type(value) is Event or isinstance(value, Mapping):
            if isinstance(index, slice):
                raise InvalidExpression(f"{self._where(node.value)} is {_kind(value)}; only lists are sliced")
            return self._look_up(value, self._key(index), node.value)
        if not isinstance(value, Sequence):
            raise InvalidExpression(f"{self._where(node.value)} is {_kind(value)}, so it has no items")
        if isinstance(index, slice):
            part = value[index]
            self._spend(len(part) >> 4 if isinstance(part, str) else len(part))
            return part
        if type(index) is not int:
            what = f"{self._where(node.value)} is {_kind(value)}, whose items are counted from 0"
            raise InvalidExpression(f"{what}; {short(repr(index))} is not a whole number")
        try:
            return value[index]
        except IndexError:
            what = f"{self._where(node.value)} has no item {short(str(index), 20)}"
            raise InvalidExpression(f"{what}; it has {len(value)}, counted from 0") from None

    # -- operators ------------------------------------------------------------------------------

    def _eval_unaryop(self, node: ast.UnaryOp) -> Any:
        value = self._eval(node.operand)
        if type(node.op) is ast.Not:
            return not value
        if type(value) not in NUMBERS:
            raise InvalidExpression(f"{self._where(node.operand)} is {_kind(value)}; a number was expected")
        return -value if type(node.op) is ast.USub else +value

    def _eval_binop(self, node: ast.BinOp) -> Any:
        left, right = self._eval(node.left), self._eval(node.right)
        kind = type(node.op)
        if type(left) in NUMBERS and type(right) in NUMBERS:
            if kind is ast.Pow and type(left) is not float and type(right) is not float:
                _check_power(int(left), int(right))
            return checked(self.operators[kind](left, right))
        if kind is ast.Add:
            if type(left) is str and type(right) is str:
                return self._sized(operator.add, left, right, len(left) + len(right))
            if self._are_lists(left, right):
                if not (isinstance(left, tuple) and isinstance(right, tuple)):
                    left, right = list(left), list(right)
                return self._sized(operator.add, left, right, len(left) + len(right))
        if kind is ast.Mult:
            if type(right) is not int:
                left, right = right, left
            if type(right) is int and isinstance(left, str | list | tuple):
                return self._sized(operator.mul, left, right, len(left) * max(right, 0))
        if kind is ast.Sub and isinstance(left, AnySet) and isinstance(right, AnySet):
            self._spend(len(left))
            return left - right
        what = f"{self._where(node)} combines {_kind(left)} with {_kind(right)}"
        raise InvalidExpression(f"{what}; it takes {_OPERANDS.get(kind, 'numbers')}")

    def _sized(self, operation: Any, left: Any, right: Any, size: int) -> Any:
        if size > MAX_STRING_LENGTH:
            raise InvalidExpression(f"a string or a list becomes too long (more than {MAX_STRING_LENGTH:,})")
        self._spend(size >> 4 if isinstance(left, str) else size)
        return operation(left, right)

    def _are_lists(self, *values: Any) -> bool:
        return all(isinstance(value, Sequence) and not isinstance(value, str) for value in values)

    def _eval_compare(self, node: ast.Compare) -> bool:
        left = self._eval(node.left)
        for operation, part in zip(node.ops, node.comparators, strict=True):
            right = self._eval(part)
            if not self._compare(type(operation), left, right, node):
                return False
            left = right
        return True

    def _compare(self, kind: type[ast.cmpop], left: Any, right: Any, node: ast.Compare) -> bool:
        if kind is ast.In or kind is ast.NotIn:
            return self._holds(right, left, node) is (kind is ast.In)
        if type(left) is str and type(right) is str:
            self._spend(min(len(left), len(right)) >> 8)
        elif type(left) not in SCALARS and type(right) not in SCALARS:
            if kind in (ast.Eq, ast.NotEq) and self._are_lists(left, right) and len(left) != len(right):
                return kind is ast.NotEq  # which spares a copy of the log for `events == []`
            left, right = self._plain(left), self._plain(right)
        try:
            return bool(self.operators[kind](left, right))
        except TypeError:
            what = f"{self._where(node)} compares {_kind(left)} with {_kind(right)}"
            remedy = "test for null first" if left is None or right is None else "compare values of one kind"
            raise InvalidExpression(f"{what}; {remedy}") from None

    def _holds(self, container: Any, value: Any, node: ast.Compare) -> bool:
        if isinstance(container, str):
            if type(value) is not str:
                raise InvalidExpression(f"{self._where(node)} looks for {_kind(value)} in a string")
            self._spend(len(container) >> 8)
        elif isinstance(container, Mapping | AnySet):
            self._key(value)
        elif isinstance(container, Sequence):
            if type(value) in SCALARS:
                self._spend(len(container) * (1 + (len(value) >> 8) if type(value) is str else 1))
            else:
                value, container = self._plain(value), self._plain(container)
        elif type(container) is Event:
            return value in _EVENT_FIELDS
        else:
            raise InvalidExpression(f"{self._where(node)} looks into {_kind(container)}; a list was expected")
        return value in container

    # -- literals and comprehensions ------------------------------------------------------------

    def _elements(self, parts: list[ast.expr]) -> Iterator[Any]:
        for part in parts:
            if isinstance(part, ast.Starred):
                values = self._parts(self._eval(part.value), part.value)
                self._spend(len(values))
                yield from values
            else:
                yield self._eval(part)

    def _eval_list(self, node: ast.List) -> list[Any]:
        return list(self._elements(node.elts))

    def _eval_tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self._elements(node.elts))

    def _eval_set(self, node: ast.Set) -> OrderedSet:
        return OrderedSet(map(self._key, self._elements(node.elts)))

    def _eval_dict(self, node: ast.Dict) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:  # {**mapping}
                mapping = self._eval(value)
                if not isinstance(mapping, Mapping):
                    raise InvalidExpression(f"{self._where(value)} is {_kind(mapping)}, not a mapping")
                self._spend(len(mapping))
                result.update(mapping)
            else:
                result[self._key(self._eval(key))] = self._eval(value)
        return result

    def _eval_joinedstr(self, node: ast.JoinedStr) -> str:
        texts = []
        for part in node.values:
            value = self._eval(part.value if isinstance(part, ast.FormattedValue) else part)
            if type(value) not in SCALARS:
                raise InvalidExpression(f"{self._where(node)} holds {_kind(value)}; give strings and numbers")
            texts.append(str(value))
        return str(self._sized(lambda texts, _: "".join(texts), texts, None, sum(map(len, texts))))

    def _eval_comprehension(self, node: Any) -> Any:
        outer = self.names
        try:
            if isinstance(node, ast.DictComp):
                return {self._key(self._eval(node.key)): self._eval(node.value) for _ in self._rounds(node)}
            values = self._values(node)
            return OrderedSet(map(self._key, values)) if isinstance(node, ast.SetComp) else list(values)
        finally:
            self.names = outer

    def _values(self, node: Any) -> Iterator[Any]:
        for _ in self._rounds(node):
            yield self._eval(node.elt)

    def _rounds(self, node: Any) -> Iterator[None]:
        """Goes through the loops of a comprehension; at each yield its variables are set.

        They live in a copy of the names, which whoever called for the rounds puts back in the end.
        """
        first = node.generators[0]
        values = self._parts(self._eval(first.iter), first.iter)
        self.names = dict(self.names)
        yield from self._loop(node.generators, 0, values)

    def _loop(self, loops: list[ast.comprehension], index: int, values: Any) -> Iterator[None]:
        loop = loops[index]
        for value in values:
            self._max_count += 1
            if self._max_count > MAX_ITERATIONS:
                raise InvalidExpression(f"it loops more than {MAX_ITERATIONS:,} times; loop over less")
            self._bind(loop.target, value)
            for condition in loop.ifs:
                if not self._eval(condition):
                    break
            else:
                if index + 1 == len(loops):
                    yield
                else:
                    inner = loops[index + 1].iter
                    yield from self._loop(loops, index + 1, self._parts(self._eval(inner), inner))

    def _bind(self, target: Any, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
            return
        names = target.elts
        if not isinstance(value, Sequence) or len(value) != len(names):
            raise InvalidExpression(f"{_kind(value)} cannot be taken apart into {self._where(target)}")
        for part, each in zip(names, value, strict=True):
            self._bind(part, each)

    # -- functions ------------------------------------------------------------------------------

    def _eval_call(self, node: ast.Call) -> Any:
        name = node.func.id  # type: ignore[attr-defined]
        if name in ("any", "all") and isinstance(node.args[0], ast.GeneratorExp):
            outer = self.names
            try:
                return (any if name == "any" else all)(self._values(node.args[0]))
            finally:
                self.names = outer
        arguments = [self._eval(argument) for argument in node.args]
        options = {str(keyword.arg): self._eval(keyword.value) for keyword in node.keywords}
        try:
            return self.functions[name](*arguments, **options)
        except InvalidExpression as error:
            if node is self.root:
                raise
            raise InvalidExpression(f"{self._where(node)}: {error}") from None

    def _items(self, value: Any) -> Any:
        if not isinstance(value, Sequence | AnySet | Mapping):
            raise InvalidExpression(f"a list was expected, not {_kind(value)}")
        self._spend(len(value))
        return value

    def _numbers(self, values: Any) -> list[Any]:
        numbers = list(self._items(values))
        for number in numbers:
            if type(number) not in NUMBERS:
                raise InvalidExpression(f"numbers were expected, and one of the values is {_kind(number)}")
        return numbers

    def _some_numbers(self, values: Any) -> list[Any]:
        numbers = self._numbers(values)
        if not numbers:
            raise InvalidExpression("there are no values; test for that first")
        return numbers

    def _call_len(self, value: Any) -> int:
        if not isinstance(value, Sequence | AnySet | Mapping):
            raise InvalidExpression(f"{_kind(value)} has no length")
        return len(value)

    def _call_sum(self, values: Any) -> Any:
        numbers = self._numbers(values)
        # fsum is exact: the same in every order and in every version of Python.
        return checked(math.fsum(numbers) if any(type(each) is float for each in numbers) else sum(numbers))

    def _call_mean(self, values: Any) -> float:
        return statistics.fmean(self._some_numbers(values))

    def _call_median(self, values: Any) -> Any:
        return checked(statistics.median(self._some_numbers(values)))

    def _call_min(self, *values: Any, **default: Any) -> Any:
        return self._extreme(min, values, **default)

    def _call_max(self, *values: Any, **default: Any) -> Any:
        return self._extreme(max, values, **default)

    def _extreme(self, choose: Any, values: Sequence[Any], **default: Any) -> Any:
        if len(values) == 1:
            values = self._items(values[0])
        if not values:
            if not default:
                raise InvalidExpression("there are no values; give a default, as in default=0")
            return default["default"]
        return self._ordered(choose, values)

    def _call_sorted(self, values: Any, reverse: Any = False) -> Any:
        if type(reverse) is not bool:
            raise InvalidExpression(f"reverse is true or false, not {_kind(reverse)}")
        return self._ordered(lambda parts: sorted(parts, reverse=reverse), self._items(values))

    def _ordered(self, order: Any, values: Any) -> Any:
        parts = [self._plain(value) for value in values]
        try:
            return order(parts)
        except TypeError:
            kinds = ", ".join(sorted({_kind(part) for part in parts}))
            raise InvalidExpression(f"values of these kinds have no order: {kinds}") from None

    def _call_any(self, values: Any) -> bool:
        return any(self._items(values))

    def _call_all(self, values: Any) -> bool:
        return all(self._items(values))

    def _call_round(self, number: Any, digits: Any = None) -> Any:
        self._number(number)
        if digits is not None and (type(digits) is not int or abs(digits) > 400):
            raise InvalidExpression("digits is a whole number between -400 and 400")
        return checked(round(number, digits))

    def _call_abs(self, number: Any) -> Any:
        return abs(self._number(number))

    def _number(self, value: Any) -> Any:
        if type(value) not in NUMBERS:
            raise InvalidExpression(f"a number was expected, not {_kind(value)}")
        return value
