"""The options of the provider `scripted`. Invalid options raise `ValueError`."""

from __future__ import annotations

import json
import math
from typing import Any, Literal, get_args

from attrs import Attribute, field, frozen

from pyscrai_core import compile_pattern

from .replies import Reply, read_reply
from .rules import Rule

After = Literal["repeat", "last", "error"]
Where = Literal["last", "all"]
Kind = Literal["rate-limit", "overload", "timeout", "reject", "auth", "malformed"]

#: The key for all agents without a list of their own.
EVERYONE_ELSE = "*"


def _one_of(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """An attrs validator for an option that is a `Literal`."""
    choices = get_args({"after": After, "where": Where, "kind": Kind}[attribute.name])
    if value not in choices:
        raise ValueError(f"{attribute.name}: {value!r} is unknown, expected one of {', '.join(choices)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_replies(value: Any, where: str, then: bool = False) -> dict[str, tuple[Reply, ...]]:
    """The lists of replies by agent. A list for all agents has the key `*`. Raises `ValueError`."""
    if isinstance(value, dict):
        lists = {f"{where}.{agent}": (agent, replies) for agent, replies in value.items()}
    else:
        lists = {where: (EVERYONE_ELSE, value)}
    if not lists:
        raise ValueError(f"{where}: it is empty; add at least one reply")
    read = {}
    for place, (agent, replies) in lists.items():
        if not isinstance(agent, str) or not isinstance(replies, list | tuple):
            raise ValueError(
                f"{place}: expected a list of replies, or a mapping from agents' names to such lists"
            )
        if not replies:
            raise ValueError(f"{place}: the list is empty; add at least one reply")
        read[agent] = tuple(
            read_reply(reply, f"{place}[{index}]", then) for index, reply in enumerate(replies)
        )
    return read


def read_odds(value: Any) -> dict[str, float]:
    """The probabilities of options by their texts, lower case. Raises `ValueError`."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f"odds: expected a mapping from options to probabilities, not {value!r}")
    read = {}
    for option, odds in value.items():
        if not _is_number(odds) or not 0 <= odds <= 1:
            raise ValueError(f"odds: {option}: expected a probability from 0 to 1, not {odds!r}")
        text = option if isinstance(option, str) else json.dumps(option)
        read[text.casefold()] = float(odds)
    return read


def read_latency(value: Any) -> tuple[float, float]:
    """The minimum and maximum latency, in seconds. Raises `ValueError`."""
    ends = (value, value)
    if isinstance(value, dict):
        if value.keys() != {"min", "max"}:
            raise ValueError(f"latency: expected seconds, or {{min, max}} in seconds, not {value!r}")
        ends = (value["min"], value["max"])
    if not all(_is_number(end) for end in ends) or not 0 <= ends[0] <= ends[1]:
        raise ValueError(
            f"latency: expected 0 or more seconds, or {{min, max}} with min <= max, not {value!r}"
        )
    return float(ends[0]), float(ends[1])


def read_place(value: Any, where: str) -> tuple[str | None, int | None]:
    """The agent and the turn of an entry of `at`. None means any. Raises `ValueError`."""
    if not isinstance(value, dict):
        value = {"turn": value}
    agent, turn = value.get("agent"), value.get("turn")
    valid_turn = turn is None or (isinstance(turn, int) and not isinstance(turn, bool) and turn >= 0)
    if (
        not value
        or not value.keys() <= {"agent", "turn"}
        or not (agent is None or isinstance(agent, str))
        or not valid_turn
        or (agent is None and turn is None)
    ):
        raise ValueError(f"{where}: expected a turn (counted from 0) or {{agent, turn}}, not {value!r}")
    return agent, turn


@frozen
class Pattern:
    """A reply to requests whose text matches.

    `match` is a regular expression in the dialect of JSON Schema: `\\d` and `\\w` are ASCII (`\\p{L}` is a
    letter of any language), `(?i)` ignores the case, and there are no look-arounds or back-references. It is
    searched in the text of the last message, or of all messages with `where: all`. With `agent`, it only
    applies to that agent.
    """

    match: str = field()
    reply: Any = field()
    agent: str | None = None
    where: Where = field(default="last", validator=_one_of)

    @match.validator
    def _check_match(self, attribute: Attribute[str], value: str) -> None:
        try:
            compile_pattern(value)
        except ValueError as error:
            raise ValueError(f"match: {error}") from None

    @reply.validator
    def _check_reply(self, attribute: Attribute[Any], value: Any) -> None:
        read_reply(value, "reply")


@frozen
class Fault:
    """A failure to inject.

    It affects the calls in `at` (a turn, or `{agent, turn}`; all calls without it) with the probability
    `rate`. Each affected call fails `times` times (-1: always). `retry_after` (seconds) is for
    `rate-limit`.
    """

    kind: Kind = field(validator=_one_of)
    at: list[Any] = field(factory=list)
    rate: float = field(default=1.0)
    times: int = field(default=1)
    retry_after: float | None = field(default=None)

    @at.validator
    def _check_at(self, attribute: Attribute[Any], value: list[Any]) -> None:
        for index, place in enumerate(value):
            read_place(place, f"at[{index}]")

    @rate.validator
    def _check_rate(self, attribute: Attribute[float], value: float) -> None:
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"rate: expected a number from 0 to 1, not {value!r}")

    @times.validator
    def _check_times(self, attribute: Attribute[int], value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or (value < 1 and value != -1):
            raise ValueError(
                f"times: expected how often the call fails: 1 or more, or -1 (always), not {value!r}"
            )

    @retry_after.validator
    def _check_retry_after(self, attribute: Attribute[float | None], value: float | None) -> None:
        if value is None:
            return
        if self.kind != "rate-limit":
            raise ValueError(f"retry_after: it is only for `rate-limit`, not for `{self.kind}`; remove it")
        if not _is_number(value) or value < 0:
            raise ValueError(f"retry_after: expected 0 or more seconds, not {value!r}")


@frozen
class ScriptedConfig:
    """The options of `scripted`: the answers, their latency, and failures.

    The first of these that has an answer is used: `patterns`, `rule`, `replies`, `choice`, `generate`.
    `replies` and `choice` are a list for all agents, or a mapping from agents' names (`*`: all others) to
    lists. `odds` are the probabilities of the options of closed choices, which the kernel draws: a mapping,
    or a rule whose value is one. Raises `ValueError` for a mistake.
    """

    replies: Any = field(default=None)
    after: After = field(default="repeat", validator=_one_of)
    patterns: list[Pattern] = field(factory=list)
    rule: str | None = field(default=None)
    choice: Any = field(default=None)
    odds: Any = field(default=None)
    generate: bool = False
    latency: Any = field(default=0)
    faults: list[Fault] = field(factory=list)
    usage: bool = True

    @replies.validator
    def _check_replies(self, attribute: Attribute[Any], value: Any) -> None:
        if value is not None:
            read_replies(value, "replies", then=True)

    @rule.validator
    def _check_rule(self, attribute: Attribute[str | None], value: str | None) -> None:
        if value is not None:
            Rule(value)

    @choice.validator
    def _check_choice(self, attribute: Attribute[Any], value: Any) -> None:
        if value is not None:
            read_replies(value, "choice")

    @odds.validator
    def _check_odds(self, attribute: Attribute[Any], value: Any) -> None:
        if isinstance(value, str):
            Rule(value, "odds")
        elif value is not None:
            read_odds(value)

    @latency.validator
    def _check_latency(self, attribute: Attribute[Any], value: Any) -> None:
        read_latency(value)

    def __attrs_post_init__(self) -> None:
        sources = {
            "patterns": bool(self.patterns),
            "rule": self.rule is not None,
            "replies": self.replies is not None,
            "choice": self.choice is not None,
            "odds": self.odds is not None,
            "generate": self.generate,
        }
        if not any(sources.values()):
            raise ValueError(
                f"scripted: it has no answers, expected at least one of {', '.join(sources)}; "
                "add for example `replies: [Good morning.]`"
            )
        for name, value, later in (
            ("replies", self.replies, ("choice", "generate")),
            ("choice", self.choice, ("generate",)),
        ):
            if value is None or EVERYONE_ELSE not in read_replies(value, name, then=True):
                continue
            for other in later:
                if sources[other]:
                    raise ValueError(
                        f"{other}: it is never used, because `{name}` has an answer for all agents; "
                        f"remove one of them, or define `{name}` for each agent"
                    )
