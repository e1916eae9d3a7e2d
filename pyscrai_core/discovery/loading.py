"""Loading one plugin: import its module, check its version, call its hooks, and check what they return.

Whatever a plugin does wrong is kept with it. What an extension needs is imported when it is first used.
"""

from __future__ import annotations

import inspect
import re
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from traceback import TracebackException
from types import FunctionType, MethodType, ModuleType
from typing import Any, Literal, TypeAlias

import attrs
import pluggy
from attrs import evolve, field, frozen

from pyscrai_records.base.own_code import is_own
from pyscrai_records.base.suggest import did_you_mean
from pyscrai_records.base.syntax import parse_module
from pyscrai_records.errors import ContractError, ExtensionError, PyscraiError
from pyscrai_records.records import Extension

from .. import hookspecs
from ..contracts import CONTRACTS, Tool, Toolset
from ..hookspecs import API_VERSION, KINDS, PROJECT

Status: TypeAlias = Literal["loaded", "disabled", "broken"]

#: The distribution of plugins that were handed in directly.
GIVEN = "(given)"
#: What pluggy takes for a hook.
FUNCTIONS = (FunctionType, MethodType, classmethod, staticmethod)


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

    def __str__(self) -> str:
        package = f"{self.distribution} {self.version}".strip()
        return f"{self.kind} {self.name!r} ({package.strip('()')})"


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
    #: How long its import took.
    seconds: float = field(default=0.0, eq=False, repr=False)
    #: What a broken plugin raised.
    cause: BaseException | None = field(default=None, eq=False, repr=False)

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


class _Manager(pluggy.PluginManager):
    """Looks for hooks among a module's functions: to look at all that it imports takes most of the time."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        if isinstance(plugin, ModuleType) and not isinstance(vars(plugin).get(name), FUNCTIONS):
            return None
        return super().parse_hookimpl_opts(plugin, name)


def manager() -> pluggy.PluginManager:
    """A manager that knows our hooks and no plugin."""
    made = _Manager(PROJECT)
    made.add_hookspecs(hookspecs)
    return made


def load_plugin(
    manager: pluggy.PluginManager, plugin: Plugin, fetch: Callable[[], object], first: Plugin
) -> Plugin:
    """Load one plugin; `first` is the plugin that came first under its name. Only Ctrl-C gets out."""
    offers: list[Offer] = []
    try:
        if first is not plugin:
            raise ContractError(
                f"two distributions have a plugin {plugin.name!r}, {first.distribution} {first.version} and "
                f"{plugin.distribution} {plugin.version}, and the first is used; uninstall one of them "
                "or add it to `disable` in pyscrai.toml by its distribution's name"
            )
        began = time.perf_counter()
        try:
            module = fetch()
            plugin = evolve(plugin, seconds=time.perf_counter() - began)
        except Exception:  # what it imports may be gone in this version: then the version is what is wrong
            if (stated := _stated_api(plugin.module)) is not None:
                _check_api(plugin, stated)
            raise
        _check_api(plugin, getattr(module, "pyscrai_api", None))
        for offer in _collect(manager, plugin, module):
            offers.append(offer)  # one by one: what a plugin offered before it failed is known
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin's module may raise anything, SystemExit too
        return evolve(
            plugin,
            status="broken",
            error=_line(error) + ("" if isinstance(error, PyscraiError) else _place(error)),
            extensions=tuple(offers),
            details="".join(TracebackException.from_exception(error).format()),
            cause=error,
        )
    return evolve(plugin, extensions=tuple(offers))


def _stated_api(module: str) -> object:
    """The contract version in a module's source, which is not executed; None if it cannot be read."""
    import ast

    spec = find_spec(module)
    read = getattr(spec.loader, "get_source", None) if spec else None
    try:
        tree = parse_module((read(module) or "") if read else "")
    except SyntaxError:
        return None
    for node in tree.body:
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


