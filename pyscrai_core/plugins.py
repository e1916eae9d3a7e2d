"""Plugins: finding them, loading each on its own, and answering for what they offer.

A plugin is named by an entry point of the group `pyscrai`. Making a `Host` finds all that are installed
and loads those that are wanted. Whatever a plugin does wrong then concerns that plugin alone: it is
kept as `broken` with its cause, and asking for something that it offers, or may have offered, raises an
`ExtensionError` which says so. What an extension needs is imported when it is first used.

A host is an object; there may be any number of them, and nothing here is shared between two.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from operator import attrgetter
from traceback import TracebackException
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeAlias

import pluggy
from attrs import evolve, field, frozen

from . import hookspecs
from .contracts import CONTRACTS, Tool, Toolset
from .errors import ContractError, ExtensionError, PyscraiError
from .hookspecs import API_VERSION, KINDS, PROJECT
from .records import Extension

Status: TypeAlias = Literal["loaded", "disabled", "broken"]

#: The distribution of plugins that were handed in directly.
GIVEN = "(given)"

#: Which of PyScrAI's own distributions offers what: all that an error needs to say how to install it.
FIRST_PARTY: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (kind, name): distribution or f"pyscrai-{name}"
        for kind, distribution, names in (
            ("provider", "", "anthropic llamacpp ollama openai scripted"),
            ("engine", "pyscrai-cast", "actor analyst narrator"),
            ("reasoning", "", "chain-of-thought plan react reflection self-consistency"),
            ("engine", "", "human"),
            ("engine", "pyscrai-rules", "rules world"),
            ("memory", "pyscrai-memory", "full none recall shared summary window"),
            ("schedule", "pyscrai-schedules", "interrupt moderated random reactive round-robin simultaneous"),
            ("tool", "pyscrai-http", "http openapi"),
            ("tool", "pyscrai-mcp", "mcp"),
            ("tool", "pyscrai-memory", "note"),
            ("tool", "pyscrai-toolbox", "calculator dice files notes sample world"),
            ("exporter", "pyscrai-tables", "csv jsonl"),
        )
        for name in names.split()
    }
)


@frozen
class Offer:
    """An extension together with the plugin that offers it.

    `kind` is one of the singular words of `hookspecs.KINDS`; `plugin` the name of the entry point;
    `distribution` and `version` those of the package that it came with.
    """

    kind: str
    name: str
    extension: Extension
    plugin: str
    distribution: str
    version: str


@frozen
class Plugin:
    """What became of one installed plugin.

    name
        the name of its entry point
    distribution, version
        the package that it came with
    module
        the module that the entry point names
    status
        `loaded`; `disabled`: it was not wanted and not imported; `broken`: it failed
    error
        one line: why it is disabled or broken, and what to do
    extensions
        what it offers (of a broken one: what is known of it)
    details
        the traceback of a broken one, for people who write plugins
    """

    name: str
    distribution: str
    version: str
    module: str
    status: Status = "loaded"
    error: str = ""
    extensions: tuple[Offer, ...] = ()
    details: str = ""
    #: What a broken plugin raised.
    cause: BaseException | None = field(default=None, eq=False, repr=False)

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


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
        found = list(_installed()) if installed else []
        self._given = frozenset(map(_name_of, extra))
        loaded: list[Plugin] = []
        first: dict[str, Plugin] = {}
        for plugin, fetch in sorted(found, key=lambda each: (each[0].name, each[0].distribution)):
            # A module that was handed in and is also installed is one plugin, and it is wanted.
            reason = "" if plugin.module in self._given else _unwanted(plugin, plugins, disable)
            if reason:
                loaded.append(evolve(plugin, status="disabled", error=reason))
            else:
                loaded.append(_loaded(plugin, fetch, first.setdefault(plugin.name, plugin)))
        modules = {plugin.module for plugin, _ in found}
        for thing in extra:
            if (name := _name_of(thing)) not in modules:
                given = Plugin(name, GIVEN, str(getattr(thing, "__version__", "")), name)
                loaded.append(_loaded(given, partial(_same, thing), given))
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
                problems.append(f"{name!r} is not installed{_guess(name, known)}")
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
            self._targets[kind, name] = _target(self.offer(kind, name))
        return self._targets[kind, name]

    def _raise_missing(self, kind: str, name: str) -> NoReturn:
        where = f"{kind} {name!r}"
        broken, disabled = self._with("broken"), self._with("disabled")
        for plugin in (*broken, *disabled):
            if _may_offer(plugin, kind, name):
                status = "broken" if plugin in broken else "installed and disabled"
                problem = f"its plugin {plugin} is {status}: {plugin.error}"
                raise ExtensionError(f"{where}: {problem}") from plugin.cause

        installed = sorted({offer.name for offer in self.offers(kind)})
        published = {other: dist for (its_kind, other), dist in FIRST_PARTY.items() if its_kind == kind}
        guess = "" if name in published else _closest(name, {*installed, *published})
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


def _installed() -> Iterator[tuple[Plugin, Callable[[], object]]]:
    """Every entry point of our group, and how to import what it names."""
    for entry in metadata.entry_points(group=PROJECT):
        # A damaged installation may lack its metadata; it is shown as the distribution `None`.
        about = (str(entry.dist.name), str(entry.dist.version)) if entry.dist else ("None", "None")
        yield Plugin(entry.name, *about, entry.value.partition(":")[0].strip()), entry.load


def _same(thing: object) -> object:
    return thing


def _name_of(thing: object) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))


def _key(name: str) -> str:
    """A name as the packaging tools compare it: `Pyscrai_Tables` is `pyscrai-tables`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_called(plugin: Plugin, name: str) -> bool:
    return _key(name) in (_key(plugin.name), _key(plugin.distribution))


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


