"""Measures of runs: of texts, of networks and of turn-taking."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .measuring import MEASURES, Row, measure

_LAZY = {"MEASURES": "measuring", "Row": "measuring", "measure": "measuring"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


__all__ = ["MEASURES", "Row", "measure"]
