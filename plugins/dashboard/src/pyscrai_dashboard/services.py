"""What the routes share: the readers of the store, what is known of its runs, and the plugins."""

from __future__ import annotations

import threading
from pathlib import Path

from attrs import define, field

from pyscrai_core.config import Settings
from pyscrai_core.plugins import Host
from pyscrai_records.store.store import Store

from .control import Control
from .live import Live
from .panels import Panels
from .reading import Reader, find
from .summaries import Summaries
from .totals import Counted
from .usage import Usages
from .worlds import Worlds


@define
class Services:
    """What the routes share."""

    settings: Settings
    folder: Path
    read_only: bool
    reader: Reader
    counted: Counted
    summaries: Summaries
    worlds: Worlds
    usages: Usages
    control: Control
    panels: Panels
    live: Live
    _host: Host | None = None
    _guard: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def of(cls, settings: Settings, folder: Path, read_only: bool) -> Services:
        made: list[Services] = []
        host = lambda: made[0].host  # noqa: E731 - it is made when it is first needed
        reader, counted = Reader(settings.store), Counted()
        control = Control(reader, host, lambda run: made[0].live.poke(run))
        worlds = Worlds(host)
        summaries = Summaries(counted, control.waiting, worlds.most_steps)
        live = Live(reader, summaries, worlds)
        panels = Panels(host)
        made.append(
            cls(
                settings,
                folder,
                read_only,
                reader,
                counted,
                summaries,
                worlds,
                Usages(),
                control,
                panels,
                live,
            )
        )
        return made[0]

    def cut(self, store: Store, run: str) -> set[tuple[str, int]]:
        """The turns of a run in which an answer was cut off, as far as they are counted. Raises `Refused`."""
        return self.counted.of(store.connection, run, find(store, run).last_owner).cut

    @property
    def host(self) -> Host:
        """The plugins, looked for when they are first needed."""
        with self._guard:
            if self._host is None:
                self._host = self.settings.host()
        return self._host
