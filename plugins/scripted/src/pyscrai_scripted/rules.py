"""Rules: expressions that compute a reply from a request. Their evaluation is safe and limited."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from simpleeval import (
    DEFAULT_OPERATORS,
    AttributeDoesNotExist,
    EvalWithCompoundTypes,
    FeatureNotAvailable,
    InvalidExpression,
    IterableTooLong,
    NumberTooHigh,
)

from pyscrai_records.base.syntax import parse_expression

#: The variables that a rule can use.
NAMES = frozenset({"agent", "step", "turn", "seed", "last", "schema", "messages"})

#: Text methods whose result is at most about as large as the text.
_TEXT_METHODS = frozenset(
    {
        *(
            "lower",
            "upper",
            "title",
            "capitalize",
            "strip",
            "lstrip",
            "rstrip",
            "removeprefix",
            "removesuffix",
        ),
        *("split", "splitlines", "startswith", "endswith", "find", "count", "isdigit", "isalpha"),
    }
)
_MAX_LENGTH = 10_000
_MAX_WORK = 1_000_000
_MAX_BITS = 1024
_CHARACTERS_PER_WORK = 64


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise FeatureNotAvailable(f"expected a number, not {type(value).__name__}")
    return value


def _numbers_only(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: operation(_number(left), _number(right))


def _sum(values: Iterable[Any]) -> Any:
    return sum(_number(value) for value in values)


def _text(value: Any) -> str:
    # As JSON, because str() of a function contains its address, which differs between processes.
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


#: Without operators that make large values from small rules: text repetition and formatting, powers, shifts.
_OPERATORS = {
    kind: operation
    for kind, operation in DEFAULT_OPERATORS.items()
    if kind not in (ast.Pow, ast.LShift, ast.RShift, ast.MatMult)
} | {kind: _numbers_only(DEFAULT_OPERATORS[kind]) for kind in (ast.Mult, ast.Mod)}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "all": all,
    "any": any,
    "float": float,
    "int": int,
    "len": len,
    "max": max,
    "min": min,
    "round": round,
    "sorted": sorted,
    "str": _text,
    "sum": _sum,
}


class _Evaluator(EvalWithCompoundTypes):  # type: ignore[misc, unused-ignore]
    """simpleeval with changes: attributes are keys or some text methods, no sets, and limited work."""

    def __init__(self) -> None:
        super().__init__(operators=_OPERATORS, functions={})
        self.functions = dict(_FUNCTIONS)
        # The order of a set differs between processes.
        del self.nodes[ast.Set]
        self.work = 0

    def _eval_formattedvalue(self, node: ast.FormattedValue) -> str:
        return _text(self._eval(node.value))

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        value = self._eval(node.value)
        if isinstance(value, dict):
            if node.attr in value:
                return value[node.attr]
            raise AttributeDoesNotExist(node.attr, self.expr)
        if isinstance(value, str) and node.attr in _TEXT_METHODS:
            return getattr(value, node.attr)
        raise FeatureNotAvailable(f".{node.attr} is not available on {type(value).__name__}")

    def _check_disallowed_items(self, item: Any) -> None:
        # simpleeval calls this with every value that it computes. All values are plain data or one of the
        # functions above, so only their size is checked: nesting can double it.
        self.work += 1
        if isinstance(item, str):
            self.work += len(item) // _CHARACTERS_PER_WORK
        elif isinstance(item, int):
            if item.bit_length() > _MAX_BITS:
                raise NumberTooHigh("a number is too large")
        elif isinstance(item, list | tuple):
            for part in item:
                self._check_disallowed_items(part)
        elif isinstance(item, dict):
            for key, part in item.items():
                self._check_disallowed_items(key)
                self._check_disallowed_items(part)
        if self.work > _MAX_WORK:
            raise IterableTooLong("this takes too much work")


class Rule:
    """A parsed rule. Raises `ValueError` if the expression is invalid."""

    def __init__(self, expression: str, option: str = "rule") -> None:
        self._expression, self._option = expression, option
        self._evaluator = _Evaluator()
        self._tree = self._parse(expression)
        #: The variables that the rule uses. Only these need to be computed.
        self.uses = {node.id for node in ast.walk(self._tree) if isinstance(node, ast.Name)} & NAMES

    def _parse(self, expression: str) -> ast.expr:
        if len(expression) > _MAX_LENGTH:
            raise ValueError(
                f"{self._option}: {len(expression)} characters, expected at most {_MAX_LENGTH}; shorten it"
            )
        try:
            tree = parse_expression(expression.strip()).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(
                f"{self._option}: {expression!r} is not an expression: {error}; use Python's syntax"
            ) from None
        nodes = list(ast.walk(tree))
        # Comprehensions bind names. Only their targets have the context Store.
        known = NAMES | _FUNCTIONS.keys() | {"choice"}
        known |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for node in nodes:
            if isinstance(node, ast.Name) and node.id not in known:
                raise ValueError(
                    f"{self._option}: unknown name {node.id!r}, expected one of {', '.join(sorted(known))}"
                )
            if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
                raise ValueError(
                    f"{self._option}: a format after ':' in an f-string is not available; "
                    "use round() or str()"
                )
            kind = type(node)
            if isinstance(node, ast.expr) and kind is not ast.Starred and kind not in self._evaluator.nodes:
                raise ValueError(
                    f"{self._option}: {kind.__name__} is not available; use a simpler expression"
                )
            operator = getattr(node, "op", None)
            if isinstance(node, ast.BinOp | ast.UnaryOp) and type(operator) not in _OPERATORS:
                raise ValueError(f"{self._option}: the operator {type(operator).__name__} is not available")
        return tree

    def evaluate(self, names: Mapping[str, Any], choice: Callable[[list[Any]], Any]) -> Any:
        """The rule's value for these variables. Raises `ValueError` if the evaluation fails."""
        evaluator = self._evaluator
        evaluator.work = 0
        evaluator.names = dict(names)
        evaluator.functions["choice"] = choice
        try:
            return evaluator.eval(self._expression, previously_parsed=self._tree)
        except InvalidExpression as error:
            raise ValueError(str(error)) from error
        except Exception as error:  # the expression may raise any exception
            raise ValueError(f"{type(error).__name__}: {error}") from error
