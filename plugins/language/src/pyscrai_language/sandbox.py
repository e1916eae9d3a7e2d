"""The sandbox of prompts: Jinja2's immutable one, in which all work is bounded.

A template may come from a stranger. Jinja2's sandbox keeps it from Python's objects, but not from loops in
loops, from texts that double with every line, or from `'{:>1000000000}'.format(1)`. Here:

- a rendering has a `Budget`: loops pay for their rounds, calls, filters, tests and comparisons for all that
  they are given, and long texts and lists for their length before they are made;
- of text, lists and mappings only the methods in `METHODS` can be called, and only the filters and tests
  that are listed exist; nothing is evaluated while a template is compiled;
- keys come before attributes, so that `state.items` is always the key.

Loops, comparisons and slices cannot be intercepted in Jinja2, so `_Bounded` puts filters around what they
handle. The names of these filters begin with `@`, which no template can write.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Set, Sized, ValuesView
from contextvars import ContextVar
from types import BuiltinMethodType
from typing import Any

from jinja2 import (
    Environment,
    StrictUndefined,
    Template,
    Undefined,
    nodes,
    pass_context,
    pass_environment,
)
from jinja2.exceptions import SecurityError
from jinja2.filters import do_indent, ignore_case, make_attrgetter
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from pyscrai_records.records import Event

from .misfit import Misfit
from .values import Work, check_number, check_power, kind_of

#: The filters of Jinja2 that a template may use. Not among them: what is random, what reaches for
#: attributes by name, and what lays out pages.
FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby",
    "indent", "int", "items", "join", "last", "length", "list", "lower", "max", "min", "reject",
    "rejectattr", "replace", "reverse", "round", "select", "selectattr", "sort", "string", "sum",
    "title", "tojson", "trim", "truncate", "unique", "upper", "wordcount",
)  # fmt: skip
#: The tests that it may use (`x is odd`).
TESTS = (
    "!=", "<", "<=", "==", ">", ">=", "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false",
    "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt",
    "mapping", "ne", "none", "number", "odd", "sequence", "string", "true", "undefined", "upper",
)  # fmt: skip
#: The methods of text, mappings and lists that it may call.
METHODS: dict[type, tuple[str, ...]] = {
    str: (
        "capitalize", "count", "endswith", "find", "isalpha", "isdigit", "islower", "isupper", "join",
        "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rstrip", "split", "splitlines",
        "startswith", "strip", "title", "upper",
    ),
    Mapping: ("get", "items", "keys", "values"),
    list: ("count", "index"),
    tuple: ("count", "index"),
}  # fmt: skip

#: What one rendering may do: about one unit for each step, each value, and 8 characters of text.
MAX_WORK = 2_000_000
#: The longest text or list.
MAX_LENGTH = 2_000_000
#: The most that `range` counts, and the largest number that shapes a text (a width, an indentation).
MAX_RANGE = 10_000
#: The largest integer that is computed with, in bits.
MAX_BITS = 256

#: The filters that show their value as text, and those whose other arguments are sizes.
_SHOWING = (
    "capitalize", "indent", "lower", "replace", "string", "title", "tojson", "trim", "truncate", "upper",
    "wordcount",
)  # fmt: skip
_SHAPING = ("indent", "round", "trim", "truncate")
_SCALARS = frozenset((float, bool, type(None)))


class Budget(Work):
    """The work that one rendering may do, or several `times` that."""

    SPENT = "the template does too much; loop over less"

    def __init__(self, times: int = 1) -> None:
        super().__init__(MAX_WORK * times)

    def make(self, length: int) -> None:
        """Pay for a text or a list of this length that is about to be made."""
        if length > MAX_LENGTH or length >> 3 > self.left:
            raise Misfit(f"a text becomes too long, or a list (more than {MAX_LENGTH:,} characters or items)")
        self.spend(length >> 3)

    def pay(self, value: Any, shown: bool = False) -> Any:
        """Pay for handling all of `value`, which is returned.

        With `shown`, its text is needed, which must be the same in each run: that of a function is not.
        """
        waiting = [value]
        while waiting and self.left >= 0:
            part = waiting.pop()
            kind = type(part)
            self.left -= 1
            if kind is str:
                self.left -= len(part) >> 3
            elif kind is int:
                check_number(part, MAX_BITS)
            elif kind in _SCALARS:
                continue
            elif kind is list or kind is tuple:
                waiting += part
            elif isinstance(part, Undefined):
                continue
            elif shown and isinstance(part, Iterator):
                raise Misfit("the parts of a list are still to be looked for; add `| list` or `| join`")
            elif shown and callable(part):
                raise Misfit("a function has no text; call it, as in `name(…)`")
            elif isinstance(part, Mapping):
                waiting += part
                waiting += part.values()
            elif isinstance(part, (list, tuple, Set, ValuesView)):
                waiting += part
            elif isinstance(part, Event):
                waiting.append(part.payload)
            elif isinstance(part, Sized):
                self.left -= len(part)
        self.spend(0)
        return value


_work: ContextVar[Budget] = ContextVar("work")


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment that all templates are compiled and rendered in; it holds nothing of any template."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=_output,
        )
        filters: dict[str, Any] = {**self.filters, **_OWN_FILTERS}
        tests: dict[str, Any] = self.tests
        self.filters = {name: _bounded(filters[name], name) for name in FILTERS}
        self.filters |= {"@each": _each, "@key": _key, "@pay": _pay, "@step": _step}
        self.tests = {name: _bounded(tests[name]) for name in TESTS}
        self.globals = {"range": _range}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Bounded().visit(super()._parse(source, name, filename))
        return tree

    @staticmethod
    def concat(parts: Iterable[str], between: str = "") -> str:
        """How blocks, macros, lists of text and the whole text are put together."""
        texts = list(parts)
        _work.get().make(sum(map(len, texts)) + len(between) * len(texts))
        return between.join(texts)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if not super().is_safe_attribute(obj, attr, value):
            return False
        allowed = next((names for kind, names in METHODS.items() if isinstance(obj, kind)), None)
        if allowed is None:
            return type(obj).__module__ != "builtins"
        return attr in allowed

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        what = f"{attribute!r} of {kind_of(obj)} cannot be used in a template"
        return self.undefined(what, obj=obj, name=attribute, exc=SecurityError)

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` is not among the methods, so there is nothing to wrap."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise Misfit("'%' does not format text; put the values in {{ }}")
        if operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, type(left)):
            _work.get().make(len(left) + len(right))
        elif operator == "*":
            part, times = (right, left) if isinstance(left, int) else (left, right)
            if isinstance(part, (str, list, tuple)) and isinstance(times, int):
                _work.get().make(len(part) * max(times, 0))
        elif operator == "**":
            check_power(left, right, MAX_BITS)
        for number in (left, right):
            check_number(number, MAX_BITS)
        return check_number(super().call_binop(context, operator, left, right), MAX_BITS)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        work = _work.get()
        work.pay((args, kwargs))
        owner = getattr(__obj, "__self__", None)
        if isinstance(__obj, BuiltinMethodType) and isinstance(owner, str):
            work.pay(owner)
            if __obj.__name__ in ("strip", "lstrip", "rstrip"):
                _check_sizes(*args)
            elif __obj.__name__ in _OWN_METHODS:
                __obj = functools.partial(_OWN_METHODS[__obj.__name__], owner)
        value = super().call(__context, __obj, *args, **kwargs)
        if isinstance(value, (str, list)):
            work.make(len(value))
        return value


def rendered(template: Template, values: Mapping[str, Any], work: Budget | None = None) -> str:
    """The text of a compiled template, made within the budget `work` (None: one of its own)."""
    token = _work.set(work or Budget())
    try:
        return template.render(values)
    finally:
        _work.reset(token)


# -- what is put into a template ----------------------------------------------------------------


class _Bounded(NodeTransformer):
    """Puts the filters that pay around what Jinja2 does not let a sandbox intercept."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        weight = _weight(node)
        self.generic_visit(node)
        node.iter = _filter("@each", node.iter, weight)
        return node

    def visit_Macro(self, node: nodes.Macro | nodes.CallBlock) -> nodes.Node:
        step = _filter("@step", nodes.Const("", lineno=node.lineno), _weight(node))
        self.generic_visit(node)
        node.body.insert(0, nodes.Output([step], lineno=node.lineno))
        return node

    visit_CallBlock = visit_Macro

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter("join", nodes.List(node.nodes, lineno=node.lineno))

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, (nodes.Compare, nodes.Operand)):
            node.expr = _filter("@pay", node.expr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            node.node = _filter("@pay", node.node)
        elif isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
            node.arg = _filter("@pay", node.arg)
        elif isinstance(node, nodes.Pair):
            node.key = _filter("@key", node.key)
        return node


def _weight(node: nodes.Node) -> nodes.Const:
    """How much there is to do in a body."""
    return nodes.Const(1 + sum(1 for _ in node.find_all(nodes.Node)))


def _filter(name: str, value: Any, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, list(args), [], None, None, lineno=value.lineno or 1)


def _each(value: Iterable[Any], weight: int) -> Iterator[Any]:
    """What a loop over `value` goes through; each round costs `weight`."""
    for part in value:
        _work.get().spend(weight)
        yield part


def _step(nothing: str, weight: int) -> str:
    _work.get().spend(weight)
    return nothing


def _pay(value: Any) -> Any:
    return _work.get().pay(value)


@pass_context  # which also keeps Jinja2 from evaluating outputs while it compiles
def _output(context: Context, value: Any) -> Any:
    return _work.get().pay(value, shown=True)


def _key(value: Any) -> Any:
    """A key, or an element of a set, whose hash cannot be made to collide with others."""
    return _work.get().key(_pay(value)) if isinstance(value, (int, tuple)) else _pay(value)


# -- filters and methods ------------------------------------------------------------------------


def _bounded(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """A filter or a test that pays for its arguments, and for what it takes from an iterator."""
    skip = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)  # keeps what Jinja2 notes on it
    def bounded(*args: Any, **kwargs: Any) -> Any:
        value, *others = (*args[skip:], *kwargs.values())
        _work.get().pay(value, shown=name in _SHOWING)
        if others:
            _work.get().pay(others)
        if isinstance(value, Iterator):
            args = (*args[:skip], _each(value, 1), *args[skip + 1 :])
        if name in _SHAPING:
            _check_sizes(*others)
        return function(*args, **kwargs)

    return bounded


def _check_sizes(*sizes: Any, most: int = MAX_RANGE) -> None:
    """Refuse sizes that are too large: numbers, or texts that are put in or looked for many times."""
    for size in sizes:
        number, limit = (len(size), 100) if isinstance(size, str) else (size, most)
        if isinstance(number, (int, float)) and abs(number) > limit:
            raise Misfit(f"{number} is too large here, at most {limit:,} is allowed")


def _range(*bounds: int) -> range:
    counted = range(*bounds)
    _check_sizes(len(counted))
    return counted


def _shown(value: Any) -> str:
    return str(_work.get().pay(value, shown=True))


@pass_environment
def _join(made_in: Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    parts = value if attribute is None else map(make_attrgetter(made_in, attribute), value)
    return Sandbox.concat(map(_shown, parts), _shown(d))


def _join_method(between: str, parts: Iterable[Any]) -> str:
    return Sandbox.concat(map(_shown, parts), between)


def _replace(value: Any, old: str, new: str, count: int | None = None) -> str:
    return Sandbox.concat(str(value).split(old, -1 if count is None else count), new)


def _indent(value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    text = str(value)
    indentation = width if isinstance(width, str) else " " * width
    _work.get().make(len(text) + (text.count("\n") + 1) * len(indentation))
    return do_indent(text, indentation, first, blank)


@pass_environment
def _sum(made_in: Environment, value: Iterable[Any], attribute: str | int | None = None) -> Any:
    return sum(value if attribute is None else map(make_attrgetter(made_in, attribute), value))


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON as it is read, not as it is embedded in a page."""
    _check_sizes(indent, most=8)
    encoder = json.JSONEncoder(
        indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain
    )
    return Sandbox.concat(encoder.iterencode(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Event):
        return value.to_dict()
    if isinstance(value, Mapping):
        return dict(value)
    raise Misfit(f"{kind_of(value)} has no form in JSON")


@pass_environment
def _unique(
    made_in: Environment,
    value: Iterable[Any],
    case_sensitive: bool = False,
    attribute: str | int | None = None,
) -> Iterator[Any]:
    key_of = make_attrgetter(made_in, attribute, None if case_sensitive else ignore_case)
    seen: set[Any] = set()
    for part in value:
        if (key := _key(key_of(part))) not in seen:
            seen.add(key)
            yield part


_OWN_FILTERS = {
    "indent": _indent,
    "join": _join,
    "replace": _replace,
    "sum": _sum,
    "tojson": _tojson,
    "unique": _unique,
}
_OWN_METHODS: dict[str, Callable[..., str]] = {"join": _join_method, "replace": _replace}
#: Where all templates are compiled and rendered.
SANDBOX = Sandbox()
