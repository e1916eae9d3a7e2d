"""Expressions in the engines' options: as values, or in braces within texts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from random import Random
from typing import Any

from attrs import Attribute, validators

from pyscrai_core import ContractError, Engine, Event, Expression, Turn

_BRACES = re.compile(r"\{([^{}]*)\}")


@lru_cache(maxsize=2048)
def compiled(source: str, names: frozenset[str]) -> Expression:
    """The expression `source` with the variables `names`. Raises `ValueError` if it is invalid."""
    return Expression(source, names)


class Failed(Exception):
    """The expression of an `option` cannot be evaluated; the message says why."""

    def __init__(self, what: object, *option: str | int) -> None:
        super().__init__(str(what))
        self.option = option


@contextmanager
def author_mistakes(engine: Engine, turn: Turn, about: Event | None = None) -> Iterator[None]:
    """Raise `ContractError` for an expression that fails, with its place; `about`: on what it failed."""
    try:
        yield
    except Failed as error:
        path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.option)
        written = ".".join(map(str, ("agents", turn.agent.name, "engine", *error.option)))
        event = "" if about is None else f"; on {about.describe()[:200]}"
        raise ContractError(
            f"{engine.place_of(*error.option)}: {path[1:]}: {error}{event}; correct it, and run "
            f"it again, or from an earlier event on: pyscrai fork RUN --at SEQ --set {written}=…"
        ) from None


def evaluate(given: Any, values: Mapping[str, Any], *option: str | int) -> Any:
    """The value of an option: text is evaluated as an expression, any other value is returned unchanged.

    `values` may contain functions, which are only called if the expression uses their name. Raises
    `Failed`, which names the `option`, if the evaluation fails.
    """
    if not isinstance(given, str):
        return given
    expression = compiled(given, frozenset(values))
    used = {name: values[name] for name in expression.uses}
    try:
        return expression.evaluate(**{name: one() if callable(one) else one for name, one in used.items()})
    except ValueError as error:
        raise Failed(error, *option) from None


def fill_in(text: str, values: Mapping[str, Any], *option: str | int) -> str:
    """`text` with the expressions in braces replaced by their values: texts unchanged, others as JSON."""

    def fill(match: re.Match[str]) -> str:
        value = evaluate(match[1], values, *option)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _BRACES.sub(fill, text)


def applies(entry: Any, values: Mapping[str, Any], random: Random, *option: str | int) -> bool:
    """Whether the entry's `when` is true and, drawn only in that case, its `chance` succeeds."""
    holds = entry.when is None or evaluate(entry.when, values, *option, "when")
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
