"""Everything that PyScrAI raises on purpose.

::

    PyscraiError
    ├── InputError                  the person's input is wrong; nothing was done (exit status 2)
    │   ├── ScenarioError           one or more mistakes in a scenario, each with its place
    │   ├── ConfigError             a mistake in pyscrai.toml, the environment or an option
    │   ├── ExtensionError          an extension is missing, ambiguous, or its plugin is broken
    │   ├── TrustRequired           the scenario needs an approval that nobody gave
    │   └── StoreError              the store cannot be used, or does not hold what was asked for
    ├── ContractError               a plugin broke a rule of its contract
    ├── Divergence                  an execution differs from the one that was recorded
    ├── Uncertain                   nobody knows whether a tool acted, and a person has to decide (status 3)
    ├── BudgetSpent                 a limit of the run is reached (exit status 3)
    ├── CallFailed                  a call got no usable answer
    │   ├── TransientError          temporary: the call is retried
    │   │   ├── RateLimited         the vendor asks to wait (`retry_after`, seconds)
    │   │   ├── Overloaded          the vendor is down, too busy, or its answer came in broken
    │   │   │   └── Unreachable     no connection could be made
    │   │   └── TimedOut            no answer in time
    │   ├── AuthenticationFailed    no key, or a wrong one
    │   ├── RequestRejected         the vendor refuses this request
    │   │   └── ContextTooLong      it has more tokens than the model takes
    │   ├── AnswerRejected          the answer is not what the request's schema demands
    │   ├── ToolFailed              a tool raised
    │   └── NoAnswer                a person did not answer in time
    ├── EndOfRecord                 a replay reached the end of what was recorded of an unfinished run
    └── NobodyToAsk                 a person is needed, and there is none

    RunStopping (a BaseException)   the run is being stopped: no new call starts; not for plugins to catch

Every message reads `where: what is wrong, what was expected, what to do`.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from .records import Usage


class PyscraiError(Exception):
    """The root: catch it to catch all of the others."""


class InputError(PyscraiError):
    """The person's input is wrong. Nothing was run and nothing was written."""


@frozen
class Mistake:
    """One mistake in a scenario: `where` it stands, at which `path`, and `what` is wrong with it."""

    where: str
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.what}" if self.path else f"{self.where}: {self.what}"


class ScenarioError(InputError):
    """A scenario has mistakes; `mistakes` lists all that were found at once."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class ConfigError(InputError):
    """A mistake in `pyscrai.toml`, in the environment or in a command's option."""


class ExtensionError(InputError):
    """An extension is not installed, is offered twice, or belongs to a plugin that failed to load."""


class TrustRequired(InputError):
    """The scenario needs your approval for its code or its access to the outside."""


class StoreError(InputError):
    """The store cannot be opened or written, or a run that was asked for is not in it."""


class ContractError(PyscraiError):
    """A plugin broke a rule of its contract; the message names the plugin's part and the rule."""


class Divergence(PyscraiError):
    """An execution asked or derived something else than the one that was recorded.

    `step` is the first step that is not as it was; None: the executions differ only at their end.
    """

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class EndOfRecord(PyscraiError):
    """A replay reached the end of what was recorded of an unfinished run."""


class RunStopping(BaseException):
    """Raised instead of starting a call while the run is being stopped. Not for plugins to catch."""


class Uncertain(PyscraiError):
    """Nobody knows whether a tool acted that must not be called twice; a person has to decide."""


class BudgetSpent(PyscraiError):
    """A limit of the run is reached. The run stops cleanly and can be resumed with a larger one."""


class CallFailed(PyscraiError):
    """A call got no usable answer.

    `usage` is what the vendor counted all the same, where it is known. `calls` are the journal's numbers of
    the calls that failed with it; the kernel sets them.
    """

    usage: Usage | None = None
    calls: tuple[int, ...] = ()


class TransientError(CallFailed):
    """A temporary failure; the call is retried."""


class RateLimited(TransientError):
    """The vendor asks to wait for `retry_after` seconds (None: it did not say how long)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(TransientError):
    """The vendor is down or too busy, or its answer came in broken."""


class Unreachable(Overloaded):
    """No connection to the vendor could be made: it is down, or the address is wrong."""


class TimedOut(TransientError):
    """No answer came in time."""


class AuthenticationFailed(CallFailed):
    """There is no key, or the vendor does not accept it. The message never holds the key."""


class RequestRejected(CallFailed):
    """The vendor refuses this request and would refuse it again."""


class ContextTooLong(RequestRejected):
    """The request has more tokens than the model takes."""


class AnswerRejected(CallFailed):
    """An answer came, and is not what the request's schema demands.

    `given_up` marks the end of all repairs: the model was not asked again.
    """

    given_up: bool = False


class ToolFailed(CallFailed):
    """A tool raised; the message names its error."""


class NoAnswer(CallFailed):
    """A person who was asked did not answer in time. Journaled, so that nobody is asked that again."""


class NobodyToAsk(PyscraiError):
    """A person's answer is needed, and this run has nobody to ask."""


#: The failures that a journal records by name, so that a replay raises the same one again.
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
        ToolFailed,
        NoAnswer,
    )
}
