"""The sandbox of prompts: Jinja2's immutable one, in which all work is counted.

A template may come from a stranger, and Jinja2's sandbox keeps it from Python's objects but not from
loops in loops, from texts that double with every line, or from `'{:>1000000000}'.format(1)`. Here:

- every rendering has a budget (`Work`): loops, calls and filters pay for what they are about to handle,
  and texts for their length before they are put together;
- of text, lists and mappings only the methods in `METHODS` can be called, and only the filters and tests
  that are listed exist; nothing is evaluated while a template is compiled;
- keys come before attributes, so that `state.items` is always the key.

Loops and comparisons cannot be intercepted in Jinja2, so `_Counted` puts filters around what they handle.
The names of these begin with `@`, which no template can write.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Set, Sized
from contextvars import ContextVar
from types import BuiltinMethodType
from typing import Any

from jinja2 import (
    Environment,
    StrictUndefined,
    TemplateRuntimeError,
    Undefined,
    nodes,
    pass_context,
    pass_environment,
)
from jinja2.filters import make_attrgetter
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from ..records import Event

#: The filters of Jinja2 that a template may use. Not among them: what is random, what reaches for
#: attributes by name, and what has no use in a prompt.
FILTERS = (
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby",
    "indent", "int", "items", "join", "last", "length", "list", "lower", "max", "min", "reject",
    "rejectattr", "replace", "reverse", "round", "select", "selectattr", "slice", "sort", "string", "sum",
    "title", "tojson", "trim", "truncate", "unique", "upper", "wordcount", "wordwrap",
)  # fmt: skip
#: The tests that it may use (`x is odd`).
TESTS = (
    "!=", "<", "<=", "==", ">", ">=", "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false",
    "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt",
    "mapping", "ne", "none", "number", "odd", "sequence", "string", "true", "undefined", "upper",
)  # fmt: skip
#: The methods of text that it may call, and those of mappings and lists.
TEXT_METHODS = (
    "capitalize", "count", "endswith", "find", "isalpha", "isdigit", "islower", "isupper", "join", "lower",
    "lstrip", "removeprefix", "removesuffix", "replace", "rstrip", "split", "splitlines", "startswith",
    "strip", "title", "upper",
)  # fmt: skip
METHODS: dict[type, tuple[str, ...]] = {
    str: TEXT_METHODS,
    Mapping: ("get", "items", "keys", "values"),
    list: ("count", "index"),
    tuple: ("count", "index"),
}

#: What one rendering may do: about one unit for each step, and for each value that is handled.
MAX_WORK = 2_000_000
#: The most that `range` counts, and the largest number that shapes a text (a width, an indentation).
MAX_RANGE = 10_000
SCALARS = frozenset((int, float, bool, type(None)))
#: The longest text, in characters, and the sum of all texts that one rendering makes.
MAX_LENGTH = 2_000_000
MAX_TEXT = 20_000_000
#: The largest integer that is computed with, in bits.
MAX_BITS = 256


class Refused(TemplateRuntimeError):
    """A template asks for more than it may have."""


class Work:
    """The budget of one rendering, or of several. Each method raises `Refused` when it is spent."""

    def __init__(self, times: int = 1) -> None:
        self.units = MAX_WORK * times
        self.characters = MAX_TEXT * times

    def spend(self, units: int) -> None:
        self.units -= units
        if self.units < 0:
            raise Refused("the template does too much; loop over less")

    def text(self, length: int) -> None:
        """Pay for a text of `length` characters that is about to be made."""
        self.characters -= length
        if length > MAX_LENGTH or self.characters < 0:
            raise Refused(f"a text becomes too long (more than {MAX_LENGTH:,} characters)")

    def pay(self, value: Any) -> Any:
        """Pay for looking at all of `value`, which is returned."""
        kind = type(value)
        if kind is str:
            self.units -= 1 + (len(value) >> 3)
        elif kind in SCALARS:
            self.units -= 1
        else:
            self._walk(value)
        if self.units < 0:
            self.spend(0)
        return value

    def _walk(self, value: Any) -> None:
        waiting = [value]
        while waiting and self.units >= 0:
            part = waiting.pop()
            kind = type(part)
            self.units -= 1
            if kind is str:
                self.units -= len(part) >> 3
            elif kind in SCALARS:
                continue
            elif kind is dict or isinstance(part, Mapping):
                waiting.extend(part)
                waiting.extend(part.values())
            elif kind is list or isinstance(part, (list, tuple, Set)):
                waiting.extend(part)
            elif isinstance(part, Event):
                waiting.append(part.payload)
            elif isinstance(part, Sized):
                self.units -= len(part)


_work: ContextVar[Work] = ContextVar("work")


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment that all templates are compiled and rendered in."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=_paid_output,
        )
        filters: dict[str, Any] = {**self.filters, **_OWN_FILTERS}
        self.filters = {name: _paid(filters[name], _GUARDS.get(name)) for name in FILTERS}
        self.filters |= {"@each": _each, "@pay": _pay, "@step": _step, "@join": _concatenated}
        tests: dict[str, Any] = dict(self.tests)
        self.tests = {name: _paid(tests[name]) for name in TESTS}
        self.globals = {"range": _bounded_range}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counted().visit(super()._parse(source, name, filename))
        return tree

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """How blocks, macros and the whole text are put together."""
        parts = list(parts)
        _work.get().text(sum(map(len, parts)))
        return "".join(parts)

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
        what = f"{attribute!r} of {_described(obj)} cannot be used in a template"
        return self.undefined(what, obj=obj, name=attribute, exc=Refused)

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` is not among the methods, so there is nothing to wrap."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        work = _work.get()
        work.spend(1)
        if operator == "%" and isinstance(left, str):
            raise Refused("'%' does not format text; put the values in {{ }}")
        if operator == "+" and isinstance(left, (str, list, tuple)) and isinstance(right, type(left)):
            _pay_length(left, len(left) + len(right))
        elif operator == "*":
            text, times = (right, left) if isinstance(left, int) else (left, right)
            if isinstance(text, (str, list, tuple)) and isinstance(times, int):
                _pay_length(text, len(text) * max(times, 0))
        elif operator == "**" and isinstance(right, (int, float)) and abs(right) > MAX_BITS:
            raise Refused("a number becomes too large")
        value = super().call_binop(context, operator, left, right)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise Refused("a number becomes too large")
        return value

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        work = _work.get()
        for value in args:
            work.pay(value)
        if kwargs:
            work.pay(kwargs)
        work.spend(1)
        owner = getattr(__obj, "__self__", None)
        if isinstance(__obj, BuiltinMethodType) and isinstance(owner, str):
            work.pay(owner)
            if __obj.__name__ == "join":
                return _joined(map(_text_only, *args), owner)
            if __obj.__name__ == "replace":
                return _replaced(owner, *args)
            if __obj.__name__ in ("strip", "lstrip", "rstrip"):
                _guard_trim(owner, *args)
        value = super().call(__context, __obj, *args, **kwargs)
        if isinstance(value, (str, list)):
            _pay_length(value, len(value))
        return value


@functools.cache
def environment() -> Environment:
    """The one sandbox; it holds nothing of any template."""
    return Sandbox()


def rendered(template: Any, values: Mapping[str, Any], work: Work | None = None) -> str:
    """The text of a compiled template, made within the budget `work` (None: one of its own)."""
    token = _work.set(work or Work())
    try:
        text: str = template.render(values)
    finally:
        _work.reset(token)
    return text


# -- what is put into a template ----------------------------------------------------------------


class _Counted(NodeTransformer):
    """Puts the filters that count around what Jinja2 does not let a sandbox intercept."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        weight = _weight(node)
        self.generic_visit(node)
        node.iter = _filter("@each", node.iter, nodes.Const(weight))
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        weight = _weight(node)
        self.generic_visit(node)
        step = _filter("@step", nodes.Const(""), nodes.Const(weight))
        node.body.insert(0, nodes.Output([step]).set_lineno(node.lineno))
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        weight = _weight(node)
        self.generic_visit(node)
        step = _filter("@step", nodes.Const(""), nodes.Const(weight))
        node.body.insert(0, nodes.Output([step]).set_lineno(node.lineno))
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filter("@pay", node.expr)
        for operand in node.ops:
            operand.expr = _filter("@pay", operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filter("@pay", node.node)
        elif not isinstance(node.arg, nodes.Const):
            node.arg = _filter("@pay", node.arg)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _filter("@pay", node.key)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter("@join", nodes.List(node.nodes).set_lineno(node.lineno))


def _weight(node: nodes.Node) -> int:
    """How much there is to do in a body."""
    return 1 + sum(1 for _ in node.find_all(nodes.Node))


def _filter(name: str, value: Any, *args: nodes.Expr) -> nodes.Filter:
    made = nodes.Filter(value, name, list(args), [], None, None)
    made.set_lineno(value.lineno or 1)
    return made


def _each(value: Any, weight: int) -> Any:
    work = _work.get()
    if not hasattr(value, "__len__"):
        parts = []
        for part in value:
            work.spend(weight)
            parts.append(part)
        return parts
    work.spend(len(value) * weight)
    return value


def _pay(value: Any) -> Any:
    return _work.get().pay(value)


def _step(nothing: str, weight: int) -> str:
    _work.get().spend(weight)
    return nothing


def _concatenated(parts: list[Any]) -> str:
    return _joined(map(_shown, _work.get().pay(parts)), "")


@pass_context  # which also keeps Jinja2 from evaluating outputs while it compiles
def _paid_output(context: Context, value: Any) -> Any:
    value = _work.get().pay(value)
    return value if type(value) is str else _written(value)


def _written(value: Any) -> Any:
    """`value`, if it has words. What Python shows of others differs from run to run."""
    for part in _leaves(value):
        if isinstance(part, Iterator):
            raise Refused("the parts of a list are still to be looked for; add `| list` or `| join`")
        if callable(part) and not isinstance(part, Undefined):
            raise Refused("a function has no words; call it, as in `name(…)`")
    return value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _leaves(part)
    elif type(value) is dict:
        for part in value.values():
            yield from _leaves(part)
    else:
        yield value


def _pay_length(value: Any, length: int) -> None:
    if isinstance(value, str):
        _work.get().text(length)
    else:
        _work.get().spend(length)


# -- filters ------------------------------------------------------------------------------------


def _paid(function: Callable[..., Any], guard: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """The filter or test `function`, which pays for its arguments and for what it makes."""
    skip = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)  # keeps what Jinja2 notes on it
    def paid(*args: Any, **kwargs: Any) -> Any:
        pay = _work.get().pay
        for value in args[skip:]:
            pay(value)
        if callable(args[skip]):
            _written(args[skip])
        if kwargs:
            pay(kwargs)
        if guard is not None:
            guard(*args[skip:], **kwargs)
        value = function(*args, **kwargs)
        if isinstance(value, (str, list)):
            _pay_length(value, len(value))
        return value

    return paid


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else str(_written(value))


def _text_only(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(f"only text can be joined, and there is {_described(value)}; use the filter `join`")
    return value


def _joined(parts: Iterable[str], between: str) -> str:
    texts = list(parts)
    _work.get().text(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


@pass_environment
def _join(made_in: Environment, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    parts = value if attribute is None else map(make_attrgetter(made_in, attribute), value)
    return _joined(map(_shown, _work.get().pay(list(parts))), str(d))


def _replaced(value: Any, old: str, new: str, count: int | None = None) -> str:
    text = _shown(value)
    found = text.count(old)
    if count is not None and count >= 0:
        found = min(found, count)
    _work.get().text(len(text) + found * max(len(new) - len(old), 0))
    return text.replace(old, new, -1 if count is None else count)


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON as it is read, not as it is embedded in a page."""
    return json.dumps(_plain(value), indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value.to_dict() if isinstance(value, Event) else value


def _small(number: Any, bound: int = MAX_RANGE) -> None:
    if isinstance(number, (int, float)) and abs(number) > bound:
        raise Refused(f"{number} is too large here, at most {bound:,} is allowed")


def _guard_trim(value: Any, chars: Any = None) -> None:
    _written(value)
    if isinstance(chars, str):
        _small(len(chars), 100)


def _guard_indent(value: Any, width: Any = 4, *rest: Any, **more: Any) -> None:
    _small(width)
    length = len(width) if isinstance(width, str) else int(width)
    _work.get().text((_shown(value).count("\n") + 1) * length)


def _guard_wordwrap(
    value: Any, width: Any = 79, long: Any = True, wrapstring: Any = None, *rest: Any
) -> None:
    _small(width)
    length = len(_shown(value))
    _work.get().text(length * (1 + len(wrapstring or "\n")))
    _work.get().spend(length * length // max(int(width), 1) >> 8)  # a long word is copied for each line


def _guard_round(value: Any, precision: Any = 0, *rest: Any, **more: Any) -> None:
    _small(precision, 30)


def _guard_tojson(value: Any, indent: Any = None) -> None:
    _small(indent, 8)


def _guard_sum(value: Any, attribute: Any = None, start: Any = 0) -> None:
    if not isinstance(start, (int, float)):
        raise Refused("`sum` adds numbers only")


_OWN_FILTERS: dict[str, Callable[..., Any]] = {"join": _join, "replace": _replaced, "tojson": _tojson}
_TEXT_FILTERS = ("capitalize", "lower", "string", "title", "truncate", "upper", "wordcount")
_GUARDS: dict[str, Callable[..., Any]] = {
    **{name: lambda value, *_, **__: _written(value) for name in _TEXT_FILTERS},
    "batch": lambda value, linecount, *_, **__: _small(linecount),
    "indent": _guard_indent,
    "round": _guard_round,
    "slice": lambda value, slices, *_, **__: _small(slices),
    "sum": _guard_sum,
    "tojson": _guard_tojson,
    "trim": _guard_trim,
    "wordwrap": _guard_wordwrap,
}


def _bounded_range(*bounds: int) -> range:
    counted = range(*bounds)
    _small(len(counted))
    return counted


def _described(value: Any) -> str:
    names = {
        str: "text",
        dict: "a mapping",
        list: "a list",
        tuple: "a list",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), f"a value of the kind {type(value).__name__}")
