"""The measures of a run: as they are stored when it has ended, and computed while it goes on."""

from __future__ import annotations

from typing import Any

from pyscrai_core.scenario.manifest import Manifest
from pyscrai_records.store.store import Store

from .reading import find
from .worlds import Worlds


def measures(store: Store, run: str, worlds: Worlds) -> dict[str, Any]:
    """Each measure with its unit, kind and series of step and value.

    Of a run that has not ended, the steps that are over. A measure of the events is left empty until the end,
    as each of its values looks at all of them. Raises `Refused` if there is no such run.
    """
    recorded = find(store, run)
    written = Manifest.from_dict(recorded.manifest).last_scenario.get("measures") or {}
    if not written:
        return {}
    found: dict[str, list[Any]] = recorded.measures
    if not found and recorded.status != "completed":
        found = worlds.measured(store, recorded)
    return {
        name: {"unit": declared(one, "unit"), "kind": declared(one, "kind"), "series": found.get(name, [])}
        for name, one in written.items()
    }


def declared(written: Any, key: str) -> str:
    return str(written.get(key) or "") if isinstance(written, dict) else ""
