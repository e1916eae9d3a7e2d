"""Plugins: finding them, loading each on its own, and answering for what they offer.

A plugin is named by an entry point of the group `pyscrai`. Making a `Host` finds all that are installed
and loads those that are wanted. Whatever a plugin does wrong then concerns that plugin alone: it is
kept as `broken` with its cause, and asking for something that it offers, or may have offered, raises an
`ExtensionError` which says so. What an extension needs is imported when it is first used.

A host is an object; there may be any number of them, and nothing here is shared between two.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

from attrs import evolve

from pyscrai_records.base.suggest import closest, did_you_mean
from pyscrai_records.errors import ExtensionError

from .discovery.installed import entry_points, normalized
from .discovery.loading import GIVEN, Offer, Plugin, Status, import_target, load_plugin, manager
from .hookspecs import KINDS, PROJECT

__all__ = ["GIVEN", "Host", "Offer", "Plugin", "known_plugins"]

#: Which distributions offer what, as far as anybody has written it down.
KNOWN = Path(__file__).with_name("discovery") / "known_plugins.toml"


class Host:
    """The plugins of this environment and what they offer.

    plugins
        load only these, by the plugin's or the distribution's name (None: all that are installed)
    disable
        do not load these
    extra
        modules or objects with hooks, used as plugins without being installed: for tests and notebooks.
        Both lists leave them alone.
    installed
        False: leave out what is installed, and use `extra` alone
    """

    #: All plugins that were found, sorted by name.
    plugins: tuple[Plugin, ...]
    #: What more than one loaded plugin offers, by kind and name. Asking for it is an error.
    conflicts: dict[tuple[str, str], tuple[Offer, ...]]
    #: Names in `plugins` and `disable` that nothing installed goes by: a typo, most likely.
    unmatched: tuple[str, ...]

    def __init__(
        self,
        *,
        plugins: Sequence[str] | None = None,
        disable: Sequence[str] = (),
        extra: Sequence[object] = (),
        installed: bool = True,
    ) -> None:
        found = [
            (Plugin(entry.name, entry.distribution, entry.version, entry.module), entry.load)
            for entry in (entry_points(PROJECT) if installed else ())
        ]
        hooks = manager()
        self._recorded: Mapping[tuple[str, str], str] = {}
        self._given = frozenset(map(_name_of, extra))
        loaded: list[Plugin] = []
        first: dict[str, Plugin] = {}
        for plugin, fetch in sorted(found, key=lambda each: (each[0].name, each[0].distribution)):
            # A module that was handed in and is also installed is one plugin, and it is wanted.
            reason = "" if plugin.module in self._given else _unwanted(plugin, plugins, disable)
            if reason:
                loaded.append(evolve(plugin, status="disabled", error=reason))
            else:
                loaded.append(load_plugin(hooks, plugin, fetch, first.setdefault(plugin.name, plugin)))
        modules = {plugin.module for plugin, _ in found}
        for thing in extra:
            if (name := _name_of(thing)) not in modules:
                given = Plugin(name, GIVEN, str(getattr(thing, "__version__", "")), name)
                loaded.append(load_plugin(hooks, given, partial(lambda given: given, thing), given))
        self.unmatched = tuple(
            name
            for name in (*(plugins or ()), *disable)
            if not any(_is_called(plugin, name) for plugin, _ in found)
        )
        self._take(loaded)

    def _take(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution)))
        self._offers: dict[tuple[str, str], list[Offer]] = {}
        self._targets: dict[tuple[str, str], Any] = {}
        for plugin in self._with("loaded"):
            for offer in plugin.extensions:
                self._offers.setdefault((offer.kind, offer.name), []).append(offer)
        self.conflicts = {key: tuple(offers) for key, offers in self._offers.items() if len(offers) > 1}

    def _with(self, status: Status) -> list[Plugin]:
        return [plugin for plugin in self.plugins if plugin.status == status]

    def narrowed(self, names: Sequence[str]) -> Host:
        """A host with only these of the plugins found, by plugin or distribution: a scenario's own choice.

        What was handed in directly stays. An `ExtensionError` tells which of the names are not
        installed, are disabled, or belong to a broken plugin.
        """
        problems: list[str] = []
        for name in names:
            called = [plugin for plugin in self.plugins if _is_called(plugin, name)]
            if not called:
                known = sorted({plugin.name for plugin in self.plugins})
                problems.append(f"{name!r} is not installed{did_you_mean(name, known)}")
            elif not any(plugin.status == "loaded" for plugin in called):
                problems.extend(f"{plugin} is {plugin.status}: {plugin.error}" for plugin in called)
        if problems:
            raise ExtensionError(f"plugins: {'; '.join(problems)}")
        host = copy(self)
        host._take(
            plugin
            if plugin.distribution == GIVEN
            or plugin.module in self._given
            or any(_is_called(plugin, name) for name in names)
            else evolve(
                plugin,
                status="disabled",
                error=f"the scenario's `plugins` leaves it out: add {plugin.name!r} there to enable it",
            )
            for plugin in self.plugins
        )
        return host

    def adding(self, plugin: Plugin) -> Host:
        """A host with one more plugin, which is loaded already."""
        host = copy(self)
        host._take((*self.plugins, plugin))
        return host

    def remembering(self, distributions: Mapping[tuple[str, str], str]) -> Host:
        """A host whose errors also know, by kind and name, which distributions offered what to a run."""
        host = copy(self)
        # What was handed in directly cannot be installed.
        host._recorded = {key: name for key, name in distributions.items() if name != GIVEN}
        return host

    def offers(self, kind: str | None = None) -> list[Offer]:
        """What the loaded plugins offer, of one kind or of all, sorted by kind and name."""
        return [
            offer
            for key, offers in sorted(self._offers.items())
            if kind is None or key[0] == kind
            for offer in offers
        ]

    def offer(self, kind: str, name: str) -> Offer:
        """The one extension of this kind and name.

        Raises `ExtensionError` if there is none, if two plugins offer it, or if its plugin is broken
        (then with the plugin's own error as the cause) or disabled.
        """
        offers = self._offers.get((kind, name), [])
        if not offers:
            self._raise_missing(kind, name)
        if len(offers) > 1:
            who = " and ".join(f"{offer.plugin} ({offer.distribution} {offer.version})" for offer in offers)
            raise ExtensionError(
                f"{kind} {name!r}: offered by more than one plugin, {who}; keep one of them: uninstall "
                f"the other or add it to `disable` in pyscrai.toml, as {offers[-1].distribution!r}"
            )
        return offers[0]

    def load(self, kind: str, name: str) -> Any:
        """What the extension's target names, imported at its first use.

        Raises `ExtensionError` as `offer` does, and if the target cannot be imported, does not exist,
        or does not implement the contract of its kind.
        """
        if (kind, name) not in self._targets:
            self._targets[kind, name] = import_target(self.offer(kind, name))
        return self._targets[kind, name]

    def _raise_missing(self, kind: str, name: str) -> NoReturn:
        where = f"{kind} {name!r}"
        known = {**known_plugins(), **self._recorded}
        broken, disabled = self._with("broken"), self._with("disabled")
        for plugin in (*broken, *disabled):
            if _may_offer(plugin, kind, name, known):
                status = "broken" if plugin in broken else "installed and disabled"
                problem = f"its plugin {plugin} is {status}: {plugin.error}"
                raise ExtensionError(f"{where}: {problem}") from plugin.cause

        installed = sorted({offer.name for offer in self.offers(kind)})
        published = {other: dist for (its_kind, other), dist in known.items() if its_kind == kind}
        guess = "" if name in published else closest(name, {*installed, *published})
        parts = [f"{where}: not installed"]
        if guess:
            parts[-1] += f" (did you mean {guess!r}?)"
        parts.append(f"installed {_plural(kind)}: {', '.join(installed) or 'none'}")
        distribution = published.get(guess or name)
        if guess in installed:
            pass  # correcting the name is all that there is to do
        elif distribution is None:
            parts.append("look for a plugin that offers it, then: pip install THAT-PLUGIN")
        elif not any(_is_called(plugin, distribution) for plugin in self.plugins):
            parts.append(f"install it with: pip install {distribution}")
        elif any(_is_called(plugin, distribution) for plugin in self._with("loaded")):
            parts.append(f"{distribution} does not offer it: pip install --upgrade {distribution}")
        # Nobody knows what a plugin offers that was never loaded: it may be one of these.
        if broken:
            parts.append("broken plugins: " + "; ".join(f"{plugin}: {plugin.error}" for plugin in broken))
        if disabled:
            parts.append("disabled plugins: " + ", ".join(str(plugin) for plugin in disabled))
        raise ExtensionError("; ".join(parts))


# -- finding ------------------------------------------------------------------------------------


@cache
def known_plugins() -> Mapping[tuple[str, str], str]:
    """The distributions of extensions, by kind and name, that `known_plugins.toml` lists."""
    tables = tomllib.loads(KNOWN.read_text(encoding="utf-8"))
    return {(kind, name): dist for kind, table in tables.items() for name, dist in table.items()}


def _name_of(thing: object) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))


def _is_called(plugin: Plugin, name: str) -> bool:
    return normalized(name) in (normalized(plugin.name), normalized(plugin.distribution))


def _unwanted(plugin: Plugin, plugins: Sequence[str] | None, disable: Sequence[str]) -> str:
    """Why the plugin is not to be loaded and what to do about it; empty if it is."""
    for name in disable:
        if _is_called(plugin, name):
            return f"listed in `disable`: take {name!r} out of it, in pyscrai.toml or PYSCRAI_DISABLE"
    if plugins is not None and not any(_is_called(plugin, name) for name in plugins):
        return (
            f"not listed in `plugins`: add {plugin.name!r} to `plugins` in pyscrai.toml or to "
            "PYSCRAI_PLUGINS, whichever is set, to enable it"
        )
    return ""


def _may_offer(plugin: Plugin, kind: str, name: str, known: Mapping[tuple[str, str], str]) -> bool:
    """Whether a plugin that is not loaded is the one to have offered this, as far as can be known."""
    return (
        any((offer.kind, offer.name) == (kind, name) for offer in plugin.extensions)
        or normalized(plugin.name) == normalized(name)
        or normalized(plugin.distribution) == known.get((kind, name))
    )


def _plural(kind: str) -> str:
    """The plural of a kind, from its hook: `pyscrai_memories` is about memories."""
    hooks = {singular: hook for hook, singular in KINDS.items()}
    return hooks[kind].removeprefix(f"{PROJECT}_").replace("_", " ") if kind in hooks else kind
