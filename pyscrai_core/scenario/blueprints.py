"""Choices of components, `use: NAME` with options, and the blueprints that the components are made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, get_args

import attrs
import orjson
from attrs import field, frozen

from pyscrai_language.document import Document, Mistakes
from pyscrai_language.misfit import Misfit, Path, dotted
from pyscrai_language.templates import Prompt
from pyscrai_records.base.suggest import unknown_key
from pyscrai_records.canonical import canonical
from pyscrai_records.errors import ContractError, ExtensionError, PyscraiError, TrustRequired

from ..agent import ToolUse, Use
from ..contracts import Component, SecretName, Url
from ..plugins import Host
from .given import is_given, missing
from .model import KERNEL_OPTIONS, ProviderUse
from .modules import Modules
from .options import READ_SECRET, check_prompts, freeze_config, inside, option_hooks
from .source import Source
from .spec import AGENT_KEYS, SPEC_HOOKS
from .structure import Structurer, UnknownKey
from .trust import Approval

#: A choice of an extension, with its options.
AnyUse: TypeAlias = Use | ProviderUse | ToolUse


@frozen
class Blueprint:
    """A component that can be made; `load` gives its class and its options as a Config.

    With `deferred` it is the scenario's own code, which is executed when it is made. `code` has the hashes of
    its files, and `demands` are what a person has to approve before it is made; `check_files` raises
    `TrustRequired` if a file that they name was changed since.
    """

    kind: str
    use: str
    options: Mapping[str, Any]
    load: Callable[[], tuple[Any, Any]]
    deferred: bool = False
    code: Mapping[str, str] = field(factory=dict)
    demands: tuple[str, ...] = ()
    check_files: Callable[[Collection[str]], None] = lambda demands: None
    origin: str = ""
    place_of: Callable[..., str] = Component.place_of

    def make(self, approval: Approval) -> Any:
        """The component.

        Raises `TrustRequired` if the `approval` lacks a demand, and `ScenarioError` for what shows only
        when its code is executed.
        """
        approval.check(f"{self.kind} {self.use!r}", self.demands)
        self.check_files(self.demands)
        return self._make()

    def examine(self) -> Any:
        """An instance to ask about its options, which is never opened; not of a scenario's own code."""
        if self.deferred:
            raise TrustRequired(f"{self.kind} {self.use!r}: its code is not executed to examine it")
        return self._make()

    def _make(self) -> Any:
        cls, config = self.load()
        try:
            made = cls(config)
            made.origin, made.place_of = self.origin, self.place_of
            return made
        except PyscraiError:
            raise
        except Exception as error:  # a plugin's constructor may raise anything: its failure, and told so
            raise ContractError(
                f"{self.origin}: it cannot be made: {type(error).__name__}: {error}; "
                "options are refused by its Config, with a ValueError; tell its author"
            ) from error


#: What a choice was worked out to: its blueprint, and what does not fit in its options.
_Resolved: TypeAlias = tuple[Blueprint, Sequence[Misfit]]


