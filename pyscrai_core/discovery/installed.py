"""The entry points of the installed distributions.

`importlib.metadata` finds the same and much more. But to import it, and to parse each distribution's metadata
with it, would take a quarter of the time of `pyscrai --help`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple


class EntryPoint(NamedTuple):
    """An entry point, with the distribution that it came with; an installation without metadata is `None`."""

    name: str
    #: `module` or `module:attribute`
    value: str
    distribution: str
    version: str

    @property
    def module(self) -> str:
        return self.value.partition(":")[0].strip()

    def load(self) -> Any:
        """Import what it names."""
        module = import_module(self.module)
        attribute = self.value.partition(":")[2].strip()
        return attrgetter(attribute)(module) if attribute else module


def entry_points(group: str) -> Iterator[EntryPoint]:
    """The entry points of a group."""
    for folder in _distributions():
        if found := list(_section(_text(folder, "entry_points.txt"), group)):
            metadata = _metadata(folder)
            for name, value in found:
                yield EntryPoint(name, value, _header(metadata, "Name"), _header(metadata, "Version"))


def version(distribution: str) -> str:
    """The version of an installed distribution."""
    found = (folder for folder in _distributions() if _name(folder) == normalized(distribution))
    return _header(_metadata(next(found, "")), "Version")


def _distributions() -> Iterator[str]:
    """The folder of each distribution's metadata; if it is installed twice, the first in `sys.path` counts.

    Distributions inside zip archives are not found.
    """
    seen: set[str] = set()
    for place in sys.path:
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")) and (key := _name(name)) not in seen:
                seen.add(key)
                yield os.path.join(place, name)


def _name(folder: str) -> str:
    return normalized(os.path.splitext(os.path.basename(folder))[0].partition("-")[0])


def normalized(name: str) -> str:
    """A name as the packaging tools compare it: `Pyscrai_Tables` is `pyscrai-tables`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _metadata(folder: str) -> str:
    return _text(folder, "METADATA") or _text(folder, "PKG-INFO")


def _section(text: str, section: str) -> Iterator[tuple[str, str]]:
    """The names and values of a section of `entry_points.txt`."""
    current = ""
    for line in text.splitlines():
        if line.startswith("["):
            current = line.strip("[] \t")
        elif current == section and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.partition("[")[0].strip()  # without the extras that it may name


def _header(text: str, name: str) -> str:
    """A header of a distribution's metadata."""
    found = re.search(rf"^{name}:[ \t]*(\S+)", text.partition("\n\n")[0], re.MULTILINE | re.IGNORECASE)
    return found[1] if found else "None"