# -- loading ------------------------------------------------------------------------------------


def _loaded(plugin: Plugin, fetch: Callable[[], object], first: Plugin) -> Plugin:
    """Load one plugin; `first` is the plugin that came first under its name. Only Ctrl-C gets out."""
    offers: list[Offer] = []
    try:
        if first is not plugin:
            raise ContractError(
                f"two distributions have a plugin {plugin.name!r}, {first.distribution} {first.version} and "
                f"{plugin.distribution} {plugin.version}, and the first is used; uninstall one of them "
                "or add it to `disable` in pyscrai.toml by its distribution's name"
            )
        # Before the import, because what an older plugin imports may be gone; and again after it,
        # because the module itself has the last word.
        if plugin.distribution != GIVEN and (stated := _stated_api(plugin.module)) is not None:
            _check_api(plugin, stated)
        module = fetch()
        _check_api(plugin, getattr(module, "pyscrai_api", None))
        for offer in _collect(plugin, module):
            offers.append(offer)  # one by one: what a plugin offered before it failed is known
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin's module may raise anything, SystemExit too
        return evolve(
            plugin,
            status="broken",
            error=_line(error),
            extensions=tuple(offers),
            details="".join(TracebackException.from_exception(error).format()),
            cause=error,
        )
    return evolve(plugin, extensions=tuple(offers))


def _stated_api(module: str) -> object:
    """The contract version in a module's source, which is not executed; None if it is not to be seen."""
    spec = find_spec(module)
    read = getattr(spec.loader, "get_source", None) if spec else None
    for node in ast.parse(read(module) or "").body if read else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == "pyscrai_api":
                    return node.value.value
    return None


def _check_api(plugin: Plugin, stated: object) -> None:
    if stated == API_VERSION:
        return
    if isinstance(stated, int) and stated > API_VERSION:
        remedy = "upgrade the kernel: pip install --upgrade pyscrai-core"
    elif plugin.distribution == GIVEN:
        remedy = f"see what changed, then state `pyscrai_api = {API_VERSION}`"
    else:
        remedy = f"upgrade the plugin: pip install --upgrade {plugin.distribution}"
    says = "does not state" if stated is None else f"states {stated!r} as"
    raise ContractError(
        f"{plugin.module}: {says} the version of the contract that it was written for (`pyscrai_api`); "
        f"this kernel speaks version {API_VERSION}; {remedy}"
    )


def _collect(plugin: Plugin, module: object) -> Iterator[Offer]:
    """Register a plugin's hooks with pluggy, check them, call each once, and check what it returns."""
    # A manager for each plugin: no failed registration can leave anything behind for the others.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, plugin.name)
    except pluggy.PluginValidationError as error:
        raise ContractError(f"{_line(error)}; hooks take no arguments and return a list") from error
    callers = manager.get_hookcallers(module) or []
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        wrong = [caller.name for caller in callers if not caller.has_spec()]
        said = "; ".join(f"{name}: there is no such hook{_guess(name, KINDS)}" for name in wrong)
        raise ContractError(f"{plugin.module}.{said}") from error
    implemented = {caller.name: caller.get_hookimpls() for caller in callers}
    for hook, kind in KINDS.items():
        where = f"{plugin.module}.{hook}"
        for implementation in implemented.get(hook, ()):
            # Called directly, because pluggy drops an answer of None, which is a mistake here.
            for extension in _checked(where, implementation.function):
                yield Offer(kind, extension.name, extension, plugin.name, plugin.distribution, plugin.version)
        if hook not in implemented and inspect.isroutine(getattr(module, hook, None)):
            raise ContractError(f"{where}: not marked as a hook; put @hookimpl above it")


