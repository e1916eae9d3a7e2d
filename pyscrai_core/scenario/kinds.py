"""The kinds of events that every scenario knows, and the names that its expressions may use."""

from __future__ import annotations

import re
from typing import Any

#: Kinds that only the kernel writes.
KERNEL_KINDS = {
    "change": "a change of the state: `path`, `op` (set or add), `value`",
    "rejected": "something tried that was not possible: `kind`, `payload`, `reason`",
    "tool": "the use of a tool: `name`, `arguments`, and `result` or `error`",
    "turn.failed": "a turn that failed and was skipped (`on_error: skip`): `error`",
}
#: Kinds that every engine may draft, with the schema of each.
COMMON_KINDS: dict[str, dict[str, Any]] = {
    "say": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
    # For the researcher: memories leave it out, and `audience=()` keeps it from all others.
    "thought": {
        "type": "object",
        "properties": {"text": {"type": "string"}, "by": {"type": "string"}},
        "required": ["text"],
    },
}
#: What a kind of events may be called.
KIND = re.compile(r"[a-z][a-z0-9_.-]*", re.IGNORECASE)
#: The names that guards and rules may use.
RULE_NAMES = ("state", "self", "agents", "groups", "event", "step")
#: The names that `stop_when` and outcomes may use.
RUN_NAMES = ("state", "agents", "groups", "events", "step")
