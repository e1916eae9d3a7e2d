"""The effects of factors: main effects and interactions, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .collect import Collected
from .experiment import Experiment
from .outcomes import Resolved


def effects_of(experiment: Experiment, data: Collected, outcomes: Sequence[Resolved]) -> list[dict[str, Any]]:
    """For each number or proportion among the outcomes: what each factor, and each pair of them, does."""
    return []
