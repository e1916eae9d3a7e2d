"""Choices of components, `use: NAME` with options, and the blueprints that the components are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs
import orjson
from attrs import field, frozen

from ..agent import ToolUse, Use
from ..canonical import canonical
from ..contracts import Component
from ..errors import ContractError, ExtensionError, PyscraiError
from ..language.misfit import Misfit, Misfits, Path
from ..language.templates import Prompt
from ..plugins import Host
from ..suggest import unknown_key
from .document import Document, Mistakes, dotted
from .model import KERNEL_OPTIONS, ProviderUse
from .modules import Modules
from .options import check_prompts, inside, option_hooks
from .source import Source
from .spec import AGENT_KEYS, SPEC_HOOKS
from .structure import Structurer

#: A choice of an extension, with its options.
AnyUse: TypeAlias = Use | ProviderUse | ToolUse


@frozen
class Blueprint:
    """A component that can be made; `load` gives its class and its options as a Config.

    With `deferred` it is the scenario's own code, which is executed when it is made: only once a person has
    approved that. `code` has the hashes of its files.
    """

    kind: str
    use: str
    options: Mapping[str, Any]
    load: Callable[[], tuple[Any, Any]]
    deferred: bool = False
    code: Mapping[str, str] = field(factory=dict)

    def make(self) -> Any:
        """The component. Raises `ScenarioError` for what only shows when its code is executed."""
        cls, config = self.load()
        try:
            return cls(config)
        except PyscraiError:
            raise
        except Exception as error:
            # A plugin's constructor may raise anything: report it as a failure of the plugin.
            raise ContractError(
                f"{self.kind} {self.use!r}: it cannot be made: {type(error).__name__}: {error}; "
                "options are refused by its Config, with a ValueError; tell its author"
            ) from error


@frozen
class _Resolved:
    """A choice that was worked out: its class (None: not known yet), its blueprint, and what does not fit."""

    cls: Any
    blueprint: Blueprint
    misfits: tuple[Misfit, ...] = ()


class Resolver:
    """Makes blueprints; the same choice with the same options is worked out once."""

    def __init__(self, host: Host, document: Document, mistakes: Mistakes, source: Source) -> None:
        self.structurer = Structurer({**SPEC_HOOKS, **option_hooks(source)}, self._make_nested)
        self._host = host
        self._document = document
        self._mistakes = mistakes
        self._resolved: dict[tuple[str, str, bytes], _Resolved | ExtensionError] = {}
        #: How many components were made inside the options of others.
        self._nested = 0
        #: The path of the choice that is being worked out.
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
            named = (*path, "use")
            where = named if self._document.has_mark(named) else path
            self._mistakes.add(where, str(resolved), cause=resolved)
            return None
        for misfit in resolved.misfits:
            self._note(kind, resolved.cls, path, misfit)
        return resolved.blueprint

    def _resolve(self, kind: str, use: AnyUse, path: Path) -> _Resolved | ExtensionError:
        try:
            if self.modules.reference(use.use):
                return _Resolved(None, self._deferred(kind, use, path))
            cls = self._host.load(kind, use.use)
        except ValueError as error:
            return ExtensionError(str(error))
        except ExtensionError as error:
            return error

        def load() -> tuple[Any, Any]:
            return cls, self._configure(cls, use.options)

        before, self._path = self._nested, path
        try:
            loaded = load()
        except Misfit as error:
            return _Resolved(cls, Blueprint(kind, use.use, use.options, load), tuple(error.found))
        finally:
            self._path = None
        self._record(kind, use, cls, loaded[1], path)
        # If its options hold components, every agent needs its own.
        again = load if self._nested > before else lambda: loaded
        return _Resolved(cls, Blueprint(kind, use.use, use.options, again))

    def _deferred(self, kind: str, use: AnyUse, path: Path) -> Blueprint:
        """The blueprint for a component of the scenario's own, of which nothing is executed yet."""
        recorded = {"at": dotted(path), "kind": kind, "use": use.use, "plugin": "", "config": use.options}
        self.recorded.append(recorded)

        def load() -> tuple[Any, Any]:
            try:
                cls = self.modules.load(kind, use.use)
                config = self.structurer.structure(use.options, cls.Config)
            except Misfit as error:
                first = error.found[0]
                raise self._document.error((*path, *first.below), str(first)) from None
            except ValueError as error:
                raise self._document.error(path, str(error)) from error
            self.declared.update(getattr(cls, "emits", {}))
            return cls, config

        return Blueprint(kind, use.use, use.options, load, deferred=True, code=self.modules.hashes)

    def _make_nested(self, kind: str, value: Any) -> Component:
        """The component for a nested `{use: …}`. Raises `Misfit`."""
        use = self.structurer.structure(value, Use)
        try:
            cls = self._host.load(kind, use.use)
        except ExtensionError as error:
            raise Misfit(str(error), ("use",) if isinstance(value, dict) else ()) from None
        config = self._configure(cls, use.options)
        self._nested += 1
        self.declared.update(getattr(cls, "emits", {}))
        if self._path is not None:  # what is made from a blueprint later is recorded already
            self._record(kind, use, cls, config, (*self._path, kind))
        component: Component = Blueprint(kind, use.use, use.options, lambda: (cls, config)).make()
        return component

    def _configure(self, cls: Any, options: dict[str, Any]) -> Any:
        config = self.structurer.structure(options, cls.Config)
        if found := list(check_prompts(config)):
            raise Misfits(found)
        return config

    def _note(self, kind: str, cls: Any, path: Path, misfit: Misfit) -> None:
        """Note what does not fit in the options of the choice at `path`."""
        where, what = (*path, *misfit.below), str(misfit)
        known = {option.alias for option in attrs.fields(cls.Config) if option.init}
        unknown = misfit.on_key and len(misfit.below) == 1
        if unknown and kind in KERNEL_OPTIONS and what.startswith("unknown key"):
            # The options of the kernel are written beside those of the extension.
            known.update(option.name for part in KERNEL_OPTIONS[kind] for option in attrs.fields(part))
            what = unknown_key(str(misfit.below[0]), known)
        if kind == "engine" and misfit.below and not self._document.has_mark(where):
            # An engine's options may be written among the agent's own keys.
            where = (*path[:-1], *misfit.below)
            if unknown:
                known |= AGENT_KEYS | {"template", "count", "vary"}
                what = unknown_key(str(misfit.below[0]), known - {"variables"})
        self._mistakes.add(where, what, misfit.on_key)

    def _record(self, kind: str, use: AnyUse, cls: Any, config: Any, path: Path) -> None:
        self.declared.update(getattr(cls, "emits", {}))
        offer = self._host.offer(kind, use.use)
        for prompt in _prompts(config):
            self.prompts[prompt.origin] = prompt.sha256
        self.recorded.append(
            {
                "at": dotted(path),
                "kind": kind,
                "use": use.use,
                "plugin": offer.plugin,
                "config": orjson.loads(orjson.dumps(_plain(config), default=str)),
            }
        )


def _prompts(config: Any) -> Iterator[Prompt]:
    for value in inside(config):
        if isinstance(value, Prompt):
            yield value
        elif isinstance(value, Component):
            yield from _prompts(value.config)


def _plain(value: Any) -> Any:
    """A Config as the manifest shows it; a prompt by its origin and hash."""
    if isinstance(value, Prompt):
        return {"prompt": value.origin, "sha256": value.sha256}
    if isinstance(value, Component):
        return {"component": type(value).__name__, "config": _plain(value.config)}
    if attrs.has(type(value)):
        return {option.name: _plain(getattr(value, option.name)) for option in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(part) for part in value]
    return value