class Resolver:
    """Makes blueprints; the same choice with the same options is worked out once."""

    def __init__(self, host: Host, document: Document, mistakes: Mistakes, source: Source) -> None:
        self.structurer = Structurer({**SPEC_HOOKS, **option_hooks(source)}, self._make_nested)
        self.host = host
        self._document = document
        self._mistakes = mistakes
        self._source = source
        self._resolved: dict[tuple[str, str, bytes], _Resolved | ExtensionError] = {}
        #: The path of the choice that is being worked out; what is made from a blueprint later has none.
        self._path: Path | None = None
        self.declared: dict[str, dict[str, Any]] = {}
        self.recorded: list[dict[str, Any]] = []
        self.prompts: dict[str, str] = {}
        self.modules = Modules(source)

    def resolve(self, kind: str, use: AnyUse, path: Path) -> Blueprint | None:
        """The blueprint for the choice at `path`; what is wrong with it is noted."""
        key = (kind, use.use, canonical(use.options))
        if key not in self._resolved:
            self._resolved[key] = self._resolve(kind, use, path)
        resolved = self._resolved[key]
        if isinstance(resolved, ExtensionError):
            where = (*path, "use") if self._document.has_mark((*path, "use")) else path
            self._mistakes.add(where, str(resolved), cause=resolved)
            return None
        blueprint, misfits = resolved
        for misfit in misfits:
            self.note(kind, path, misfit)
        return blueprint

    def _resolve(self, kind: str, use: AnyUse, path: Path) -> _Resolved | ExtensionError:
        self._source.latest.clear()
        try:
            if self.modules.reference(use.use):
                return self._deferred(kind, use, path), ()
            cls = self.host.load(kind, use.use)
        except ValueError as error:
            return ExtensionError(str(error))
        except ExtensionError as error:
            return missing(self.host, kind, use.use) if is_given(use.use) else error
        self._source.starts = not (self._source.replay and kind == "tool" and cls.external is True)

        def load() -> tuple[Any, Any]:
            return cls, self._configure(kind, use, cls, origin)

        origin, place = str(self.host.offer(kind, use.use)), partial(self._place, kind, path)
        self._path = path
        try:
            loaded = load()
        except Misfit as error:
            return Blueprint(kind, use.use, use.options, load, origin=origin), error.found
        finally:
            self._path = None
        # If its options hold components, every agent needs its own.
        own = any(isinstance(value, Component) for value in inside(loaded[1]))
        demands = tuple(self._source.latest)
        load = load if own else lambda: loaded
        check = self._source.check_files
        return Blueprint(kind, use.use, use.options, load, False, {}, demands, check, origin, place), ()

    def _deferred(self, kind: str, use: AnyUse, path: Path) -> Blueprint:
        """The blueprint for a component of the scenario's own, of which nothing is executed yet."""
        self._record(kind, use, "", use.options, path)
        own = f"{kind} {use.use!r} (the scenario's own code)"

        def load() -> tuple[Any, Any]:
            try:
                cls = self.modules.load(kind, use.use)
                return cls, self._configure(kind, use, cls, own)
            except Misfit as error:
                first = error.found[0]
                raise self._document.error((*path, *first.below), str(first)) from None
            except ValueError as error:
                raise self._document.error(path, str(error)) from error

        code, demands = self.modules.hashes, tuple(self._source.latest)
        place = partial(self._place, kind, path)
        return Blueprint(kind, use.use, use.options, load, True, code, demands, origin=own, place_of=place)

    def _make_nested(self, kind: str, value: Any) -> Component:
        """The component for a nested `{use: …}`. Raises `Misfit`."""
        use = self.structurer.structure(value, Use)
        try:
            cls = self.host.load(kind, use.use)
        except ExtensionError as error:
            raise Misfit(str(error), ("use",) if isinstance(value, dict) else ()) from None
        # What it demands, the component demands that has it as an option.
        origin = str(self.host.offer(kind, use.use))
        config = self._configure(kind, use, cls, origin, kind)
        one: Component = Blueprint(kind, use.use, use.options, lambda: (cls, config), origin=origin).examine()
        return one

    def _configure(self, kind: str, use: AnyUse, cls: Any, origin: str, *below: str) -> Any:
        """The options of a choice as a Config; it is `below` the one that is worked out. Raises `Misfit`."""
        try:
            config = freeze_config(self.structurer.structure(use.options, cls.Config))
        except ContractError as error:  # it has an option that no scenario can give
            raise ContractError(f"{origin}: {error}") from error
        self._demand_defaults(cls, config)
        check_prompts(config)
        self.declared.update(getattr(cls, "emits", {}))
        if self._path is not None:
            for value in inside(config):
                if isinstance(value, Prompt):
                    self.prompts[value.origin] = value.sha256
            plain = orjson.loads(orjson.dumps(config, default=_plain, option=orjson.OPT_NON_STR_KEYS))
            self._record(kind, use, self.host.offer(kind, use.use).plugin, plain, (*self._path, *below))
        return config

    def _demand_defaults(self, cls: Any, config: Any) -> None:
        """A key that is read by default would be sent to where the options say."""
        options = attrs.fields(attrs.resolve_types(cls.Config))
        kinds = {one.name: {one.type, *get_args(one.type)} for one in options}
        given = {one.name: getattr(config, one.name) for one in options}
        if not any(Url in kinds[one.name] and given[one.name] not in (None, one.default) for one in options):
            return
        for one in options:
            if SecretName in kinds[one.name] and one.default and given[one.name] == one.default:
                self._source.demand(READ_SECRET, one.default)
        for name in cls.reads:
            if os.environ.get(name):
                self._source.demand(READ_SECRET, name)

    def _record(self, kind: str, use: AnyUse, plugin: str, config: Any, path: Path) -> None:
        recorded = {"at": dotted(path), "kind": kind, "use": use.use, "plugin": plugin, "config": config}
        self.recorded.append(recorded)

    def note(self, kind: str, path: Path, misfit: Misfit) -> None:
        """Note what does not fit in the options of the choice at `path`."""
        where, what = self._where(kind, path, misfit.below), str(misfit)
        # The options of the kernel are written beside those of the extension.
        beside = {option.name for part in KERNEL_OPTIONS.get(kind, ()) for option in attrs.fields(part)}
        if where[: len(path)] != path:
            beside = {*AGENT_KEYS, "template", "count", "vary"} - {"variables"}
        if isinstance(misfit, UnknownKey):
            what = unknown_key(str(where[-1]), misfit.known | beside)
        self._mistakes.add(where, what, misfit.on_key)

    def _where(self, kind: str, path: Path, option: Path) -> Path:
        """The path of an option; those of an engine may be written among the agent's own keys."""
        beside = kind == "engine" and option and not self._document.has_mark((*path, *option))
        return (*path[:-1], *option) if beside else (*path, *option)

    def _place(self, kind: str, path: Path, *option: str | int) -> str:
        return self._document.place(self._where(kind, path, option))


def _plain(value: Any) -> Any:
    """What the manifest has for a value in a Config that is not JSON; a prompt by its origin and hash."""
    if isinstance(value, Prompt):
        return {"prompt": value.origin, "sha256": value.sha256}
    if isinstance(value, Component):
        return {"component": type(value).__name__, "config": value.config}
    if attrs.has(type(value)):
        return attrs.asdict(value, recurse=False)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, (set, frozenset)) else str(value)
