"""Expressions: Python's syntax over plain data, evaluated safely and with bounded work.

`stop_when`, `rules`, `when` and `outcomes` are written in it. A scenario may come from a stranger, so an
expression can read what it is given, compute, and nothing else:

- values are numbers, strings, true, false, null, lists, mappings and events. `state.items` is always the
  key `items`; no attribute and no method of a Python object is ever reached, except an event's fields;
- what can be called is listed in `FUNCTIONS`, and no value is ever a function;
- everything is counted: what a thing costs is paid from `MAX_WORK` before it is done, be it a step of the
  evaluation, an element that is copied or compared, or a long string;
- the answer depends on nothing but the values: sets keep their order, sums of floats are exact, and a
  number that is not finite is an error.

It differs from Python in few places: a tuple equals a list of the same parts, `is` tests for null, true and
false only, `%` does not format strings, generators are lists (`any` and `all` still stop early), and
`sum` adds numbers only.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pyscrai_records.base.syntax import parse_expression

from .evaluator import COMPREHENSIONS, NODES, WORDS, Evaluator
from .functions import FUNCTIONS
from .misfit import Misfit
from .operators import OPERATORS
from .values import (
    FAILURES,
    MAX_LENGTH,
    NUMBERS,
    SCALARS,
    TOO_LARGE,
    NotKnown,
    alternatives,
    check_number,
    short,
)

__all__ = ["FUNCTIONS", "Expression"]

#: The longest expression, in characters, and how deeply its parts may be nested.
MAX_SOURCE = 10_000
MAX_DEPTH = 100
#: For each function, the least and the most positional arguments, and the keywords.
_SIGNATURES: dict[str, tuple[int, int, tuple[str, ...]]] = {
    **dict.fromkeys(FUNCTIONS, (1, 1, ())),
    "min": (1, 100, ("default",)),
    "max": (1, 100, ("default",)),
    "sorted": (1, 1, ("reverse",)),
    "round": (1, 2, ()),
}

_ALLOWED = frozenset(
    {
        *(*NODES, *OPERATORS, ast.Expression, ast.Load, ast.FormattedValue),
        *(ast.And, ast.Or, ast.In, ast.NotIn),
    }
)
_REFUSED: dict[type[ast.AST], str] = {
    ast.Lambda: "lambda is not available; write the value itself",
    ast.NamedExpr: "':=' is not available; write the value itself",
    ast.Await: "await is not available; write the value itself",
    ast.Yield: "yield is not available; write a list",
    ast.YieldFrom: "yield is not available; write a list",
    ast.BitAnd: "'&' is not available; write 'and'",
    ast.BitOr: "'|' is not available; write 'or'",
    ast.BitXor: "'^' is not available; a power is written '**'",
    ast.Invert: "'~' is not available; write 'not'",
    ast.LShift: "'<<' is not available; multiply instead",
    ast.RShift: "'>>' is not available; divide instead",
    ast.MatMult: "'@' is not available; multiply the parts",
}


class Unevaluable(ValueError):
    """An expression has no value.

    what
        the message without the expression, which it begins with
    due_to
        those of the expression's names that the failure is due to: the part that failed reads them. A key
        that the expression spells out is missing whatever their values are, so it is due to none.
    """

    def __init__(self, source: str, what: str, due_to: Iterable[str] = ()) -> None:
        super().__init__(f"{_quoted(source)}: {what}")
        self.what = what
        self.due_to = frozenset(due_to)


class Expression:
    """An expression that was read and checked, to be evaluated as often as one likes.

    source
        the text, as it was given
    uses
        those of `names` that it reads, so that a caller builds only these
    text, tree
        what was parsed, and its syntax tree

    It may be shared between threads.
    """

    def __init__(self, source: str, names: Iterable[str]) -> None:
        """Read `source`, in which `names` can be used.

        Raises `ValueError` if it is not an expression, uses another name, or anything that is not allowed.
        """
        self.source = source
        self._names = frozenset(names)
        checker = _Checker(self._names)
        try:
            self.text, self.tree = _parse(source)
            checker.check(self.tree, frozenset(), 0)
        except Misfit as error:
            raise ValueError(f"{_quoted(source)}: {error}") from None
        except (RecursionError, MemoryError):  # the latter is how Python's parser says that its stack is full
            raise ValueError(f"{_quoted(source)}: it is nested too deeply; make it simpler") from None
        self.uses = frozenset(checker.uses)

    def evaluate(self, /, **values: Any) -> Any:
        """The expression's value, given a value for each name in `uses` (others are ignored).

        The values are plain data and events; lists may be any `Sequence`, mappings any `Mapping`. The
        result is a copy made of dictionaries, lists and scalars, in which only an event stays what it is; a
        set comes as a list. Raises `Unevaluable`, a `ValueError`, if the expression has no value or needs too
        much work.
        """
        return self._run(Evaluator.run, values)

    def holds(self, /, **values: Any) -> bool | None:
        """Whether the expression's value is true, given values as for `evaluate`.

        A value may be `UNKNOWN`. The result is None if it depends on that: `state.night and event.payload.x`
        is false by night's being false alone. What fails behind an unknown part of an `and` or `or` may never
        be evaluated, so it is unknown too.
        """
        try:
            return bool(self._run(lambda evaluator: evaluator.truth(evaluator.root), values))
        except NotKnown:
            return None

    def may_read(self, field: str) -> bool:
        """Whether the value may depend on a payload's `field`: it is named, or a payload is used whole."""
        parts = {
            id(one.value): one
            for one in ast.walk(self.tree)
            if isinstance(one, ast.Attribute | ast.Subscript)
        }
        for one in ast.walk(self.tree):
            if isinstance(one, ast.Constant) and one.value == field:
                return True
            if isinstance(one, ast.Attribute) and one.attr in (field, "payload"):
                behind = parts.get(id(one))
                named = isinstance(behind, ast.Attribute) or (
                    isinstance(behind, ast.Subscript) and isinstance(behind.slice, ast.Constant)
                )
                if one.attr == field or not named:
                    return True
        return False

    def _run(self, evaluation: Callable[[Evaluator], Any], values: dict[str, Any]) -> Any:
        missing = self.uses - values.keys()
        if missing:
            raise TypeError(f"{_quoted(self.source)} needs a value for {', '.join(sorted(missing))}")
        try:
            return evaluation(Evaluator(self.text, self.tree.body, {**values, **WORDS}))
        except FAILURES as error:
            if isinstance(error, Misfit):
                what = str(error)
            elif isinstance(error, RecursionError):
                what = "its values are nested too deeply"
            elif isinstance(error, ZeroDivisionError):
                what = "division by zero; test the divisor first"
            elif isinstance(error, OverflowError):
                what = TOO_LARGE
            else:  # the reason is logged, and what Python says differs between its versions
                what = "its values do not fit together"
            raise Unevaluable(self.source, what, self._due_to(getattr(error, "part", self.tree))) from None

    def _due_to(self, part: ast.AST) -> set[str]:
        """The names that the failure of a part is due to."""
        if isinstance(part, ast.Attribute) or (
            isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant)
        ):
            return set()
        loops = [each for each in ast.walk(self.tree) if isinstance(each, ast.comprehension)]
        found: set[str] = set()
        left = [part]
        while left:  # what a variable of a loop holds is due to what the loop goes through
            names = {each.id for each in ast.walk(left.pop()) if isinstance(each, ast.Name)} - found
            found |= names
            left += [loop.iter for loop in loops if names & {*_targets(loop.target)}]
        return found & self.uses

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Expression):
            return NotImplemented
        return (self.source, self._names) == (other.source, other._names)

    def __hash__(self) -> int:
        return hash((self.source, self._names))

    def __reduce__(self) -> tuple[Any, ...]:
        return Expression, (self.source, sorted(self._names))


