"""What the executions of a session share: the store, the plugins, who watches, and who can be asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from attrs import define, evolve, field

from pyscrai_answers.draws import Oracle
from pyscrai_language import yaml
from pyscrai_records.base.log import logger
from pyscrai_records.errors import ConfigError, PyscraiError
from pyscrai_records.records import Price, RunResult
from pyscrai_records.store.store import Store

from ..config import Settings
from ..contracts import Ask, Observer
from ..plugins import Host
from ..scenario.plan import component_of
from ..scenario.trust import Gate


class Running(Protocol):
    """A run that is being executed, as its caller sees it."""

    id: str
    #: Whether it came to the end of the step at which it was to end.
    reached: bool

    @property
    def result(self) -> RunResult | None:
        """How it ended, once it has: what is stored."""

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


def log_end(end: Callable[[], RunResult]) -> None:
    """End a run whose plugin blocks the event loop, and log so: the process is its caller's."""
    try:
        result = end()
        what = f"run {result.run} is {result.status}: {result.error}"
    except PyscraiError as error:
        what = str(error)
    logger.error("{}; it blocks the thread of the event loop for good, which ends with the process", what)


def end_process(end: Callable[[], RunResult]) -> NoReturn:
    """The same, and end the process, which is there for runs alone."""
    log_end(end)
    os._exit(3)


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
    leave
        called in another thread where plugin code blocks the event loop for good, after the end of its time.
        It is given a function that ends the run and returns its result, or raises why there is none. It may
        end the process
    processes
        how many processes divide the limits of the vendors
    controls
        what may change while runs are executed
    oracle
        decides closed choices in place of the noise (None: nobody does)
    """

    store: Store
    host: Host
    prices: Mapping[str, Price] = field(factory=dict)
    observers: Sequence[Observer] = ()
    ask: Ask | None = None
    gate: Gate = field(factory=Gate)
    begin: Callable[[Running], None] | None = None
    leave: Callable[[Callable[[], RunResult]], object] = log_end
    processes: int = 1
    controls: Controls = field(factory=Controls)
    oracle: Oracle | None = None
    #: Forks that were written and have not begun; one that cannot begin is removed again.
    new_forks: set[str] = field(factory=set)


def configured_observers(settings: Settings, host: Host, gate: Gate) -> list[Observer]:
    """The observers that the settings name, ready to watch a run."""
    folder = settings.source.parent if settings.source else None
    return made_observers(settings.observers, host, gate, folder)


def read_observers(texts: Iterable[str]) -> list[dict[str, Any]]:
    """`NAME` or `NAME:KEY=VALUE,…` texts, as a command takes them, as `pyscrai.toml` has observers.

    A name can be that of a class of one's own, `./FILE.py:CLASS`. Raises `ConfigError`.
    """
    observers = []
    for text in texts:
        file, ending, rest = text.partition(".py:")
        name, _, pairs = (rest if ending else text).partition(":")
        name = f"{file}{ending}{name}" if ending else name
        observer: dict[str, Any] = {"use": name.strip()}
        for pair in filter(None, pairs.split(",")):
            key, equals, value = pair.partition("=")
            if not (equals and key.strip()):
                what = "expected NAME or NAME:KEY=VALUE,KEY=VALUE, such as telemetry:prometheus=9464"
                raise ConfigError(f"{text!r}: {what}")
            observer[key.strip()] = yaml.parse_scalar(value)
        observers.append(observer)
    return observers


def observed(settings: Settings, observers: Sequence[dict[str, Any]]) -> Settings:
    """The settings with further observers. One replaces another with the same name."""
    named = {one["use"] for one in observers}
    others = [one for one in settings.observers if (one if isinstance(one, str) else one["use"]) not in named]
    return evolve(settings, observers=(*others, *observers))


def made_observers(
    chosen: Sequence[Any], host: Host, gate: Gate, folder: Path | None = None
) -> list[Observer]:
    """Observers ready to watch a run; a name or `{"use": NAME, …}` stands for one that is made."""
    return [one if isinstance(one, Observer) else _made(one, host, gate, folder) for one in chosen]


def _made(chosen: Any, host: Host, gate: Gate, folder: Path | None) -> Observer:
    name = chosen.get("use") if isinstance(chosen, Mapping) else chosen
    observer: Observer = component_of("observer", chosen, host, gate, f"observers.{name}", folder)
    return observer
