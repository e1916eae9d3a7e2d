"""Tools that must not be called twice, and of which nobody knows whether they acted."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from pyscrai_records.canonical import canonical
from pyscrai_records.errors import ToolFailed, Uncertain

from ..agent import OnUncertain
from .call import Call


def check_decision(decision: OnUncertain, before: Call, call: Call, others: Sequence[str]) -> None:
    """Raise `ToolFailed` or `Uncertain` if a call that may have acted already is not made again.

    `before` is the journaled one; `others` are further calls that are undecided, as text.
    """
    if decision == "retry":
        return
    unknown = "it was being called when the run ended, and its answer is not known"
    what = f"failed: {before.failure}" if before.status == "open" else unknown
    asked = orjson.loads(call.body)
    name, arguments = asked["tool"], canonical(asked["arguments"]).decode()
    if decision == "skip":
        raise ToolFailed(f"tool {name}: {what}; it was not called again")
    more = f"; undecided as well, and decided with it: {'; '.join(others)}" if others else ""
    raise Uncertain(
        f"call {call.position.path}: the tool {name} must not be called twice, and {what}; its "
        f"arguments were {arguments}{more}; look whether it acted, then: pyscrai resume RUN "
        "--on-uncertain retry (call it again) or --on-uncertain skip (the agent is told that it failed)"
    )
