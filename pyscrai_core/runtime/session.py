"""What the executions of a session share: the store, the plugins, who watches, and who can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from attrs import define, field

from ..contracts import Ask, Observer
from ..plugins import Host
from ..records import Price
from ..store.store import Store


class Running(Protocol):
    """A run that is being executed, as its caller sees it."""

    id: str
    #: Whether it came to the end of the step at which it was to end.
    reached: bool

    def stop(self) -> None: ...

    def cancel(self) -> None: ...


@define
class Session:
    """What executions share.

    store, host
        where runs are kept, and the plugins
    prices
        of models, before any price list
    observers
        watch every run
    ask, confirm
        ask a person for an agent's words, and for approval (None: nobody is there)
    trust
        approves what a scenario asks for beyond being data
    begin
        called with a run that is about to be executed, so that the caller can stop it
    """

    store: Store
    host: Host
    prices: Mapping[str, Price] = field(factory=dict)
    observers: Sequence[Observer] = ()
    ask: Ask | None = None
    confirm: Callable[[str], bool] | None = None
    trust: bool = False
    begin: Callable[[Running], None] | None = None
