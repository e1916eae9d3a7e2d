"""Measures of runs, of their texts, networks and turn-taking; and models that judge runs by a rubric."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Judgements, ajudge, judge
    from .measuring import MEASURES, Row, measure

_LAZY = {
    "Judgements": "api",
    "MEASURES": "measuring",
    "Row": "measuring",
    "ajudge": "api",
    "judge": "api",
    "measure": "measuring",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


__all__ = ["MEASURES", "Judgements", "Row", "ajudge", "judge", "measure"]
