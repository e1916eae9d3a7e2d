"""What a template does with variables of which only the shapes are known, and what is certain to be wrong.

It goes through all parts of a template, also through those that a condition may leave out. What it reads and
compares is held against the shapes. What a filter or a test does with a value is tried on a sample of it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from jinja2 import TemplateError, nodes
from jinja2.environment import Template

from pyscrai_records.base.syntax import LOCK

from .inference import Events, Inference
from .misfit import Misfit
from .sandbox import METHODS, SANDBOX, Budget, rendered
from .shapes import (
    ANY,
    FLAG,
    LIST,
    MAPPING,
    NUMERIC,
    REMEDY,
    SAMPLES,
    SET,
    STRING,
    TEXT,
    Shape,
    join,
    list_of,
    mapping,
)
from .values import alternatives, named, short

#: A variable and the keys that are looked up in it.
Chain: TypeAlias = tuple[str, ...]
Names: TypeAlias = dict[str, Shape]

_TYPES: dict[str, type] = {STRING: str, MAPPING: Mapping, LIST: list}
_MANY = frozenset((LIST, SET, MAPPING))
#: What filters, and the methods of text, make; filters that are not here make anything.
_MAKES = {
    **dict.fromkeys(("join", "upper", "lower", "title", "trim", "string", "tojson", "capitalize"), TEXT),
    **dict.fromkeys(("replace", "truncate", "indent"), TEXT),
    **dict.fromkeys(("length", "count", "wordcount", "int", "float", "round", "abs"), NUMERIC),
}
_KEEPING = ("list", "sort", "reverse", "unique", "select", "reject", "selectattr", "rejectattr")
_CHOOSING = ("first", "last", "min", "max")
#: The tests that ask what a value is.
_TYPE_TESTS = (
    "string", "mapping", "number", "integer", "float", "boolean", "none", "sequence", "iterable", "defined",
    "undefined",
)  # fmt: skip
_PAIRING = ("items", "dictsort")
#: Filters whose first argument names a part of each element; others have it as `attribute`.
_BY_FIRST = ("selectattr", "rejectattr", "groupby", "sum")
#: Filters and tests that also take what is not there.
_OPTIONAL = ("default", "d", "defined", "undefined")
_LOOP = mapping(
    {
        **dict.fromkeys(("index", "index0", "revindex", "revindex0", "length", "depth", "depth0"), NUMERIC),
        **dict.fromkeys(("first", "last"), FLAG),
        **dict.fromkeys(("previtem", "nextitem", "cycle", "changed"), ANY),
    }
)
_OPERATORS: dict[str, type[ast.cmpop]] = {
    "eq": ast.Eq, "ne": ast.NotEq, "gt": ast.Gt, "gteq": ast.GtE, "lt": ast.Lt, "lteq": ast.LtE,
    "in": ast.In, "notin": ast.NotIn,
}  # fmt: skip
_ARITHMETIC: dict[type[nodes.BinExpr], type[ast.operator]] = {
    nodes.Add: ast.Add, nodes.Sub: ast.Sub, nodes.Mul: ast.Mult, nodes.Div: ast.Div,
    nodes.FloorDiv: ast.FloorDiv, nodes.Mod: ast.Mod, nodes.Pow: ast.Pow,
}  # fmt: skip


def find_wrong(
    text: str, shapes: Mapping[str, Shape], states: Iterable[str] = ()
) -> Iterator[tuple[int, str]]:
    """What cannot be there, and what cannot be done with the values, with their lines.

    `states` are the variables of which an author may declare more keys.
    """
    reading = _Reading(shapes, frozenset(states))
    reading.go_through(_tree(text).body)
    return iter(dict.fromkeys(reading.wrong))


class _UnknownError(Exception):
    """It is not known what a variable can be."""


class _Reading(Inference):
    """Goes through a template. It writes its parts as those of an expression, and infers what they are.

    Parts that no expression has, such as filters, become names there: `state.n | length` is one.
    """

    def __init__(self, shapes: Mapping[str, Shape], states: frozenset[str]) -> None:
        super().__init__("", dict(shapes), Events({}, TEXT, TEXT, list_of(TEXT)))
        self.states = states
        self.wrong: list[tuple[int, str]] = []
        self.work = Budget()

    def where(self, node: ast.AST) -> str:
        return f"'{short(ast.unparse(node))}'"

    def look_up(self, shape: Shape, key: Shape, node: ast.expr) -> Shape:
        try:
            return super().look_up(shape, key, node)
        except Misfit as error:
            declared = any(isinstance(part, ast.Name) and part.id in self.states for part in ast.walk(node))
            what = str(error) if declared else str(error).removesuffix(f"; {REMEDY}")
            raise Misfit(what) from None

    def check_membership(self, left: Shape, right: Shape, node: ast.expr, container: ast.expr) -> None:
        if MAPPING not in right.kinds:  # which may be asked for any key
            super().check_membership(left, right, node, container)

    # -- statements --

    def go_through(self, body: Iterable[nodes.Node]) -> None:
        """Go through statements. What they set is known behind them."""
        for node in body:
            match node:
                case nodes.For(target=target, iter=many, body=inner, else_=otherwise, test=test):
                    loop = {**self.names, **_bound(target, self.read(many).item), "loop": _LOOP}
                    tests = [] if test is None else [test]
                    self.inside([*tests, *inner], _untyped(loop, tests))
                    self.inside(otherwise, self.names)
                case nodes.If(test=test, body=inner, elif_=others, else_=otherwise):
                    self.read(test)
                    for part in (inner, others, otherwise):
                        self.inside(part, _untyped(self.names, [test]))
                    self.names = {**self.names, **_set_in(node)}
                case nodes.Assign(target=target, node=value):
                    self.names = {**self.names, **_bound(target, self.read(value))}
                case nodes.With(targets=targets, values=values, body=inner):
                    given = [_bound(*one) for one in zip(targets, map(self.read, values), strict=True)]
                    self.inside(inner, functools.reduce(dict.__or__, given, self.names))
                case nodes.Expr():
                    self.read(node)
                case _:
                    self.inside(node.iter_child_nodes(), {**self.names, **_set_in(node)})
                    if isinstance(node, nodes.AssignBlock):
                        self.names = {**self.names, **_bound(node.target, ANY)}

    def inside(self, body: Iterable[nodes.Node], names: Names) -> None:
        """Go through what has variables of its own."""
        before, self.names = self.names, names
        self.go_through(body)
        self.names = before

    def read(self, node: nodes.Node) -> Shape:
        """What an expression comes to. Notes what is wrong with it."""
        shape = self.eval(self.written(node))
        found, self.found = self.found, []
        self.wrong += [(node.lineno, what) for what in found] or self.tried(node)
        return shape

    # -- expressions --

    def written(self, node: nodes.Node) -> ast.expr:
        """A part of a template as that of an expression."""
        match node:
            case nodes.Filter(name=name, node=inner) if name.startswith("@") or inner is None:
                return self.written(inner) if inner is not None else ast.Constant("")
            case nodes.Name(name=name):
                return ast.Name(name)
            case nodes.Const(value=value) | nodes.TemplateData(data=value):
                return ast.Constant(value)
            case (
                nodes.Getattr(node=inner, attr=key)
                | nodes.Getitem(node=inner, arg=nodes.Const(value=str(key)))
            ):
                return ast.Attribute(self.written(inner), key)
            case nodes.Getitem(node=inner, arg=nodes.Slice()):
                return ast.Subscript(self.written(inner), ast.Slice())
            case nodes.Getitem(node=inner, arg=key):
                return ast.Subscript(self.written(inner), self.written(key))
            case nodes.Compare(expr=left, ops=ops):
                operators = [_OPERATORS[one.op]() for one in ops]
                return ast.Compare(self.written(left), operators, [self.written(one.expr) for one in ops])
            case nodes.Not(node=inner):
                return ast.UnaryOp(ast.Not(), self.written(inner))
            case nodes.Neg(node=inner) | nodes.Pos(node=inner):
                return ast.UnaryOp(ast.USub(), self.written(inner))
            case nodes.BinExpr(left=left, right=right) if type(node) in _ARITHMETIC:
                return ast.BinOp(self.written(left), _ARITHMETIC[type(node)](), self.written(right))
            case nodes.List(items=items) | nodes.Tuple(items=items):
                return ast.List([self.written(one) for one in items])
            case nodes.Dict(items=items):
                keys = [self.written(one.key) for one in items]
                return ast.Dict(list(keys), [self.written(one.value) for one in items])
            case nodes.And(left=left, right=right) | nodes.Or(left=left, right=right):
                return self.conditional(left, type(node).__name__.lower(), [right])
            case nodes.CondExpr(test=test, expr1=first, expr2=second):
                return self.conditional(test, "if", [first] if second is None else [first, second])
            case nodes.Filter(node=nodes.Expr() as inner) | nodes.Test(node=inner):
                return self.filtered(node, inner)
            case nodes.Call():
                return self.called(node)
        for child in node.iter_child_nodes():
            self.eval(self.written(child))
        return self.named(type(node).__name__.lower(), ANY)

    def named(self, text: str, shape: Shape) -> ast.Name:
        """A name that stands for a part of the template."""
        self.names = {**self.names, text: shape}
        return ast.Name(text)

    def conditional(self, test: nodes.Expr, word: str, parts: list[nodes.Expr]) -> ast.expr:
        """What depends on a condition, which may ask for what a variable is."""
        condition = self.written(test)
        shape, names = self.eval(condition), self.names
        self.names = _untyped(names, [test])
        shapes = [self.eval(self.written(part)) for part in parts]
        self.names = names
        if word != "if":
            shapes.append(shape)
        elif len(parts) == 1:
            shapes.append(TEXT)
        return self.named(f"{ast.unparse(condition)} {word} …", join(shapes))

    def filtered(self, node: nodes.Filter | nodes.Test, inner: nodes.Expr) -> ast.expr:
        """The value of a filter or a test."""
        value = self.written(inner)
        shape = self.eval_optional(value) if node.name in _OPTIONAL else self.eval(value)
        given = [self.eval(self.written(one)) for one in node.args]
        keywords = {str(one.key): one.value for one in node.kwargs}
        for one in keywords.values():
            self.eval(self.written(one))
        text = f"{ast.unparse(value)} {'is' if isinstance(node, nodes.Test) else '|'} {node.name}"
        if isinstance(node, nodes.Test):
            return self.named(text, FLAG)
        first = node.args[0] if node.args and node.name in _BY_FIRST else None
        by, sure = keywords.get("attribute") or first, "default" not in keywords and len(node.args) < 2
        if isinstance(by, nodes.Const) and isinstance(by.value, str) and sure and shape.kinds <= _MANY:
            for path in by.value.split(","):
                part: ast.expr = self.named(f"each of {ast.unparse(value)}", shape.item)
                for key in path.strip().split("."):
                    part = (
                        ast.Subscript(part, ast.Constant(int(key)))
                        if key.isdigit()
                        else ast.Attribute(part, key)
                    )
                self.eval(part)
        return self.named(text, _made_by(node.name, shape, given))

    def eval_optional(self, node: ast.expr) -> Shape:
        """What something comes to whose last key may be missing."""
        if not isinstance(node, ast.Attribute):
            return self.eval(node)
        shape = self.eval(node.value)
        try:
            return shape.find(node.attr)
        except Misfit:
            return ANY

    def called(self, node: nodes.Call) -> ast.expr:
        """The value of a call."""
        for given in (*node.args, *(one.value for one in node.kwargs)):
            self.eval(self.written(given))
        if not isinstance(node.node, nodes.Getattr):
            function = self.written(node.node)
            counts = isinstance(function, ast.Name) and function.id == "range"
            self.eval(function)
            return self.named(f"{ast.unparse(function)}(…)", list_of(NUMERIC) if counts else ANY)
        owner, method = self.written(node.node.node), node.node.attr
        shape, made = self.eval(owner), ANY
        kinds = shape.kinds
        methods = [name for kind in kinds for name in METHODS.get(_TYPES.get(kind, object), ())]
        if kinds != ANY.kinds and method not in (*methods, *shape.keys):
            what = f"has no method {named(method)}{alternatives(method, methods, 'it has')}"
            self.found.append(f"{self.where(owner)} is {' or '.join(sorted(kinds))}, which {what}")
        elif kinds == {MAPPING} and method not in shape.keys:
            made = _made_by(method, shape, ()) if method in ("items", "keys", "values") else ANY
        elif kinds == {STRING}:
            made = _MAKES.get(method, ANY)
        return self.named(f"{ast.unparse(owner)}.{method}(…)", made)

    # -- samples --

    def tried(self, node: nodes.Node) -> Iterator[tuple[int, str]]:
        """What goes wrong when a part is computed from samples; where there are none, in its own parts."""
        values: dict[str, Any] = {}
        chains = set(_leaves(node)) - {(name,) for name in SANDBOX.globals if name not in self.names}
        try:
            if not isinstance(node, nodes.Expr) or isinstance(node, (nodes.Literal, nodes.Slice)):
                raise _UnknownError
            if isinstance(node, nodes.Filter) and node.node is None:  # that of a block
                raise _UnknownError
            for chain in sorted(chains):
                self.put(values, chain)
        except _UnknownError:
            for child in node.iter_child_nodes():
                yield from self.tried(child)
            return
        if _chain(node):
            return
        try:
            rendered(_compiled(node), values, self.work)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            # A sample has the right type, but not the value that a filter may need.
            if not chains or isinstance(error, TypeError):
                read = " and ".join(repr(".".join(chain)) for chain in sorted(chains))
                yield node.lineno, f"{type(error).__name__}: {error}" + (f" (for {read})" if read else "")
        except (TemplateError, LookupError, ArithmeticError, Misfit):
            return

    def put(self, values: dict[str, Any], chain: Chain) -> None:
        """Put a value that fits its shape where a chain leads to. Raises `_UnknownError`."""
        shape = self.names.get(chain[0], ANY)
        try:
            for key in chain[1:]:
                shape = shape.find(key)
        except Misfit as error:
            raise _UnknownError from error
        *before, last = chain
        for key in before:
            values = values.setdefault(key, {})
        values.setdefault(last, _sample(shape))


def _made_by(name: str, shape: Shape, given: Sequence[Shape]) -> Shape:
    """What a filter, or a method of a mapping, makes of a value."""
    many = shape.kinds <= _MANY
    if name in ("default", "d"):
        return join([shape, *given[:1]]) if given else shape | TEXT
    if name in _PAIRING and shape.kinds == {MAPPING}:
        key, value = shape.item, _values_of(shape)
        return list_of(Shape(frozenset((LIST,)), keys={"0": key, "1": value}, items=key | value))
    if name == "values":
        return list_of(_values_of(shape))
    if name == "keys" or (name in _KEEPING and many):
        return list_of(shape.item)
    if name in _CHOOSING and many:
        return shape.item
    return NUMERIC if name == "sum" and len(given) < 2 else _MAKES.get(name, ANY)


def _values_of(shape: Shape) -> Shape:
    return join([*shape.keys.values(), *([shape.others] if shape.others else [])])


def _bound(target: nodes.Node, shape: Shape) -> Names:
    """The variables that are set to a value, which several take apart."""
    if isinstance(target, nodes.Name):
        return {target.name: shape}
    if not isinstance(target, nodes.Tuple):
        return {}
    parts = [
        shape.keys.get(str(index), ANY if MAPPING in shape.kinds else shape.item)
        for index, _ in enumerate(target.items)
    ]
    return functools.reduce(dict.__or__, map(_bound, target.items, parts), {})


def _set_in(node: nodes.Node) -> Names:
    """The variables that something inside of a statement sets, to what is not known."""
    names = {one.name for one in node.find_all(nodes.Name) if one.ctx != "load"}
    return dict.fromkeys(
        names | {one.name for one in [node, *node.find_all(nodes.Macro)] if isinstance(one, nodes.Macro)}, ANY
    )


def _untyped(names: Names, conditions: Iterable[nodes.Node]) -> Names:
    """The variables where conditions ask what some of them are: these can be anything."""
    tests = [test for one in conditions for test in _all(one) if isinstance(test, nodes.Test)]
    asked = [test.node for test in tests if test.name in _TYPE_TESTS and isinstance(test.node, nodes.Name)]
    return {**names, **{one.name: ANY for one in asked}}


def _all(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    yield from node.find_all(nodes.Node)


def _sample(shape: Shape) -> Any:
    if len(shape.kinds) != 1 or shape.loose:
        raise _UnknownError
    (kind,) = shape.kinds
    if kind == STRING and shape.strings:
        return min(shape.strings)
    if kind == LIST and shape.items is not None and not shape.keys:
        return [_sample(shape.items)]
    if kind == MAPPING and shape.others is None:
        return {key: _sample(part) for key, part in shape.keys.items()}
    if kind not in SAMPLES:
        raise _UnknownError
    return SAMPLES[kind]


def _chain(node: nodes.Node) -> Chain:
    """A variable and keys, if a part is nothing else."""
    match node:
        case nodes.Name(name=name):
            return (name,)
        case nodes.Getattr(node=inner, attr=key) | nodes.Getitem(node=inner, arg=nodes.Const(value=str(key))):
            before = _chain(inner)
            return (*before, key) if before else ()
    return ()


def _leaves(node: nodes.Node) -> Iterator[Chain]:
    """The chains in a part of a template."""
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
        for child in (node.node.node, *node.args, *node.kwargs):
            yield from _leaves(child)
    elif found := _chain(node):
        yield found
    else:
        for child in node.iter_child_nodes():
            yield from _leaves(child)


@functools.lru_cache(maxsize=512)
def _tree(text: str) -> nodes.Template:
    return SANDBOX.parse(text)


@functools.lru_cache(maxsize=4096)
def _compiled(part: nodes.Expr) -> Template:
    if isinstance(part, nodes.Filter) and part.name == "@each":  # what a loop goes through
        part = nodes.Filter(part, "list", [], [], None, None, lineno=part.lineno)
    whole = nodes.Template([nodes.Output([part], lineno=part.lineno)], lineno=1)
    whole.set_environment(SANDBOX)
    with LOCK:
        return Template.from_code(SANDBOX, SANDBOX.compile(whole), dict(SANDBOX.globals))
