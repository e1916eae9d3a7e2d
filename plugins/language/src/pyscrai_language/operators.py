"""The operators of expressions: what each computes, and what it takes."""

from __future__ import annotations

import ast
import operator
from typing import Any

OPERATORS: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
OPERANDS: dict[type[ast.operator], str] = {
    ast.Add: "two numbers, two strings or two lists",
    ast.Sub: "two numbers or two sets",
    ast.Mult: "two numbers, or a string or list and a whole number",
}
