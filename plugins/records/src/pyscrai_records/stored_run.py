"""A run in a store, as exporters read it. The kernel implements it (in `pyscrai_records.store.runs`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from .messages import Message
from .records import Cost, Event, RunStatus, Usage


class StoredRun(ABC):
    """One run in a store. Values are read from the store when they are accessed."""

    @property
    @abstractmethod
    def id(self) -> str: ...

    @property
    @abstractmethod
    def scenario(self) -> str:
        """The scenario's name."""

    @property
    @abstractmethod
    def seed(self) -> int: ...

    @property
    @abstractmethod
    def status(self) -> RunStatus:
        """The current status. A run whose process is gone is `interrupted`."""

    @property
    @abstractmethod
    def error(self) -> str:
        """The reason why the run did not complete; empty if it did."""

    @property
    @abstractmethod
    def parent(self) -> str:
        """The id of the run that it was forked from; empty if it is not a fork."""

    @property
    @abstractmethod
    def labels(self) -> dict[str, str]:
        """What whoever started the run named it by, such as the arm of an experiment."""

    @property
    @abstractmethod
    def created(self) -> float:
        """The time when it started, in seconds since 1970."""

    @property
    @abstractmethod
    def ended(self) -> float | None:
        """The time when it ended, in seconds since 1970; None while it runs."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """The number of steps so far."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """The SHA-256 of the canonical log; empty until the run has ended once."""

    @property
    @abstractmethod
    def manifest(self) -> dict[str, Any]:
        """All that an execution needs: scenario, configurations, versions, hashes."""

    @property
    @abstractmethod
    def outcomes(self) -> dict[str, Any]:
        """The values of the scenario's outcomes by name, as JSON."""

    @property
    @abstractmethod
    def measures(self) -> dict[str, list[Any]]:
        """The scenario's measures by name: each a list of `[step, value]`."""

    @property
    @abstractmethod
    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of the scenario's tables by name."""

    @abstractmethod
    def events(self, after: int = 0) -> Iterator[Event]:
        """Iterate over the log in order, from the event after number `after`."""

    @abstractmethod
    def calls(self) -> Iterator[dict[str, Any]]:
        """Iterate over the journaled calls in the order of the journal, one dictionary each."""

    @abstractmethod
    def messages(self, number: int, last: int | None = None) -> list[Message]:
        """Return the messages of the request of the completion with this number, or the `last` of them."""

    @abstractmethod
    def cost(self) -> Cost:
        """Return the cost of all completions."""

    @abstractmethod
    def usage(self) -> Usage:
        """Return the tokens of all completions."""
