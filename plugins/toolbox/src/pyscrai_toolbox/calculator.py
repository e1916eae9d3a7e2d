"""The tool `calculator`: arithmetic with limited work."""

from __future__ import annotations

import ast
import math
import operator
from typing import Annotated, Any

from simpleeval import InvalidExpression, SimpleEval

from pyscrai_core import ToolFailed, tool
from pyscrai_records.base.syntax import parse_expression

MAX_LENGTH = 300
#: The maximum size of an integer, in bits.
MAX_BITS = 4096
#: More digits may differ between machines. (With this limit, 0.1 + 0.2 is 0.3.)
DIGITS = 12
#: The largest integer that JSON represents exactly.
EXACT = 2**53 - 1

TOO_LARGE = "a number becomes too large"


class Mistake(ValueError):
    """An error in an expression. The message is for the author of the expression."""


def _power(base: Any, exponent: Any) -> Any:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and abs(base) > 1 and exponent * base.bit_length() > MAX_BITS:
        raise Mistake(TOO_LARGE)
    result = base**exponent
    if isinstance(result, complex):
        raise Mistake("the root of a negative number is not a number")
    return result


def _round(number: Any, digits: Any = 0) -> Any:
    if not isinstance(digits, int) or abs(digits) > 15:
        raise Mistake("round needs a number and the number of digits to keep, -15 to 15")
    return round(number, digits) if digits else round(number)


FUNCTIONS = {
    "abs": abs, "round": _round, "min": min, "max": max, "floor": math.floor, "ceil": math.ceil,
    "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "log2": math.log2, "log10": math.log10,
    "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "asin": math.asin, "acos": math.acos, "atan": math.atan, "degrees": math.degrees, "radians": math.radians,
}  # fmt: skip
NAMES = {"pi": math.pi, "e": math.e}
OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: _power,
    ast.UAdd: operator.pos, ast.USub: operator.neg,
}  # fmt: skip
_PARTS = (ast.Constant, ast.Name, ast.Call, ast.BinOp, ast.UnaryOp, ast.Load, *OPERATORS)


@tool(external=False)
def calculator(
    expression: Annotated[str, "for example (3 + 4) * 2 ** 3 / sqrt(2); write powers with **"],
) -> float:
    """Compute the value of an arithmetic expression."""
    try:
        return compute(expression)
    except Mistake as mistake:
        raise ToolFailed(f"calculator: {mistake}") from None


def compute(expression: str) -> float:
    """The value of `expression`. Raises `Mistake`."""
    tree = _parse(expression)
    try:
        evaluator = SimpleEval(operators=OPERATORS, functions=FUNCTIONS, names=NAMES)
        return _rounded(evaluator.eval(expression, previously_parsed=tree))
    except Mistake:
        raise
    except ZeroDivisionError:
        raise Mistake("divided by zero") from None
    except OverflowError:
        raise Mistake(TOO_LARGE) from None
    except RecursionError:
        raise Mistake("the expression is nested too deeply; compute its parts separately") from None
    except ValueError:
        # Without Python's message, which may change with its version: a replay needs the same text.
        raise Mistake("this root, logarithm or arc function is not defined for this number") from None
    except (TypeError, InvalidExpression):
        raise Mistake(
            "a function has wrong or missing arguments; expected for example sqrt(2), max(1, 2)"
        ) from None


def _rounded(value: Any) -> float:
    if isinstance(value, int) and abs(value) <= EXACT:
        return value
    value = float(value)
    if not math.isfinite(value):
        raise Mistake(TOO_LARGE)
    return float(f"{value:.{DIGITS}g}") + 0.0  # turns -0.0 into 0.0


def _parse(expression: str) -> ast.expr:
    if len(expression) > MAX_LENGTH:
        raise Mistake(f"{len(expression)} characters, expected at most {MAX_LENGTH}; compute it in parts")
    try:
        tree = parse_expression(expression.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Mistake(f"{expression[:60]!r} is not arithmetic; expected for example (3 + 4) * 2") from None
    for node in ast.walk(tree):
        _check(node)
    return tree


def _check(node: ast.AST) -> None:
    if isinstance(node, ast.BitXor):
        raise Mistake("^ is not a power; use **")
    if isinstance(node, ast.Tuple):
        raise Mistake("commas only separate the arguments of a function; write 1000, not 1,000")
    if isinstance(node, ast.Name) and node.id not in FUNCTIONS.keys() | NAMES.keys():
        raise Mistake(f"there is no {node.id!r}; the names are {', '.join([*NAMES, *FUNCTIONS])}")
    if isinstance(node, ast.Constant) and type(node.value) not in (int, float):
        raise Mistake(f"{node.value!r} is not a number")
    if not isinstance(node, _PARTS):
        raise Mistake("this is not only arithmetic; expected numbers, + - * / // % ** and functions")