def _hooks(manager: pluggy.PluginManager, plugin: Plugin, module: object) -> dict[str, list[pluggy.HookImpl]]:
    """A plugin's hooks by name, as pluggy finds and checks them."""
    try:
        manager.register(module, plugin.name)
        callers = manager.get_hookcallers(module) or []
        wrong = [caller.name for caller in callers if not caller.has_spec()]
        if wrong:
            said = "; ".join(f"{name}: there is no such hook{did_you_mean(name, KINDS)}" for name in wrong)
            raise ContractError(f"{plugin.module}.{said}")
        return {caller.name: caller.get_hookimpls() for caller in callers}
    except pluggy.PluginValidationError as error:
        raise ContractError(f"{_line(error)}; hooks take no arguments and return a list") from error
    finally:
        # Nothing of it is left behind for the next one.
        if manager.is_registered(module):
            manager.unregister(module)


def _collect(manager: pluggy.PluginManager, plugin: Plugin, module: object) -> Iterator[Offer]:
    """Call each hook of a plugin once, and check what it returns. Raises at the end, for all faults."""
    implemented = _hooks(manager, plugin, module)
    faults: list[ContractError] = []
    for hook, kind in KINDS.items():
        where = f"{plugin.module}.{hook}"
        for implementation in implemented.get(hook, ()):
            # Called directly, because pluggy drops an answer of None, which is a mistake here.
            for extension in _checked(where, implementation.function, faults):
                yield Offer(kind, extension.name, extension, plugin.name, plugin.distribution, plugin.version)
        if hook not in implemented and inspect.isroutine(getattr(module, hook, None)):
            faults.append(ContractError(f"{where}: not marked as a hook; put @hookimpl above it"))
    if faults:
        raise ContractError("; ".join(map(str, faults))) from faults[0].__cause__


def _checked(where: str, hook: Callable[[], object], faults: list[ContractError]) -> Iterator[Extension]:
    """The extensions that a hook returns; what is wrong with the others is added to `faults`."""
    try:
        answer = hook()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  the plugin's own code: it may raise anything
        faults.append(ContractError(f"{where}: raised {_line(error)}"))
        faults[-1].__cause__ = error
        return
    if not isinstance(answer, list) or not all(isinstance(item, Extension) for item in answer):
        faults.append(ContractError(f"{where}: returned {_short(answer)}; expected a list of Extension"))
        return
    names: set[str] = set()
    for extension in answer:
        words = str(extension.name).split(" ") if hook.__name__ == "pyscrai_commands" else [extension.name]
        fault = ""
        if not (isinstance(extension.name, str) and extension.name):
            fault = f"an extension has the name {extension.name!r}; expected a word"
        elif not all(re.fullmatch(r"[\w.+@-]+", word) for word in words):
            expected = "expected letters, digits and any of . + @ _ -"
            fault = f"an extension has the name {extension.name!r}; {expected}"
        elif not re.fullmatch(r"[\w.]+:[\w.]+", str(extension.target)):
            fault = f"{extension.name!r} has the target {extension.target!r}; expected 'module:attribute'"
        elif extension.name in names:
            fault = f"offers {extension.name!r} twice; give each a name of its own"
        else:
            names.add(extension.name)
            yield extension
        if fault:
            faults.append(ContractError(f"{where}: {fault}"))


def import_target(offer: Offer) -> Any:
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
        raise ExtensionError(
            f"{where}: {module} cannot be imported: {_line(error)}{_place(error)}; {remedy}; for the "
            "traceback: pyscrai --debug …"
        ) from error
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
    config = getattr(value, "Config", None)
    if not (inspect.isclass(config) and attrs.has(config)):
        raise ExtensionError(
            f"{where}: the Config of {target!r} is {_short(config)}, expected a frozen class of attrs "
            f"(module {value.__module__}): tell its author"
        )
    return value


# -- words --------------------------------------------------------------------------------------


def _line(error: BaseException) -> str:
    """An error in one line. Our own say all that there is to say; others need the name of their class."""
    # TracebackException, because str() of a stranger's exception may itself raise.
    text = " ".join(str(TracebackException.from_exception(error)).split())
    if isinstance(error, PyscraiError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException) -> str:
    """The file and the line of a plugin that raised, as text to add; empty if it is not in one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    places = [
        f" ({frame.f_code.co_filename}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if "importlib" not in frame.f_code.co_filename and not is_own(frame)
    ]
    return places[-1] if places else ""


def _short(value: object) -> str:
    """What a value is, in few words; the words are its class's, since a repr may be long or fail."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, list):
        return f"a list of {', '.join(sorted({type(item).__name__ for item in value}))}"
    return f"an object of the class {type(value).__name__}"
