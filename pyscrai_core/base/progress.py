"""What observers are told beside events: of executions, turns, calls and uses of tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from pyscrai_records.base.frozen import Sealed, freeze
from pyscrai_records.records import Position, Usage


@frozen
class ProviderModel(Sealed):
    """A provider of a scenario: the extension that it uses, and the model that is asked (empty: unknown)."""

    use: str
    model: str = ""


@frozen
class Execution(Sealed):
    """An execution of a run that is about to begin.

    run, scenario, seed, labels
        the run's id, its scenario's name, its seed and its labels
    parent
        the id of the run that it was forked from; empty if it is not a fork
    kind
        `new`, `resumed` (also the first execution of a fork) or `replayed`
    recorded_events, recorded_steps
        how many events and steps are recorded already; what is executed again up to there is told again
    models
        the providers by their names in the scenario
    most_steps
        how many steps the schedule makes at most; None: it cannot tell
    """

    run: str
    scenario: str
    seed: int
    labels: Mapping[str, str] = field(converter=freeze)
    parent: str
    kind: Literal["new", "resumed", "replayed"]
    recorded_events: int
    recorded_steps: int
    models: Mapping[str, ProviderModel] = field(converter=freeze)
    most_steps: int | None = None


@frozen
class TurnRecord(Sealed):
    """The state of a turn: first `started`, then `ended`, `skipped` (it failed, and `on_error` is `skip`) or
    `failed`.

    The paths of the turn's calls begin with that of its `position`. `error_type` is the name of an error.
    """

    position: Position
    status: Literal["started", "ended", "skipped", "failed"]
    error_type: str = ""


@frozen
class CallRecord(Sealed):
    """The state of a call, for observers: first `started`, then `answered` or `failed`.

    In between, it may be `waiting` for rate limits or a fallback (`error` has the reason), or `retrying`: an
    attempt failed (`error`), and the next one follows after `wait` seconds. After either, `sent` tells that
    the request left.
    `kind` is `complete`, `embed`, `tool`, `tools`, `ask` or `now`. `answer` is the decoded answer. `usage`,
    `model` and `cost` (US dollars, None: unknown) are set for completions; those of `started` were paid for
    in an earlier execution. `journaled` is true if the answer came from the journal. `started` (seconds since
    1970) and `seconds` are of the last attempt, `queued` the seconds that the call waited for limits, and
    `provider` is who was asked, a fallback perhaps (empty: nobody). When it starts, `request` is what is
    asked: a `Request`, or plain JSON. `error_type` is the name of the error.
    """

    position: Position
    kind: str
    status: Literal["started", "waiting", "retrying", "sent", "answered", "failed"]
    target: str = ""
    answer: Any = None
    error: str = ""
    usage: Usage = field(factory=Usage)
    model: str = ""
    journaled: bool = False
    seconds: float = 0.0
    cost: float | None = None
    wait: float = 0.0
    started: float = 0.0
    queued: float = 0.0
    provider: str = ""
    request: Any = None
    error_type: str = ""


@frozen
class ToolRecord(Sealed):
    """The state of a use of a tool: first `started`, then `answered` or `failed`.

    Pure tools are used again when a run is executed again; of an external one, the answer may be a recorded
    one. The paths of what the tool calls begin with that of its `position`. `answer` is plain JSON.
    """

    position: Position
    name: str
    status: Literal["started", "answered", "failed"]
    arguments: Any
    answer: Any = None
    error: str = ""
    error_type: str = ""
