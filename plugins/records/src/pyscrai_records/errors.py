"""The exceptions that PyScrAI raises.

::

    PyscraiError
    ├── InputError                  the input is wrong; nothing was done (exit status 2)
    │   ├── ScenarioError           one or more mistakes in a scenario, each with its place
    │   ├── ConfigError             a mistake in pyscrai.toml, the environment or an option
    │   ├── ExtensionError          an extension is missing, ambiguous, or its plugin is broken
    │   ├── TrustRequired           the scenario needs your approval
    │   └── StoreError              the store cannot be used, or the run is not in it
    ├── ContractError               a plugin broke a rule of its contract
    ├── Divergence                  an execution differs from the recorded one
    ├── Uncertain                   it is unknown whether a tool acted; you have to decide (exit status 3)
    ├── BudgetSpent                 a limit of the run is reached (exit status 3)
    ├── CallFailed                  a call got no usable answer
    │   ├── TransientError          temporary: the call is retried
    │   │   ├── RateLimited         the vendor asks to wait (`retry_after`, seconds)
    │   │   ├── Overloaded          the vendor is down or too busy, or its answer was malformed
    │   │   │   └── Unreachable     no connection could be made
    │   │   └── TimedOut            no answer in time
    │   ├── AuthenticationFailed    no key, or a wrong one
    │   ├── RequestRejected         the vendor refuses this request
    │   │   └── ContextTooLong      it has more tokens than the model accepts
    │   ├── AnswerRejected          the answer cannot be used; the model is asked again, a few times
    │   ├── AnswerTruncated         the answer was cut off, and `on_truncated: fail` is set
    │   ├── Refused                 the model refused to answer, or a content filter withheld the answer
    │   ├── ToolFailed              a tool failed
    │   └── NoAnswer                a person did not answer in time
    ├── EndOfRecord                 a replay reached the end of the record of an unfinished run
    └── NobodyToAsk                 a person's answer is needed, and the run cannot ask anybody

    RunStopping (a BaseException)   the run is being stopped and starts no new call; plugins must not catch it

Every message has the form `where: what is wrong, what was expected, what to do`.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from .base.redaction import redact
from .records import Usage

#: What the message of an error that a plugin raised ends with.
TELL = "tell its author; for the traceback: pyscrai --debug …"


class PyscraiError(Exception):
    """The base of all exceptions of PyScrAI, except `RunStopping`."""


class InputError(PyscraiError):
    """The input is wrong. Nothing was run and nothing was written."""


@frozen
class Mistake:
    """One mistake in a scenario: `where` it is (file and line), at which `path`, and `what` is wrong."""

    where: str
    path: str
    what: str = field(converter=redact)

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.where, self.path, self.what)))


class ScenarioError(InputError):
    """A scenario has mistakes; `mistakes` lists all of them."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, mistakes)))


class ConfigError(InputError):
    """A mistake in `pyscrai.toml`, in the environment or in a command's option."""


class ExtensionError(InputError):
    """An extension is not installed, is offered twice, or belongs to a plugin that failed to load."""


class TrustRequired(InputError):
    """The scenario needs your approval for its code or its access to the outside."""


class StoreError(InputError):
    """The store cannot be opened or written, or the requested run is not in it."""


class ContractError(PyscraiError):
    """A plugin broke a rule of its contract. The message names the extension and the rule."""


class Divergence(PyscraiError):
    """An execution made a different request or event than the recorded one.

    `step` is the first step that differs; None: the executions differ only at their end.
    """

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class EndOfRecord(PyscraiError):
    """A replay reached the end of the record of an unfinished run."""


class RunStopping(BaseException):
    """Raised instead of starting a call while the run is being stopped. Plugins must not catch it."""


class Uncertain(PyscraiError):
    """It is unknown whether a tool acted that must not be called twice. You have to decide."""


class BudgetSpent(PyscraiError):
    """A limit of the run is reached. The run stops cleanly and can be resumed with a larger limit."""


class CallFailed(PyscraiError):
    """A call got no usable answer.

    `usage` is the usage that the vendor reported for an answer that cannot be used; the kernel estimates what
    is 0. None: nothing was answered. `calls` are the numbers
    of the failed calls in the journal; the kernel sets them.
    """

    usage: Usage | None = None
    calls: tuple[int, ...] = ()


class TransientError(CallFailed):
    """A temporary failure; the call is retried."""


class RateLimited(TransientError):
    """The vendor asks to wait for `retry_after` seconds (None: not specified)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(TransientError):
    """The vendor is down or too busy, or its answer was malformed."""


class Unreachable(Overloaded):
    """No connection to the vendor could be made: it is down, or the address is wrong."""


class TimedOut(TransientError):
    """No answer came in time."""


class AuthenticationFailed(CallFailed):
    """There is no key, or the vendor does not accept it. The message never holds the key."""


class RequestRejected(CallFailed):
    """The vendor refuses this request and would refuse it again."""


class ContextTooLong(RequestRejected):
    """The request has more tokens than the model accepts."""


class Refused(CallFailed):
    """The model refused to answer, or the vendor's content filter withheld the answer. It is not asked again.

    The message has the model's words. A resumed run asks again.
    """


class AnswerTruncated(CallFailed):
    """The answer was cut off at `max_tokens`, and the provider's option `on_truncated` is `fail`."""


class AnswerRejected(CallFailed):
    """The answer cannot be used (malformed, or a misfit of the schema); the model is told, and asked again.

    `given_up` is true after the last repair: then the request is not sent again.
    """

    given_up: bool = False


class ToolFailed(CallFailed):
    """A tool failed; the message has its error. `fault` names who is at fault, if it is the tool."""

    def __init__(self, message: str = "", fault: str = "") -> None:
        super().__init__(message)
        self.fault = fault


class NoAnswer(CallFailed):
    """A person did not answer in time. This is journaled, so that a resumed run does not ask again."""


class NobodyToAsk(PyscraiError):
    """A person's answer is needed, and the run was started without a way to ask."""


#: The exceptions that the journal records by name, so that a replay raises the same ones.
FAILURES: dict[str, type[CallFailed]] = {
    kind.__name__: kind
    for kind in (
        CallFailed,
        TransientError,
        RateLimited,
        Overloaded,
        Unreachable,
        TimedOut,
        AuthenticationFailed,
        RequestRejected,
        ContextTooLong,
        AnswerRejected,
        AnswerTruncated,
        Refused,
        ToolFailed,
        NoAnswer,
    )
}
