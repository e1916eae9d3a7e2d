"""The spans of one execution: run, steps, turns, and what turns call.

A span is made when it ends, with both of its times. Of a run that is executed again from its record, only
what is new is sent: calls that are made, and the turns and steps in which they are.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

Attributes = dict[str, Any]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_FAILED, _FINE = Status(StatusCode.ERROR), Status(StatusCode.UNSET)


def trace_of(run: str) -> tuple[int, int]:
    """The ids of the trace and of the root span of a run's first execution: they follow from its id."""
    digest = hashlib.sha256(f"pyscrai run {run}".encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


@frozen
class Sender:
    """What spans are made with, and where they go. `wants` says whether the next one is to be made."""

    resource: Resource
    scope: InstrumentationScope
    send: Callable[[ReadableSpan], None]
    wants: Callable[[], bool]


@define(eq=False)
class Open:
    """A span that has not ended: its id, that of what it is part of, and when it began, in nanoseconds.

    `live` says whether it is sent: something happens in it that is not only a repetition of what is recorded.
    """

    id: int
    parent: Open | None
    began: int
    live: bool = True
    last: int = 0
    events: list[Event] = field(factory=list)
    attributes: Attributes = field(factory=dict)

    def become_live(self) -> None:
        """It is sent, and so is what it is part of."""
        one: Open | None = self
        while one is not None and not one.live:
            one.live = True
            one = one.parent

    def note(self, name: str, attributes: Attributes) -> None:
        """Add a span event that happens now."""
        self.events.append(Event(name, attributes, time.time_ns()))


class Trace:
    """The trace of an execution. Its root span begins at once."""

    def __init__(self, sender: Sender, run: str, *, first: bool, follows: str = "") -> None:
        self._sender = sender
        if first:
            self.id, root = trace_of(run)
        else:
            self.id, root = random.getrandbits(128) or 1, _span_id()
        self._links: tuple[Link, ...] = ()
        if follows:
            # A later execution is a trace of its own, with a link to the first one's root.
            trace, span = trace_of(follows)
            self._links = (Link(SpanContext(trace, span, True, _SAMPLED)),)
        self.root = Open(root, None, time.time_ns())

    def begin(self, parent: Open, *, live: bool = True) -> Open:
        return Open(_span_id(), parent, time.time_ns(), live)

    def end(
        self,
        one: Open,
        name: str,
        attributes: Attributes,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        failed: bool = False,
        detail: str = "",
        ended: int = 0,
    ) -> float:
        """End a span, and send it if it is live; its seconds. `ended` is when, if it was not just now."""
        ended = max(ended or time.time_ns(), one.began)
        parent = one.parent
        if parent is not None:
            parent.last = max(parent.last, ended)
        if one.live and parent is not None:
            parent.become_live()
        if one.live and self._sender.wants():
            status = _FAILED if failed else _FINE
            if failed and detail:
                status = Status(StatusCode.ERROR, detail)
            links: Sequence[Link] = self._links if parent is None else ()
            self._sender.send(
                ReadableSpan(
                    name, self._context(one), None if parent is None else self._context(parent),
                    self._sender.resource, attributes, one.events, links, kind, None, status, one.began,
                    ended, self._sender.scope,
                )
            )  # fmt: skip
        return (ended - one.began) / 1e9

    def _context(self, one: Open) -> SpanContext:
        return SpanContext(self.id, one.id, False, _SAMPLED)


def _span_id() -> int:
    return random.getrandbits(64) or 1
