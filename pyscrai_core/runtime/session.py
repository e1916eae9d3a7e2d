"""What the executions of a session share: the store, the plugins, who watches, and who can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from attrs import define, field

from ..config import Settings
from ..contracts import Ask, Observer
from ..errors import ConfigError, ContractError
from ..language.misfit import Misfit
from ..plugins import Host
from ..records import Price, RunResult
from ..scenario.options import option_hooks
from ..scenario.source import Source
from ..scenario.structure import Structurer
from ..scenario.trust import Gate
from ..store.store import Store


class Running(Protocol):
    """A run that is being executed, as its caller sees it."""

    id: str
    #: Whether it came to the end of the step at which it was to end.
    reached: bool
    #: How it ended, once it has: what is stored.
    result: RunResult | None

    def stop(self) -> None: ...

    def cancel(self) -> None: ...


@define
class Controls:
    """What may change while runs are executed.

    paused
        whether runs wait before their next step
    limits
        by provider, those of this process in place of the scenario's
    """

    paused: bool = False
    limits: dict[str, dict[str, int]] = field(factory=dict)


@define
class Session:
    """What executions share.

    store, host
        where runs are kept, and the plugins
    prices
        of models, before any price list
    observers
        watch every run
    ask
        asks a person for an agent's words (None: nobody is there)
    gate
        has the approvals of what scenarios demand beyond being data
    begin
        called with a run that is about to be executed, so that the caller can stop it
    processes
        how many processes divide the limits of the vendors
    controls
        what may change while runs are executed
    """

    store: Store
    host: Host
    prices: Mapping[str, Price] = field(factory=dict)
    observers: Sequence[Observer] = ()
    ask: Ask | None = None
    gate: Gate = field(factory=Gate)
    begin: Callable[[Running], None] | None = None
    processes: int = 1
    controls: Controls = field(factory=Controls)


def configured_observers(settings: Settings, host: Host) -> list[Observer]:
    """The observers that the settings name, ready to watch a run. Raises `InputError`."""
    structurer = Structurer(option_hooks(Source(_folder(settings))), _no_component)
    observers: list[Observer] = []
    for use in settings.observers:
        name, options = (use, {}) if isinstance(use, str) else (use["use"], {**use})
        options.pop("use", None)
        cls = host.load("observer", name)
        try:
            made: Observer = cls(structurer.structure(options, cls.Config))
        except Misfit as error:
            first = error.found[0]
            where = ".".join(["observers", name, *map(str, first.below)])
            raise ConfigError(f"{where}: {first}") from None
        made.origin = str(host.offer("observer", name))
        observers.append(made)
    return observers


def _folder(settings: Settings) -> Path:
    """The folder that paths in the options of observers are relative to."""
    return settings.source.parent if settings.source else Path.cwd()


def _no_component(kind: str, value: object) -> NoReturn:
    raise ContractError(f"an observer names no {kind}")