def _quoted(source: str) -> str:
    return f"'{short(' '.join(source.split()), 200)}'"


def _parse(source: str) -> tuple[str, ast.Expression]:
    """The text that was parsed, and its tree. Raises `Misfit`."""
    if not source.strip():
        raise Misfit("it is empty, where an expression was expected; write one")
    if len(source) > MAX_SOURCE:
        raise Misfit(f"it is longer than {MAX_SOURCE:,} characters; make it shorter")
    # In brackets an expression may take several lines, as it does in a YAML block.
    text = f"({source}\n)" if "\n" in source.strip() else source.strip()
    try:
        tree = parse_expression(text)
    except SyntaxError as error:
        words = [word for word in re.findall(r"\.([a-z]+)\b", source) if keyword.iskeyword(word)]
        if "'=='" in error.msg:
            reason = "'=' does not compare; write '=='"
        elif "&&" in source or "||" in source:
            reason = "'&&' and '||' are not known; write 'and' and 'or'"
        elif words:
            reason = f"'.{words[0]}' cannot be read, as it is a word of the language; write ['{words[0]}']"
        else:
            at = "" if "\n" in text or error.offset is None else f" at character {error.offset}"
            single = re.search(r"(?<![=!<>:])=(?!=)", source)
            remedy = "a comparison is written '=='" if single else "it is written as in Python"
            reason = f"this is not an expression ({error.msg}{at}); {remedy}"
        raise Misfit(reason) from None
    except ValueError as error:  # a NUL in the text, or half of a surrogate pair
        raise Misfit(f"this is not an expression ({error})") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            # Where the parts of an f-string stand depends on the version of Python.
            for part in ast.walk(node):
                if hasattr(part, "lineno"):
                    ast.copy_location(part, node)
    return text, tree


