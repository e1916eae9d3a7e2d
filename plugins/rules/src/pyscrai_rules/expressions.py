"""What the engines' options are written in: the kernel's expressions, alone or in a text's braces."""

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
    """The expression `source` over `names`. Raises `ValueError` if it is none."""
    return Expression(source, names)


def value_of(given: Any, values: Mapping[str, Any], where: str) -> Any:
    """What an option stands for: text is an expression, and all else stands for itself.

    A function among the `values` is called if an expression uses its name. Raises `ContractError`, which says
    `where`, if there is no value.
    """
    if not isinstance(given, str):
        return given
    expression = compiled(given, frozenset(values))
    used = {name: values[name] for name in expression.uses}
    try:
        return expression.evaluate(**{name: one() if callable(one) else one for name, one in used.items()})
    except ValueError as error:
        raise ContractError(f"{where}: {error}; correct the expression") from None


def filled(text: str, values: Mapping[str, Any], where: str) -> str:
    """`text` with the value of each expression in braces: text as it is, all else as JSON."""

    def fill(match: re.Match[str]) -> str:
        value = value_of(match[1], values, where)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _BRACES.sub(fill, text)


def applies(entry: Any, values: Mapping[str, Any], random: Random, where: str) -> bool:
    """Whether the entry's `when` holds and, drawn only then, its `chance` comes true."""
    holds = entry.when is None or value_of(entry.when, values, f"{where}.when")
    # Random.random() is the one draw that Python promises to keep the same in every version.
    return bool(holds) and (entry.chance >= 1 or random.random() < entry.chance)


# -- validators of options, for attrs; all raise `ValueError` --

is_chance: Any = [validators.ge(0), validators.le(1)]


def is_expression(names: frozenset[str]) -> Callable[[Any, Attribute[Any], Any], None]:
    """Text must be an expression over `names`, as must be the texts in a mapping."""

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        texts = (
            {f".{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {"": value}
        )
        for below, text in texts.items():
            if isinstance(text, str):
                _check(attribute.name + below, text, names)

    return check


def is_text(names: frozenset[str]) -> Callable[[Any, Attribute[Any], Any], None]:
    """What stands in a text's braces must be an expression over `names`, also in a mapping's keys."""

    def check(instance: Any, attribute: Attribute[Any], value: str | Mapping[str, Any]) -> None:
        for text in [value] if isinstance(value, str) else value:
            if set("{}") & set(_BRACES.sub("", text)):
                raise ValueError(f"{attribute.name}: {text!r} has a brace without its partner")
            for part in _BRACES.findall(text):
                _check(attribute.name, part, names)

    return check


def _check(where: str, text: str, names: frozenset[str]) -> None:
    try:
        compiled(text, names)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
