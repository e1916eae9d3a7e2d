"""Expressions in the engines' options: as values, or in braces within texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from random import Random
from typing import Any

from attrs import Attribute, validators

from pyscrai_core import ContractError, Expression

_BRACES = re.compile(r"\{([^{}]*)\}")


@lru_cache(maxsize=2048)
def compiled(source: str, names: frozenset[str]) -> Expression:
    """The expression `source` with the variables `names`. Raises `ValueError` if it is invalid."""
    return Expression(source, names)


def evaluate(given: Any, values: Mapping[str, Any], where: str) -> Any:
    """The value of an option: text is evaluated as an expression, any other value is returned unchanged.

    `values` may contain functions, which are only called if the expression uses their name. Raises
    `ContractError`, which names `where`, if the evaluation fails.
    """
    if not isinstance(given, str):
        return given
    expression = compiled(given, frozenset(values))
    used = {name: values[name] for name in expression.uses}
    try:
        return expression.evaluate(**{name: one() if callable(one) else one for name, one in used.items()})
    except ValueError as error:
        raise ContractError(f"{where}: {error}; correct the expression") from None


def fill_in(text: str, values: Mapping[str, Any], where: str) -> str:
    """`text` with the expressions in braces replaced by their values: texts unchanged, others as JSON."""

    def fill(match: re.Match[str]) -> str:
        value = evaluate(match[1], values, where)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _BRACES.sub(fill, text)


def applies(entry: Any, values: Mapping[str, Any], random: Random, where: str) -> bool:
    """Whether the entry's `when` is true and, drawn only in that case, its `chance` succeeds."""
    holds = entry.when is None or evaluate(entry.when, values, f"{where}.when")
    # Python only guarantees random() to give the same values in every version.
    return bool(holds) and (entry.chance >= 1 or random.random() < entry.chance)


# -- validators for attrs; all raise `ValueError` --

is_chance: Any = [validators.ge(0), validators.le(1)]


def is_expression(names: frozenset[str]) -> Callable[[Any, Attribute[Any], Any], None]:
    """A text, or each text in a mapping, must be an expression with the variables `names`."""

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        texts = (
            {f".{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {"": value}
        )
        for below, text in texts.items():
            if isinstance(text, str):
                _check(attribute.name + below, text, names)

    return check


def is_text(names: frozenset[str]) -> Callable[[Any, Attribute[Any], Any], None]:
    """The braces in a text, or in a mapping's keys, must contain expressions with the variables `names`."""

    def check(instance: Any, attribute: Attribute[Any], value: str | Mapping[str, Any]) -> None:
        for text in [value] if isinstance(value, str) else value:
            if set("{}") & set(_BRACES.sub("", text)):
                raise ValueError(f"{attribute.name}: {text!r} has an unmatched brace")
            for part in _BRACES.findall(text):
                _check(attribute.name, part, names)

    return check


def _check(where: str, text: str, names: frozenset[str]) -> None:
    try:
        compiled(text, names)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
