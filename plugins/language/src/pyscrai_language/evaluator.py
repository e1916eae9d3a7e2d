"""The evaluator behind `expressions`: over plain data, with all work counted.

It evaluates what `expressions` has checked: only kinds of nodes that it knows, names that are given,
functions that are listed, and keys without a leading underscore.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AnySet
from typing import Any

from pyscrai_records.records import Event

from .functions import FUNCTIONS
from .misfit import Misfit
from .operators import OPERANDS, OPERATORS
from .values import (
    FAILURES,
    MAX_LENGTH,
    MAX_WORK,
    NUMBERS,
    SCALARS,
    UNKNOWN,
    NotKnown,
    OrderedSet,
    Work,
    alternatives,
    check_number,
    check_power,
    kind_of,
    named,
    quote_part,
    short,
    size_of,
)

#: The iterations of all comprehensions in one evaluation.
MAX_ITERATIONS = 1_000_000

WORDS = {"true": True, "false": False, "null": None}
#: The comprehensions, and what they make of their values.
COMPREHENSIONS: dict[type[ast.expr], Callable[[Iterator[Any]], Any]] = {
    ast.ListComp: list,
    ast.GeneratorExp: list,
    ast.SetComp: OrderedSet,
    ast.DictComp: dict,
}

EVENT_FIELDS = ("seq", "step", "kind", "source", "audience", "payload", "cause")
#: The nodes that can be evaluated; `Evaluator` has a method `_eval_…` for each.
NODES: tuple[type[ast.expr], ...] = (
    *(ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Call, ast.IfExp, *COMPREHENSIONS),
    *(ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.JoinedStr),
)


class Evaluator:
    """Evaluates an expression once, within the bounds of `values`; `source` is its text.

    Attributes are keys, and nothing but `FUNCTIONS` can be called.
    """

    def __init__(self, source: str, root: ast.expr, names: dict[str, Any]) -> None:
        self.source = source
        self.root = root  # messages quote the whole expression anyway
        self.names = names
        self.work = Work(MAX_WORK)
        self.iterations = 0
        self.ignored = 0  # how deep it is in parts whose failures nobody is told

    def run(self) -> Any:
        """The value of a checked expression: plain data and events. Raises `Misfit` or an error of Python."""
        value = self._eval(self.root)
        return value if type(value) in SCALARS else self.work.plain(value, sets=False)

    def _eval(self, node: ast.AST) -> Any:
        try:
            self.work.spend(1)
            return _METHODS[type(node)](self, node)
        except FAILURES as error:
            error.__dict__.setdefault("part", node)
            raise

    # -- what is true, though a part of it is not known -----------------------------------------

    def truth(self, node: ast.AST) -> bool:
        """Whether a part is true. Raises `NotKnown` if that depends on what is not known."""
        if isinstance(node, ast.BoolOp):
            return self._any(((part, True) for part in node.values), isinstance(node.op, ast.Or))
        if isinstance(node, ast.IfExp):
            try:
                return self.truth(node.body if self.truth(node.test) else node.orelse)
            except NotKnown:
                # Whichever is chosen, it is the same.
                found = {self._perhaps(part) for part in (node.body, node.orelse)}
                if len(found) == 1 and (truth := found.pop()) is not None:
                    return truth
                raise
        return bool(self._eval(node))

    def _perhaps(self, node: ast.AST) -> bool | None:
        """Whether a part is true that may never be reached; None: not known."""
        self.ignored += 1
        try:
            return self.truth(node)
        except (NotKnown, *FAILURES):
            return None
        finally:
            self.ignored -= 1

    def _any(self, parts: Iterable[tuple[ast.AST, bool]], wanted: bool) -> bool:
        """`or` (`wanted` is true) or `and` of the parts; each comes with whether it surely is one of them."""
        known = True
        for part, sure in parts:
            try:
                truth = self.truth(part) if known and sure else self._perhaps(part)
            except NotKnown:
                truth = None
            if truth is wanted and sure:
                return wanted
            known = known and truth is not None and truth is not wanted
        if not known:
            raise NotKnown
        return not wanted

    def _parts(self, value: Any, node: ast.AST) -> Any:
        """What can be iterated over, or an error that says where it is not."""
        if isinstance(value, list | tuple | str | Mapping | Sequence | AnySet):
            return value
        raise Misfit(f"{self._where(node)} is {kind_of(value)}, where a list was expected")

    def _where(self, node: ast.AST) -> str:
        return "it" if node is self.root or self.ignored else quote_part(self.source, node)

    def _has(self, key: Any, known: Iterable[str], there: str) -> str:
        return "" if self.ignored else alternatives(str(key), known, there)

    # -- names, keys and items ------------------------------------------------------------------

    def _eval_name(self, node: ast.Name) -> Any:
        value = self.names[node.id]
        if value is UNKNOWN:
            raise NotKnown
        return value

    def _eval_constant(self, node: ast.Constant) -> Any:
        return node.value

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        return self._look_up(self._eval(node.value), node.attr, node.value)

    def _look_up(self, value: Any, key: Any, node: ast.AST) -> Any:
        if type(value) is Event:
            if key in EVENT_FIELDS:
                return getattr(value, key)
            has = self._has(key, EVENT_FIELDS, "an event has")
            raise Misfit(f"{self._where(node)} has no field {named(key)}{has}")
        if isinstance(value, Mapping):
            try:
                return value[key]
            except KeyError:
                has = self._has(key, value, "it has")
                raise Misfit(f"{self._where(node)} has no key {named(key)}{has}") from None
        raise Misfit(f"{self._where(node)} is {kind_of(value)}, so it has no {named(key)}")

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        value = self._eval(node.value)
        index = self._eval(node.slice)
        if type(value) is Event or isinstance(value, Mapping):
            if isinstance(index, slice):
                raise Misfit(f"{self._where(node.value)} is {kind_of(value)}; only lists are sliced")
            return self._look_up(value, self.work.key(index), node.value)
        if not isinstance(value, Sequence):
            raise Misfit(f"{self._where(node.value)} is {kind_of(value)}, so it has no items")
        if isinstance(index, slice):
            self._check_slice(index, node)
            part = value[index]
            self.work.spend(len(part) >> 4 if isinstance(part, str) else len(part))
            return part
        if type(index) is not int:
            what = f"{self._where(node.value)} is {kind_of(value)}, whose items are counted from 0"
            raise Misfit(f"{what}; {named(index)} is not a whole number")
        try:
            return value[index]
        except IndexError:
            what = f"{self._where(node.value)} has no item {short(str(index), 20)}"
            raise Misfit(f"{what}; it has {len(value)}, counted from 0") from None

    def _check_slice(self, index: slice, node: ast.Subscript) -> None:
        for bound in (index.start, index.stop, index.step):
            if bound is not None and not isinstance(bound, int):
                raise Misfit(f"{self._where(node)} is counted with {named(bound)}; write whole numbers")
        if index.step == 0:
            raise Misfit(f"{self._where(node)} has a step of 0; write another one, or none")

    def _eval_slice(self, node: ast.Slice) -> slice:
        return slice(*(part and self._eval(part) for part in (node.lower, node.upper, node.step)))

    # -- operators ------------------------------------------------------------------------------

    def _eval_boolop(self, node: ast.BoolOp) -> Any:
        stop = type(node.op) is ast.Or
        value: Any = None
        for part in node.values:
            value = self._eval(part)
            if bool(value) is stop:
                break
        return value

    def _eval_ifexp(self, node: ast.IfExp) -> Any:
        return self._eval(node.body if self.truth(node.test) else node.orelse)

    def _eval_unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.truth(node.operand) if type(node.op) is ast.Not else self._eval(node.operand)
        if type(node.op) is not ast.Not and type(value) not in NUMBERS:
            raise Misfit(f"{self._where(node.operand)} is {kind_of(value)}; a number was expected")
        return OPERATORS[type(node.op)](value)

    def _eval_binop(self, node: ast.BinOp) -> Any:
        left, right = self._eval(node.left), self._eval(node.right)
        kind = type(node.op)
        if type(left) in NUMBERS and type(right) in NUMBERS:
            self.work.spend(size_of(left) + size_of(right) + (64 if kind is ast.Pow else 0))
            if kind is ast.Pow:
                check_power(left, right)
            return check_number(OPERATORS[kind](left, right))
        if kind is ast.Add:
            if type(left) is str and type(right) is str:
                self._pay_for(len(left) + len(right), is_text=True)
                return left + right
            if self._are_lists(left, right):
                if not (isinstance(left, tuple) and isinstance(right, tuple)):
                    left, right = list(left), list(right)
                self._pay_for(len(left) + len(right), is_text=False)
                return left + right
        if kind is ast.Mult:
            if type(right) is not int:
                left, right = right, left
            if type(right) is int and isinstance(left, str | list | tuple):
                self._pay_for(len(left) * max(right, 0), isinstance(left, str))
                return left * right
        if kind is ast.Sub and isinstance(left, AnySet) and isinstance(right, AnySet):
            self.work.plain(left)
            return left - right
        what = f"{self._where(node)} combines {kind_of(left)} with {kind_of(right)}"
        raise Misfit(f"{what}; it takes {OPERANDS.get(kind, 'numbers')}")

    def _pay_for(self, size: int, is_text: bool) -> None:
        """Pay for a string or a list that is about to be made. Raises `Misfit` if it is too long."""
        if size > MAX_LENGTH:
            raise Misfit(f"a string or a list becomes too long (more than {MAX_LENGTH:,})")
        self.work.spend(size >> 4 if is_text else size)

    def _are_lists(self, *values: Any) -> bool:
        return all(isinstance(value, Sequence) and not isinstance(value, str) for value in values)

    def _eval_compare(self, node: ast.Compare) -> bool:
        try:
            left = self._eval(node.left)
        except NotKnown:
            # Whatever it is, it is not in an empty list.
            if len(node.ops) == 1 and isinstance(operation := node.ops[0], ast.In | ast.NotIn):
                container = self._eval(node.comparators[0])
                if isinstance(container, Mapping | AnySet | list | tuple) and not container:
                    return isinstance(operation, ast.NotIn)
            raise
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
            self.work.spend(min(len(left), len(right)) >> 8)
        elif type(left) not in SCALARS and type(right) not in SCALARS:
            if kind in (ast.Eq, ast.NotEq) and self._are_lists(left, right) and len(left) != len(right):
                return kind is ast.NotEq  # which spares a copy of the log for `events == []`
            left, right = self.work.plain(left), self.work.plain(right)
        try:
            return bool(OPERATORS[kind](left, right))
        except TypeError:
            what = f"{self._where(node)} compares {kind_of(left)} with {kind_of(right)}"
            remedy = "test for null first" if left is None or right is None else "compare values of one kind"
            raise Misfit(f"{what}; {remedy}") from None

    def _holds(self, container: Any, value: Any, node: ast.Compare) -> bool:
        if isinstance(container, str):
            if type(value) is not str:
                raise Misfit(f"{self._where(node)} looks for {kind_of(value)} in a string")
            # A short text is compared at each place, for a long one Python finds better ways.
            self.work.spend(len(container) * min(len(value), 100) >> 8)
        elif isinstance(container, Mapping | AnySet):
            value = self.work.key(value)
        elif isinstance(container, Sequence):
            if type(value) in SCALARS:
                self.work.spend(len(container) * (1 + (len(value) >> 8) if type(value) is str else 1))
            else:
                value, container = self.work.plain(value), self.work.plain(container)
        elif type(container) is Event:
            return value in EVENT_FIELDS
        else:
            raise Misfit(f"{self._where(node)} looks into {kind_of(container)}; a list was expected")
        return value in container

    # -- literals and comprehensions ------------------------------------------------------------

    def _elements(self, parts: list[ast.expr]) -> Iterator[Any]:
        for part in parts:
            if isinstance(part, ast.Starred):
                values = self._parts(self._eval(part.value), part.value)
                self.work.spend(len(values))
                yield from values
            else:
                yield self._eval(part)

    def _eval_list(self, node: ast.List) -> list[Any]:
        return list(self._elements(node.elts))

    def _eval_tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self._elements(node.elts))

    def _eval_set(self, node: ast.Set) -> OrderedSet:
        return OrderedSet(map(self.work.key, self._elements(node.elts)))

    def _eval_dict(self, node: ast.Dict) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:  # {**mapping}
                mapping = self._eval(value)
                if not isinstance(mapping, Mapping):
                    raise Misfit(f"{self._where(value)} is {kind_of(mapping)}, not a mapping")
                result.update({self.work.key(key): part for key, part in mapping.items()})
            else:
                result[self.work.key(self._eval(key))] = self._eval(value)
        return result

    def _eval_joinedstr(self, node: ast.JoinedStr) -> str:
        texts = []
        for part in node.values:
            value = self._eval(part.value if isinstance(part, ast.FormattedValue) else part)
            if type(value) not in SCALARS:
                raise Misfit(f"{self._where(node)} holds {kind_of(value)}; give strings and numbers")
            texts.append(str(value))
        self._pay_for(sum(map(len, texts)), is_text=True)
        return "".join(texts)

    def _eval_comprehension(self, node: Any, wanted: bool | None = None) -> Any:
        """The value of a comprehension; with `wanted`, that of `any` (true) or `all` of it."""
        outer = self.names
        self.work.spend(len(outer) >> 3)
        self.names = dict(outer)  # to which the loops add their variables
        try:
            if wanted is not None:  # they stop early
                return self._any(((node.elt, sure) for sure in self._rounds(node.generators)), wanted)
            return COMPREHENSIONS[type(node)](self._values(node))
        finally:
            self.names = outer

    _eval_listcomp = _eval_setcomp = _eval_dictcomp = _eval_generatorexp = _eval_comprehension

    def _values(self, node: Any) -> Iterator[Any]:
        for sure in self._rounds(node.generators):
            if not sure:
                raise NotKnown
            if isinstance(node, ast.DictComp):
                yield self.work.key(self._eval(node.key)), self._eval(node.value)
            else:
                value = self._eval(node.elt)
                yield self.work.key(value) if isinstance(node, ast.SetComp) else value

    def _rounds(self, loops: Sequence[ast.comprehension], sure: bool = True) -> Iterator[bool]:
        """Goes through the loops of a comprehension; at each yield its variables are set.

        Yields whether the conditions are surely true, or only may be.
        """
        if not loops:
            yield sure
            return
        loop, *inner = loops
        for value in self._parts(self._eval(loop.iter), loop.iter):
            self.iterations += 1
            if self.iterations > MAX_ITERATIONS:
                raise Misfit(f"it loops more than {MAX_ITERATIONS:,} times; loop over less")
            self._bind(loop.target, value)
            try:
                passed, known = not loop.ifs or self._any(((part, True) for part in loop.ifs), False), sure
            except NotKnown:
                passed, known = True, False
            if passed:
                yield from self._rounds(inner, known)

    def _bind(self, target: Any, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
            return
        names = target.elts
        if not isinstance(value, Sequence) or len(value) != len(names):
            raise Misfit(f"{kind_of(value)} cannot be taken apart into {self._where(target)}")
        self.work.spend(len(names))
        for part, each in zip(names, value, strict=True):
            self._bind(part, each)

    # -- functions ------------------------------------------------------------------------------

    def _eval_call(self, node: ast.Call) -> Any:
        name = node.func.id  # type: ignore[attr-defined]
        if name in ("any", "all"):
            values = node.args[0]
            if isinstance(values, ast.GeneratorExp | ast.ListComp):
                return self._eval_comprehension(values, name == "any")
            if isinstance(values, ast.List | ast.Tuple) and ast.Starred not in map(type, values.elts):
                return self._any(((part, True) for part in values.elts), name == "any")
        arguments = [self._eval(argument) for argument in node.args]
        self.work.spend(128 if name == "round" else 1)
        if name != "len":
            arguments = [self.work.plain(argument) for argument in arguments]
        options = {str(keyword.arg): self._eval(keyword.value) for keyword in node.keywords}
        try:
            return FUNCTIONS[name](*arguments, **options)
        except Misfit as error:
            if node is self.root:
                raise
            raise Misfit(f"{self._where(node)}: {error}") from None


_METHODS: dict[type[ast.AST], Callable[[Evaluator, Any], Any]] = {
    kind: getattr(Evaluator, f"_eval_{kind.__name__.lower()}") for kind in NODES
}
