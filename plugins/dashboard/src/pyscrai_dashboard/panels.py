"""Panels that other distributions add to the page of a run or of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pyscrai_core import ExtensionError, PyscraiError
from pyscrai_core.plugins import Host
from pyscrai_records.base.log import logger
from pyscrai_records.store.store import Store

from .replies import Refused

MODULE = "panel.js"
PLACES = ("run", "experiment")


class Panels:
    """The panels of the installed plugins. One that is broken is left out, and said once in the log."""

    def __init__(self, host: Callable[[], Host]) -> None:
        self._host = host
        self._known: dict[str, Mapping[str, Any]] | None = None

    def all(self) -> dict[str, Mapping[str, Any]]:
        if self._known is None:
            host, known = self._host(), {}
            for offer in host.offers("panel"):
                try:
                    known[offer.name] = _checked(offer.name, host.load("panel", offer.name))
                except PyscraiError as error:
                    logger.warning("{}", error)
            self._known = known
        return self._known

    def listed(self) -> list[dict[str, Any]]:
        """The panels that have a module of their own, as the page loads them."""
        titles = {offer.name: offer.extension.summary for offer in self._host().offers("panel")}
        return [
            {
                "id": name, "title": titles[name] or name, "for": panel["for"],
                "module": f"/panels/{name}/{MODULE}", "data": f"/api/panels/{name}",
            }
            for name, panel in self.all().items()
            if panel.get("files") is not None
        ]  # fmt: skip

    def folder(self, name: str) -> Path:
        """The files of a panel. Raises `Refused`."""
        files = self._panel(name).get("files")
        if files is None:
            raise Refused(f"panel {name[:60]!r}: it has no files", 404)
        return Path(files)

    def data(self, store: Store, name: str, place: str, subject: str) -> Any:
        """What a panel has to show of a run or an experiment. Raises `Refused`."""
        return self._call("data", name, place, store, subject)

    def act(self, store: Store, name: str, place: str, subject: str, order: dict[str, Any]) -> Any:
        """Let a panel carry out an order, and return its answer. Raises `Refused`."""
        return self._call("act", name, place, store, subject, order)

    def _call(self, part: str, name: str, place: str, *given: Any) -> Any:
        panel = self._panel(name)
        if panel["for"] != place:
            raise Refused(f"panel {name!r}: it is for a {panel['for']}, not for a {place}", 404)
        if panel.get(part) is None:
            raise Refused(f"panel {name!r}: it takes no orders", 404)
        try:
            return panel[part](*given)
        except PyscraiError:
            raise
        except Exception as error:  # a plugin may raise anything; it is named as what failed
            raise Refused(
                f"panel {name!r}: it raised {type(error).__name__}: {error}; tell its author", 500
            ) from error

    def _panel(self, name: str) -> Mapping[str, Any]:
        found = self.all().get(name)
        if found is None:
            known = ", ".join(self.all()) or "none"
            raise Refused(f"panel {name[:60]!r}: there is no such panel; there are: {known}", 404)
        return found


def _checked(name: str, panel: Any) -> Mapping[str, Any]:
    """Raises `ExtensionError` for what is no panel."""
    if (
        isinstance(panel, Mapping)
        and panel.get("for") in PLACES
        and callable(panel.get("data"))
        and (panel.get("act") is None or callable(panel["act"]))
        and (panel.get("files") is None or (Path(panel["files"]) / MODULE).is_file())
    ):
        return panel
    raise ExtensionError(
        f"panel {name!r}: expected a mapping with `for` (run or experiment), `data` (a function), `files` "
        f"(a folder with {MODULE}) and `act` (a function, or none); it is left out"
    )
