"""Python's parser is used by one thread at a time."""

from __future__ import annotations

import ast
import threading
import warnings

#: Held by whatever makes a syntax tree: in CPython 3.11, of two threads that do so, one may fail.
LOCK = threading.RLock()


def parse_module(text: str) -> ast.Module:
    """The syntax tree of statements. Raises what `ast.parse` raises, and warns of nothing."""
    with LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def parse_expression(text: str) -> ast.Expression:
    """The same of an expression."""
    with LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text, mode="eval")