class _Checker:
    """Walks over an expression once, refuses what is not allowed, and collects the names that it uses."""

    def __init__(self, known: frozenset[str]) -> None:
        self.known = known
        self.uses: set[str] = set()

    def check(self, node: ast.AST, bound: frozenset[str], depth: int) -> None:
        """Check `node`, where the variables `bound` of comprehensions around it may be used."""
        if depth > MAX_DEPTH:
            raise Misfit("it is nested too deeply; make it simpler")
        if type(node) not in _ALLOWED:
            raise Misfit(_REFUSED.get(type(node), f"{type(node).__name__} is not available here"))
        if type(node) in COMPREHENSIONS:
            self.check_comprehension(node, bound, depth)
            return
        children: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, ast.Name):
            self.check_name(node.id, bound)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            raise Misfit(f"'.{node.attr}' begins with an underscore, which no key after a dot may")
        elif isinstance(node, ast.Constant):
            _check_constant(node.value)
        elif isinstance(node, ast.Call):
            _check_call(node)
            children = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            children = [each.value if isinstance(each, ast.Starred) else each for each in node.elts]
        elif isinstance(node, ast.Compare):
            _check_identity(node)
        elif isinstance(node, ast.FormattedValue) and (node.format_spec or node.conversion != -1):
            raise Misfit("an f-string may not hold a format or a conversion; use round()")
        for child in children:
            self.check(child, bound, depth + 1)

    def check_name(self, name: str, bound: frozenset[str]) -> None:
        if name in bound or name in WORDS:
            return
        if name in self.known:
            self.uses.add(name)
        elif name in FUNCTIONS:
            raise Misfit(f"{name!r} is a function; call it, as in {name}(…)")
        else:
            known = {*self.known, *bound}
            raise Misfit(f"the name {name!r} is not known{alternatives(name, known, 'there is')}")

    def check_comprehension(self, node: ast.AST, bound: frozenset[str], depth: int) -> None:
        for loop in node.generators:  # type: ignore[attr-defined]
            if loop.is_async:
                raise Misfit("'async for' is not available; write 'for'")
            self.check(loop.iter, bound, depth + 1)
            bound |= frozenset(_targets(loop.target))
            for condition in loop.ifs:
                self.check(condition, bound, depth + 1)
        for part in ("key", "value", "elt"):
            if hasattr(node, part):
                self.check(getattr(node, part), bound, depth + 1)


def _targets(target: ast.expr) -> Iterator[str]:
    """The variables of a `for`."""
    if isinstance(target, ast.Name):
        if target.id in WORDS or target.id in FUNCTIONS:
            raise Misfit(f"{target.id!r} cannot be a variable; choose another name")
        yield target.id
    elif isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _targets(part)
    else:
        raise Misfit("a 'for' needs plain variables, such as 'for x in' or 'for x, y in'")


def _check_constant(value: Any) -> None:
    if type(value) not in SCALARS:
        raise Misfit(f"{short(repr(value))} is not available; use numbers and strings")
    if type(value) is str and len(value) > MAX_LENGTH:
        raise Misfit("it holds a string that is too long")
    if type(value) in NUMBERS:
        check_number(value)


def _check_call(node: ast.Call) -> None:
    listed = ", ".join(FUNCTIONS)
    if not isinstance(node.func, ast.Name):
        what = ast.unparse(node.func) if isinstance(node.func, ast.Attribute) else "this"
        raise Misfit(f"{short(what)} cannot be called: values have no methods; there is {listed}")
    name = node.func.id
    if name not in FUNCTIONS:
        raise Misfit(f"there is no function {name!r}{alternatives(name, FUNCTIONS, 'there is')}")
    least, most, options = _SIGNATURES[name]
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        raise Misfit(f"{name}() takes a list as it is; leave out the '*'")
    if not least <= len(node.args) <= most:
        expected = str(least) if least == most else f"{least} to {most}"
        raise Misfit(f"{name}() takes {expected} arguments, and got {len(node.args)}")
    given = [keyword.arg for keyword in node.keywords]
    for option in given:
        if option not in options:
            known = f"it has {', '.join(options)}" if options else "it has none"
            raise Misfit(f"{name}() has no option {option or '**'}; {known}")
    if "default" in given and len(node.args) > 1:
        raise Misfit(f"{name}() takes a default for a list only; leave it out")


def _check_identity(node: ast.Compare) -> None:
    """`is` compares identities, which only for null, true and false say something about values."""
    sides = [node.left, *node.comparators]
    for index, kind in enumerate(node.ops):
        if isinstance(kind, ast.Is | ast.IsNot) and not any(map(_is_word, sides[index : index + 2])):
            raise Misfit("'is' tests for null, true and false only; write '=='")


def _is_word(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None or isinstance(node.value, bool)
    return isinstance(node, ast.Name) and node.id in WORDS
