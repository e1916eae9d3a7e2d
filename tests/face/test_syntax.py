"""Python's parser is used by one thread at a time."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pyscrai_core import Expression, Prompt
from pyscrai_language.sandbox import SANDBOX
from pyscrai_records.base.syntax import LOCK


def _held() -> bool:
    """Whether another thread has to wait for the lock."""
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(LOCK.acquire(blocking=False)))
    thread.start()
    thread.join()
    return got == [False]


def _template() -> None:
    Prompt("{{ name }} of test_syntax", "", frozenset({"name"})).render(name="a")


@pytest.mark.parametrize(
    ("where", "name", "use"),
    [
        (ast, "parse", lambda: Expression("name == 'test_syntax'", {"name"})),
        (type(SANDBOX), "compile", _template),
    ],
)
def test_a_syntax_tree_is_made_by_one_thread_at_a_time(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, use: Callable[[], object]
) -> None:
    plain, held = getattr(where, name), []

    def watched(*args: Any, **kwargs: Any) -> Any:
        held.append(_held())
        return plain(*args, **kwargs)

    monkeypatch.setattr(where, name, watched)
    use()
    assert held
    assert all(held)
