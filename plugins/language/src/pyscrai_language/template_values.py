"""What a template does with variables of which only the shapes are known, and what is certain to be wrong.

It goes through all parts of a template, also through those that a condition may leave out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from jinja2 import TemplateError, nodes
from jinja2.environment import Template

from pyscrai_records.base.syntax import LOCK

from .misfit import Misfit
from .sandbox import METHODS, SANDBOX, Budget, rendered
from .shapes import ANY, LIST, MAPPING, SAMPLES, STRING, Shape
from .values import alternatives, named

#: A variable and the keys that are looked up in it.
Chain: TypeAlias = tuple[str, ...]
_Reads: TypeAlias = tuple[
    list[tuple[int, Chain]], list[tuple[int, Chain, str]], list[tuple[int, frozenset[Chain], Template]]
]
_TYPES: dict[str, type] = {STRING: str, MAPPING: Mapping, LIST: list}


def find_wrong(text: str, shapes: Mapping[str, Shape]) -> Iterator[tuple[int, str]]:
    """The keys that cannot be there, and what cannot be done with the values, with their lines."""
    reads, calls, parts = _read(text)
    for line, (name, *keys) in reads:
        shape, read = shapes.get(name, ANY), name
        for key in keys:
            try:
                shape, read = shape.find(key), f"{read}.{key}"
            except Misfit as error:
                yield line, f"{read!r} {error}"
                break
    for line, chain, method in calls:
        try:
            kinds = _find(chain, shapes).kinds
        except _UnknownError:
            continue
        methods = [name for kind in kinds for name in METHODS.get(_TYPES.get(kind, object), ())]
        if kinds != ANY.kinds and method not in methods:
            what = f"has no method {named(method)}{alternatives(method, methods, 'it has')}"
            yield line, f"{'.'.join(chain)!r} is {' or '.join(sorted(kinds))}, which {what}"
    work = Budget()
    for line, chains, template in parts:
        values: dict[str, Any] = {}
        try:
            for chain in sorted(chains):
                _put(values, chain, shapes)
            rendered(template, values, work)
        except _UnknownError:
            continue
        except (TypeError, ValueError, ZeroDivisionError) as error:
            # A sample has the right type, but not the value that a filter may need.
            if not chains or isinstance(error, TypeError):
                read = " and ".join(repr(".".join(chain)) for chain in sorted(chains))
                yield line, f"{type(error).__name__}: {error}" + (f" (for {read})" if read else "")
        except (TemplateError, LookupError, ArithmeticError, Misfit):
            continue


class _UnknownError(Exception):
    """It is not known what a variable can be."""


def _find(chain: Chain, shapes: Mapping[str, Shape]) -> Shape:
    """The shape of what a chain leads to. Raises `_UnknownError`."""
    shape = shapes.get(chain[0], ANY)
    try:
        for key in chain[1:]:
            shape = shape.find(key)
    except Misfit as error:
        raise _UnknownError from error
    return shape


def _put(values: dict[str, Any], chain: Chain, shapes: Mapping[str, Shape]) -> None:
    """Put a value that fits its shape where a chain leads to. Raises `_UnknownError`."""
    sample = _sample(_find(chain, shapes))
    *before, last = chain
    for key in before:
        values = values.setdefault(key, {})
    values.setdefault(last, sample)


def _sample(shape: Shape) -> Any:
    if len(shape.kinds) != 1 or shape.loose:
        raise _UnknownError
    (kind,) = shape.kinds
    if kind == STRING and shape.strings:
        return min(shape.strings)
    if kind == LIST and shape.items is not None:
        return [_sample(shape.items)]
    if kind == MAPPING and shape.others is None:
        return {key: _sample(part) for key, part in shape.keys.items()}
    if kind not in SAMPLES:
        raise _UnknownError
    return SAMPLES[kind]


@functools.lru_cache(maxsize=512)
def _read(text: str) -> _Reads:
    """The keys that a template looks up and that must be there, the methods that it calls, and the parts that
    can be computed by themselves, with what they look up.
    """
    tree = SANDBOX.parse(text)
    bound = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    optional: set[int] = set()
    for node in tree.find_all((nodes.Test, nodes.Filter)):
        if node.name in ("defined", "undefined", "default", "d"):
            optional.add(id(node.node))
    methods = {id(node.node) for node in tree.find_all(nodes.Call)}

    def chain(node: Any) -> Chain:
        match node:
            case nodes.Name(name=name) if name not in bound:
                return (name,)
            case nodes.Getattr() if id(node) in methods:
                return ()
            case (
                nodes.Getattr(node=inner, attr=key)
                | nodes.Getitem(node=inner, arg=nodes.Const(value=str(key)))
            ):
                before = chain(inner)
                return (*before, key) if before else ()
        return ()

    def leaves(node: nodes.Node) -> Iterator[Chain]:
        """The chains in a part of the template; an empty one stands for what is bound by the template."""
        if found := chain(node):
            yield found
        elif isinstance(node, nodes.Name):
            yield ()
        else:
            for child in node.iter_child_nodes():
                yield from leaves(child)

    def parts(node: nodes.Node) -> Iterator[nodes.Expr]:
        """The largest parts that can be computed by themselves."""
        for child in node.iter_child_nodes():
            if not isinstance(child, nodes.Expr) or () in set(leaves(child)):
                yield from parts(child)
            elif not isinstance(child, nodes.Literal) and not chain(child):
                yield child

    found = [
        (node.lineno, chain(node))
        for node in tree.find_all((nodes.Getattr, nodes.Getitem))
        if id(node) not in optional
    ]
    computed = [
        (part.lineno, frozenset(leaves(part)) - {(name,) for name in SANDBOX.globals}, _compiled(part))
        for part in parts(tree)
    ]
    calls = [
        (node.lineno, chain(node.node.node), node.node.attr)
        for node in tree.find_all(nodes.Call)
        if isinstance(node.node, nodes.Getattr)
    ]
    return list(dict.fromkeys(one for one in found if one[1])), [one for one in calls if one[1]], computed


def _compiled(part: nodes.Expr) -> Template:
    if isinstance(part, nodes.Filter) and part.name == "@each":  # what a loop goes through
        part = nodes.Filter(part, "list", [], [], None, None, lineno=part.lineno)
    whole = nodes.Template([nodes.Output([part], lineno=part.lineno)], lineno=1)
    whole.set_environment(SANDBOX)
    with LOCK:
        return Template.from_code(SANDBOX, SANDBOX.compile(whole), dict(SANDBOX.globals))
