"""The scenario as the runtime knows it: checked, complete, and immutable.

Field names are the keys of the file. A scenario can be executed without the file: templates are
merged, populations expanded, and prompts read.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from attrs import evolve, field, frozen

from pyscrai_answers.bounded_answers import MAX_ANSWER_BYTES
from pyscrai_answers.policy import AnswerPolicy
from pyscrai_language.expressions import Expression
from pyscrai_records.records import Sampling

from ..agent import Agent, ToolPolicy, Use, positive
from .quantities import Quantity, Table

#: Kinds that only the kernel writes, with the keys of each payload: a change of the state (`op` is set or
#: add), something tried that was not possible, the use of a tool, and a turn that failed and was skipped.
KERNEL_KINDS = {
    "change": ("path", "op", "value"),
    "rejected": ("kind", "payload", "reason"),
    "tool": ("name", "arguments", "result", "error"),
    "turn.failed": ("error",),
}
#: Kinds that every engine may draft, with the schema of each.
COMMON_KINDS: dict[str, dict[str, Any]] = {
    "say": {
        "type": "object",
        # `truncated`: the words were cut off at `max_tokens`.
        "properties": {"text": {"type": "string"}, "truncated": {"type": "boolean"}},
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
#: The extensions that are used where a scenario names none.
DEFAULT_USES = {"engine": "actor", "memory": "full", "schedule": "round-robin"}


@frozen
class Retry:
    """How long a call is tried: at most `tries` attempts, within `seconds` of its first failure."""

    tries: int = field(default=8, validator=positive)
    seconds: float = field(default=300, validator=positive)


@frozen
class CallPolicy(AnswerPolicy):
    """How a provider may be called, and how its answers are read.

    requests_per_minute, tokens_per_minute, concurrency
        bounds of its account, which all runs of the process share; None: none. Tokens count both ways.
    timeout
        seconds that one attempt may take
    retry
        how long transient errors are retried
    fallback
        the names of the providers that are asked, in this order, when this one fails for good
    draw
        who draws closed choices: the `kernel`, from the probabilities that the provider tells, or the
        `provider`. None: the kernel where the provider tells them
    """

    requests_per_minute: int | None = field(default=None, validator=positive)
    tokens_per_minute: int | None = field(default=None, validator=positive)
    concurrency: int | None = field(default=None, validator=positive)
    timeout: float = field(default=600, validator=positive)
    retry: Retry = Retry()
    fallback: tuple[str, ...] = ()
    max_answer_bytes: int = field(default=MAX_ANSWER_BYTES, validator=positive)
    draw: Literal["kernel", "provider"] | None = None

    def divided(self, processes: int) -> CallPolicy:
        """The same for one of so many processes, which have the bounds of one account together."""
        bounds = ("requests_per_minute", "tokens_per_minute", "concurrency")
        given = {name: getattr(self, name) for name in bounds}
        return evolve(self, **{name: bound and max(1, bound // processes) for name, bound in given.items()})


#: The kernel's parts of the options of a provider, and of a tool.
KERNEL_OPTIONS: dict[str, tuple[type, ...]] = {"provider": (Sampling, CallPolicy), "tool": (ToolPolicy,)}


@frozen
class ProviderUse:
    """An entry of `providers:`; `sampling` and `policy` are the kernel's parts of its options."""

    use: str
    sampling: Sampling
    policy: CallPolicy
    options: dict[str, Any]


@frozen
class Group:
    """A named set of agents with a state that only they (and rules) see."""

    name: str
    members: tuple[str, ...]
    state: dict[str, Any]


@frozen
class Assignment:
    """One assignment of a rule: `path` is fixed text and, in braces, expressions; `value` an expression."""

    path: tuple[str | Expression, ...]
    op: Literal["set", "add"]
    value: Expression
    text: str


@frozen
class Rule:
    """What an event of the kind `on` does to the state, if `when` holds.

    If the rule fails, the run does (`on_error: fail`), or the event is rejected (`reject`). `where` is the
    rule's path in the scenario, `place` its file and line.
    """

    on: str
    when: Expression | None
    assignments: tuple[Assignment, ...]
    on_error: Literal["fail", "reject"]
    where: str
    place: str = field(eq=False)


@frozen
class Limits:
    """What a run may use. None: no bound.

    `money` is in US dollars, `seconds` are those of one execution by the clock, `concurrency` is the number
    of calls at the same time.
    """

    calls: int | None = field(default=None, validator=positive)
    tokens: int | None = field(default=None, validator=positive)
    money: float | None = field(default=None, validator=positive)
    seconds: float | None = field(default=None, validator=positive)
    steps: int | None = field(default=None, validator=positive)
    concurrency: int = field(default=64, validator=positive)


@frozen
class Scenario:
    """A whole scenario. `document` is its resolved plain form, from which it can be made again."""

    name: str
    description: str
    seed: int
    plugins: tuple[str, ...] | None
    premise: str
    state: dict[str, Any]
    providers: dict[str, ProviderUse]
    agents: dict[str, Agent]
    groups: dict[str, Group]
    events: dict[str, dict[str, Any]]
    rules: tuple[Rule, ...]
    schedule: Use
    stop_when: Expression | None
    limits: Limits
    outcomes: dict[str, Quantity]
    measures: dict[str, Quantity]
    tables: dict[str, Table]
    document: dict[str, Any]
