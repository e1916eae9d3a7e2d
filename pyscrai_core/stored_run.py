"""A run in a store, as exporters read it. The kernel implements it (in `pyscrai_core.store.runs`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from .messages import Message
from .records import Cost, Event, RunStatus, Usage


class StoredRun(ABC):
    """One run in a store. Everything is read when it is asked for."""

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
        """How it ended, or what it does. A run whose process was ended is `interrupted`."""

    @property
    @abstractmethod
    def error(self) -> str:
        """Why the run did not complete; empty if it did."""

    @property
    @abstractmethod
    def parent(self) -> str:
        """The run that it was forked from; empty if it is no fork."""

    @property
    @abstractmethod
    def created(self) -> float:
        """When it was started: seconds since 1970."""

    @property
    @abstractmethod
    def ended(self) -> float | None:
        """When it ended: seconds since 1970; None while it runs."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """How many steps it has taken, so far if it has not ended."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """The SHA-256 of the canonical log; empty until the run has ended once."""

    @property
    @abstractmethod
    def manifest(self) -> dict[str, Any]:
        """What an execution needs: scenario, configurations, versions, hashes."""

    @property
    @abstractmethod
    def outcomes(self) -> dict[str, Any]:
        """The scenario's outcomes by name, as JSON."""

    @abstractmethod
    def events(self, after: int = 0) -> Iterator[Event]:
        """The log in order, from the event after number `after`."""

    @abstractmethod
    def calls(self) -> Iterator[dict[str, Any]]:
        """The journaled calls in the order in which they were journaled, one dictionary each."""

    @abstractmethod
    def messages(self, number: int) -> list[Message]:
        """The messages that the completion with this number was asked with."""

    @abstractmethod
    def cost(self) -> Cost:
        """What all completions together cost."""

    @abstractmethod
    def usage(self) -> Usage:
        """The tokens of all completions together."""
