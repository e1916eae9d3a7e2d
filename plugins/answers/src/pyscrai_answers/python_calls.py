"""Tool calls in Python's form, with plain values."""

from __future__ import annotations

import ast
import re
from typing import Any

from pyscrai_records.base.syntax import parse_module
from pyscrai_records.messages import ToolCall

#: The longest call in Python's form, in characters.
MAX_PYTHON = 10_000

_PYTHON = re.compile(r"\[?\s*(?:print\(\s*)?([\w.]{1,100})\s*\(\s*(?:\w{1,100}\s*=|[\"')])")
_FENCE = re.compile(r"\s*(?:```(?:\w{1,20})?\s(.*)```|`([^`\n]*)`)\s*", re.DOTALL)


def python_in(text: str) -> tuple[str, str] | None:
    """The name of the first call in Python's form that a text is, and the calls without a fence.

    That is also the form of a stage direction: it is a call only if such a tool is offered.
    """
    bare = unfenced(text)
    found = _PYTHON.match(bare) if len(bare) <= MAX_PYTHON and bare.endswith((")", ")]")) else None
    return (found[1].removesuffix(".call"), bare) if found is not None else None


def unfenced(text: str) -> str:
    """A text without the fence that it may be in."""
    fenced = _FENCE.fullmatch(text)
    return (text if fenced is None else fenced[1] or fenced[2] or "").strip()


def python_calls(text: str) -> list[ToolCall]:
    """The calls in Python's form with plain values; none if there is anything else."""
    try:
        nodes = [part.value for part in _module(text).body if isinstance(part, ast.Expr)]
        listed = [each for one in nodes for each in (one.elts if isinstance(one, ast.List) else [one])]
        return [_python_call(node) for node in listed]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return []


def literal(text: str) -> Any:
    """The value that a text is in Python's form, such as `{'of': 'apples'}`; None if it is none."""
    try:
        (part,) = _module(text).body
        return ast.literal_eval(part.value) if isinstance(part, ast.Expr) else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _module(text: str) -> ast.Module:
    """The expressions in a text. Raises `ValueError` for anything else, and for a key that stands twice."""
    if len(text) > MAX_PYTHON:
        raise ValueError("too long")
    tree = parse_module(text)
    if not all(isinstance(part, ast.Expr) for part in tree.body):
        raise ValueError("no expressions")
    for node in ast.walk(tree):
        keys = [ast.dump(key) for key in node.keys if key] if isinstance(node, ast.Dict) else []
        if len(set(keys)) < len(keys):
            raise ValueError("a key stands twice")
    return tree


def _python_call(node: ast.expr) -> ToolCall:
    """A call. Raises `ValueError` if it is none, or none with plain values."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
        node = node.args[0] if len(node.args) == 1 else node
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("no call with named arguments")
    given = {str(one.arg): ast.literal_eval(one.value) for one in node.keywords if one.arg}
    if len(given) != len(node.keywords):
        raise ValueError("an argument without a name")
    return ToolCall("", ast.unparse(node.func).removesuffix(".call"), given)