def _checked(where: str, hook: Callable[[], object]) -> list[Extension]:
    try:
        answer = hook()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the plugin's own code: it may raise anything
        raise ContractError(f"{where}: raised {_line(error)}") from error
    if not isinstance(answer, list) or not all(isinstance(item, Extension) for item in answer):
        raise ContractError(f"{where}: returned {_short(answer)}; expected a list of Extension")
    names: set[str] = set()
    for extension in answer:
        if not (isinstance(extension.name, str) and extension.name):
            raise ContractError(f"{where}: an extension has the name {extension.name!r}; expected a word")
        if not re.fullmatch(r"[\w.]+:[\w.]+", str(extension.target)):
            target = f"has the target {extension.target!r}; expected 'module:attribute'"
            raise ContractError(f"{where}: {extension.name!r} {target}")
        if extension.name in names:
            raise ContractError(f"{where}: offers {extension.name!r} twice; give each a name of its own")
        names.add(extension.name)
    return answer


def _target(offer: Offer) -> Any:
    """Import what an offer's target names, and check that it implements the contract of its kind."""
    target = offer.extension.target
    where = f"{offer.kind} {offer.name!r} ({offer.distribution} {offer.version})"
    module, _, attribute = target.partition(":")
    try:
        imported = import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # what it imports (an SDK, a compiled library) may raise anything
        remedy = (
            "install what is missing"
            if offer.distribution == GIVEN
            else f"install it and all that it needs again: pip install --force-reinstall {offer.distribution}"
        )
        raise ExtensionError(f"{where}: {module} cannot be imported: {_line(error)}; {remedy}") from error
    try:
        value = attrgetter(attribute)(imported)
    except AttributeError as error:
        raise ExtensionError(
            f"{where}: {_line(error)}; the target {target!r} must name what is there: tell its author"
        ) from error
    contract = CONTRACTS.get(offer.kind)
    if contract is None:
        return value
    expected = (Tool, Toolset) if contract is Tool else (contract,)
    if not (inspect.isclass(value) and issubclass(value, expected)):
        names = " or ".join(each.__name__ for each in expected)
        raise ExtensionError(
            f"{where}: the target {target!r} is {_short(value)}, not a subclass of {names}: tell its author"
        )
    if inspect.isabstract(value):
        lacks = ", ".join(sorted(getattr(value, "__abstractmethods__", ())))
        raise ExtensionError(f"{where}: {target!r} does not implement {lacks}: tell its author")
    return value


# -- words --------------------------------------------------------------------------------------


def _may_offer(plugin: Plugin, kind: str, name: str) -> bool:
    """Whether a plugin that is not loaded is the one to have offered this, as far as can be known."""
    return (
        any((offer.kind, offer.name) == (kind, name) for offer in plugin.extensions)
        or _key(plugin.name) == _key(name)
        or _key(plugin.distribution) == FIRST_PARTY.get((kind, name))
    )


def _plural(kind: str) -> str:
    """The plural of a kind, from its hook: `pyscrai_memories` is about memories."""
    hooks = {singular: hook for hook, singular in KINDS.items()}
    return hooks[kind].removeprefix(f"{PROJECT}_").replace("_", " ") if kind in hooks else kind


def _closest(name: str, known: Iterable[str]) -> str:
    folded = {other.casefold(): other for other in sorted(known)}
    return next((folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=1)), "")


def _guess(name: str, known: Iterable[str]) -> str:
    guess = _closest(name, known)
    return f" (did you mean {guess!r}?)" if guess else ""


def _line(error: BaseException) -> str:
    """An error in one line. Our own say all that there is to say; others need the name of their class."""
    # TracebackException, because str() of a stranger's exception may itself raise.
    text = " ".join(str(TracebackException.from_exception(error)).split())
    if isinstance(error, PyscraiError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _short(value: object) -> str:
    """What a value is, in few words; the words are its class's, since a repr may be long or fail."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, list):
        return f"a list of {', '.join(sorted({type(item).__name__ for item in value}))}"
    return f"an object of the class {type(value).__name__}"
