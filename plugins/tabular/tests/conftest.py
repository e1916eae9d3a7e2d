"""A schedule, so that the tests need no plugin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pyscrai_core import Schedule


class InTurn(Schedule):
    async def next(self, stage: Any) -> Sequence[str]:
        waiting = [name for name in stage.agents if name not in {event.source for event in stage.log}]
        return waiting[:1]


@pytest.fixture
def in_turn() -> type:
    """Each agent acts once, one after the other."""
    return InTurn
