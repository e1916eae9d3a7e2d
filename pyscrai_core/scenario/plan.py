"""Everything that an execution needs, made ready: the scenario, the components' classes and options.

A plan comes from a file (`from_file`) or from the manifest of a run (`from_manifest`). Making it checks all
of the scenario and executes nothing of it; `Ensemble.make` then constructs the components.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path as FilesystemPath
from typing import Any

import attrs
import orjson
from attrs import define, frozen

from ..agent import ToolPolicy, Use
from ..contracts import Component, Provider
from ..errors import ContractError, ExtensionError, PyscraiError, ScenarioError
from ..language.templates import Prompt
from ..plugins import Host
from ..records import Sampling, canonical, digest
from .build import build, build_providers, check_kinds
from .document import Document, Found, Mark, Misfit, Misfits, Mistakes, Path, dotted
from .manifest import Manifest
from .model import CallPolicy, Scenario
from .modules import ModuleBlueprint, Modules
from .overrides import Override
from .resolve import load_document, resolve
from .source import Source
from .spec import AGENT_KEYS
from .structure import Structurer, check_prompts, inside, unknown_key
from .trust import Demands

#: The options of a provider, and of a tool, that are the kernel's.
KERNELS = {
    kind: {option.name for part in parts for option in attrs.fields(part)}
    for kind, parts in (("provider", (Sampling, CallPolicy)), ("tool", (ToolPolicy,)))
}


@frozen
class Blueprint:
    """A component that can be made: its class, and a function that gives its Config."""

    kind: str
    use: str
    options: Mapping[str, Any]
    cls: Any
    config: Callable[[], Any]

    def make(self) -> Any:
        try:
            return self.cls(self.config())
        except PyscraiError:
            raise
        except Exception as error:
            # A plugin's constructor may raise anything. It is told as the plugin's own failure.
            raise ContractError(
                f"{self.kind} {self.use!r}: it cannot be made: {type(error).__name__}: {error}; "
                "options are refused by its Config, with a ValueError; tell its author"
            ) from error


@define(eq=False)
class Plan:
    """A checked scenario with a blueprint for each of its components.

    `providers` is empty for a replay, which asks nobody. `segments` are what a fork changed, in the order in
    which it takes effect; the providers are then those of the last.
    """

    scenario: Scenario
    host: Host
    providers: dict[str, Blueprint]
    agents: dict[str, dict[str, Blueprint | None]]
    tools: dict[str, list[Blueprint]]
    schedule: Blueprint
    declared: dict[str, dict[str, Any]]
    demands: Demands
    files: dict[str, str]
    manifest: Manifest
    segments: tuple[Segment, ...] = ()

    @property
    def last(self) -> Plan:
        """The plan that is in force at the end."""
        return self.segments[-1].plan if self.segments else self

    @property
    def all(self) -> tuple[Plan, ...]:
        """Every plan that is in force at some time."""
        return (self, *(segment.plan for segment in self.segments))


@frozen
class Segment:
    """From the end of the step `after` on, the run goes on under `plan`."""

    after: int
    plan: Plan


def from_file(
    path: FilesystemPath,
    host: Host,
    *,
    overrides: Sequence[Override] = (),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int | None = None,
) -> Plan:
    """The plan for the scenario at `path`. Raises `ScenarioError` with all mistakes found."""
    source = Source(path.resolve().parent, Demands(), shown=path.parent)
    document = load_document(
        path, overrides=overrides, defaults=defaults or {}, seed=seed, host=host, source=source
    )
    return _make(document, host, source, replay=False)


def identities(plan: Plan) -> dict[str, str]:
    """What tells the models of a plan's providers from others: their extension and its options, hashed."""
    modules = plan.manifest.modules
    return {
        name: digest(canonical([use.use, use.options, modules.get(use.use.partition(":")[0], "")]))
        for name, use in plan.scenario.providers.items()
    }


def provider_of(name: str, options: Mapping[str, Any], host: Host) -> Provider:
    """One provider by itself, with options as `pyscrai.toml` has them. Raises `ScenarioError`."""
    document = Document.at({"providers": {name: dict(options)}}, Mark("pyscrai.toml"))
    mistakes = Mistakes(document)
    resolver = _Resolver(host, document, mistakes, Source(FilesystemPath.cwd(), Demands()))
    use = build_providers(document, resolver.structurer, mistakes)[name]
    mistakes.check()
    blueprint = resolver.make("provider", Use(use.use, use.options), ("providers", name))
    mistakes.check()
    assert blueprint is not None
    provider: Provider = blueprint.make()
    return provider


def from_manifest(manifest: Manifest, host: Host, *, replay: bool) -> Plan:
    """The plan of a recorded run; with `replay`, without its providers."""
    forks = manifest.changing_forks
    files = dict(manifest.files)

    def plan(scenario: dict[str, Any], last: bool) -> Plan:
        return _make(_document(scenario), host, _source(manifest, files), replay=replay or not last)

    first = plan(manifest.scenario, not forks)
    segments = []
    for fork in forks:
        assert fork.scenario is not None
        files |= fork.files
        segments.append(Segment(fork.after, plan(fork.scenario, fork is forks[-1])))
    first.segments = tuple(segments)
    return first


def changed(manifest: Manifest, overrides: Sequence[Override], seed: int | None, host: Host) -> Plan:
    """The plan for the last scenario of a manifest with changes. Raises `ScenarioError`."""
    document = _document(copy.deepcopy(manifest.last_scenario))
    files = manifest.known_files
    for override in overrides:
        # A file that is named now is meant as it is now.
        for name in _strings(override.value):
            files.pop(name.rpartition(":")[0] if ".py:" in name else name, None)
    source = _source(manifest, files, recorded=False)
    resolve(document, overrides=overrides, defaults={}, seed=seed, source=source)
    return _make(document, host, source, replay=False)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _document(value: dict[str, Any]) -> Document:
    return Document.at(value, Mark("the run's scenario"))


def _source(manifest: Manifest, files: Mapping[str, str], recorded: bool = True) -> Source:
    folder = FilesystemPath(manifest.folder).resolve()
    return Source(folder, Demands(), dict(files), recorded=recorded)


def _make(document: Document, host: Host, source: Source, *, replay: bool) -> Plan:
    mistakes = Mistakes(document)
    host = _narrowed(host, document, mistakes, replay)
    resolver = _Resolver(host, document, mistakes, source)
    scenario, unread = build(document, resolver.structurer, mistakes)

    def resolved(kind: str, use: Use | None, path: Path) -> Any:
        return resolver.make(kind, use, path) if use is not None and path not in unread else None

    providers: dict[str, Any] = {}
    if not replay:
        for name, provider in scenario.providers.items():
            use = Use(provider.use, provider.options)
            providers[name] = resolved("provider", use, ("providers", name))
    agents: dict[str, dict[str, Blueprint | None]] = {}
    tools: dict[str, list[Any]] = {}
    for name, agent in scenario.agents.items():
        path: Path = ("agents", name)
        agents[name] = {
            kind: resolved(kind, use, (*path, kind))
            for kind, use in (
                ("engine", agent.engine),
                ("reasoning", agent.reasoning),
                ("memory", agent.memory),
            )
        }
        tools[name] = [
            resolved("tool", Use(one.use, one.options), (*path, "tools", index))
            for index, one in enumerate(agent.tools)
        ]
    schedule = resolved("schedule", scenario.schedule, ("schedule",))
    mistakes.check()
    _check_sampling(scenario, providers, mistakes)
    check_kinds(scenario, resolver.declared, mistakes)
    return Plan(
        scenario=scenario,
        host=host,
        providers=providers,
        agents=agents,
        tools=tools,
        schedule=schedule,
        declared=resolver.declared,
        demands=source.demands,
        files=source.files,
        manifest=Manifest(
            scenario=scenario.document,
            folder=str(source.folder),
            files=source.files,
            plugins=[
                {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
                for plugin in host.plugins
                if plugin.status == "loaded"
            ],
            extensions=resolver.recorded,
            prompts=resolver.prompts,
            modules=resolver.modules.hashes,
        ),
    )


def _check_sampling(scenario: Scenario, providers: Mapping[str, Blueprint], mistakes: Mistakes) -> None:
    """Note the sampling options that a provider's model, or that of one of its fallbacks, would refuse."""
    for name, blueprint in providers.items():
        use = scenario.providers[name]
        for asked in (name, *use.policy.fallback):
            maker = blueprint if asked == name else providers[asked]
            if isinstance(maker, ModuleBlueprint):
                continue  # nobody allowed yet that it is executed; it is asked before each request
            for option, why in maker.make().refuses(use.sampling).items():
                about = "" if asked == name else f"its fallback {asked!r} refuses it: "
                mistakes.add(("providers", name, option), f"{about}{why}")
    mistakes.check()


def _narrowed(host: Host, document: Document, mistakes: Mistakes, replay: bool) -> Host:
    """The host with the plugins that the scenario chooses; a choice that is wrong is noted."""
    names = document.value.get("plugins")
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        return host  # there is none, or building reports it
    usable = []
    for index, name in enumerate(names):
        try:
            host.narrowed([name])
            usable.append(name)
        except ExtensionError as error:
            if not replay:  # where a provider's plugin may be gone: nothing of it is needed
                mistakes.add(("plugins", index), str(error).removeprefix("plugins: "), cause=error)
    # With a wrong choice all plugins serve to look for further mistakes.
    return host.narrowed(usable) if replay or len(usable) == len(names) else host


class _Resolver:
    """Makes blueprints; the same choice with the same options is worked out once."""

    def __init__(self, host: Host, document: Document, mistakes: Mistakes, source: Source) -> None:
        self.structurer = Structurer(
            read=lambda name: (source.read(name), name),
            locate=lambda name: str(source.locate(name)),
            demand=source.demands.add,
            build=self.build,
        )
        self._host = host
        self._document = document
        self._mistakes = mistakes
        self._made: dict[tuple[str, str, bytes], tuple[Any, list[Found]] | ExtensionError] = {}
        self._nested = 0
        self._drafting: Path | None = None
        self.declared: dict[str, dict[str, Any]] = {}
        self.recorded: list[dict[str, Any]] = []
        self.prompts: dict[str, str] = {}
        self.modules = Modules(source, self.declared)

    def make(self, kind: str, use: Use, path: Path) -> Blueprint | None:
        """The blueprint for a choice; what is wrong with it is noted."""
        key = (kind, use.use, canonical(use.options))
        if key not in self._made:
            self._made[key] = self._draft(kind, use, path)
        made = self._made[key]
        if isinstance(made, ExtensionError):
            named = (*path, "use")
            where = named if self._document.has_mark(named) else path
            self._mistakes.add(where, str(made), cause=made)
            return None
        blueprint: Blueprint = made[0]
        found = made[1]
        for below, what, on_key in found:
            self._note(kind, blueprint.cls, path, below, what, on_key)
        return blueprint

    def _draft(self, kind: str, use: Use, path: Path) -> tuple[Any, list[Found]] | ExtensionError:
        try:
            if self.modules.reference(use.use):
                return self._module(kind, use, path), []
            cls = self._host.load(kind, use.use)
        except ValueError as error:
            return ExtensionError(str(error))
        except ExtensionError as error:
            return error
        before = self._nested
        self._drafting = path
        try:
            config = self._configure(cls, use.options)
        except Misfits as error:
            return Blueprint(kind, use.use, use.options, cls, lambda: None), error.found
        finally:
            self._drafting = None
        self._record(kind, use, cls, config, path)
        if self._nested > before:
            # Its options hold components: every agent needs its own.
            return Blueprint(kind, use.use, use.options, cls, lambda: self._configure(cls, use.options)), []
        return Blueprint(kind, use.use, use.options, cls, lambda: config), []

    def _module(self, kind: str, use: Use, path: Path) -> ModuleBlueprint:
        self.recorded.append(
            {"at": dotted(path), "kind": kind, "use": use.use, "plugin": "", "config": use.options}
        )

        def wrong(below: Path, what: str) -> ScenarioError:
            return self._document.error((*path, *below), what)

        return ModuleBlueprint(kind, use.use, use.options, wrong, self.modules, self.structurer)

    def build(self, kind: str, value: Any) -> Component:
        """The component for a nested `{use: …}`. Raises `Misfit` or `Misfits`."""
        use = self.structurer.structure(value, Use)
        try:
            cls = self._host.load(kind, use.use)
        except ExtensionError as error:
            raise Misfit(str(error), ("use",) if isinstance(value, dict) else ()) from None
        config = self._configure(cls, use.options)
        self._nested += 1
        self.declared.update(getattr(cls, "emits", {}))
        if self._drafting is not None:  # what is made of the draft later is recorded already
            self._record(kind, use, cls, config, (*self._drafting, kind))
        component: Component = Blueprint(kind, use.use, use.options, cls, lambda: config).make()
        return component

    def _configure(self, cls: Any, options: dict[str, Any]) -> Any:
        config = self.structurer.structure(options, cls.Config)
        found: list[Found] = [
            (option, f"{origin}{f':{error.line}' if error.line else ''}: {error}", False)
            for option, origin, error in check_prompts(config)
        ]
        if found:
            raise Misfits(found)
        return config

    def _note(self, kind: str, cls: Any, path: Path, below: Path, what: str, on_key: bool) -> None:
        full = (*path, *below)
        if on_key and len(below) == 1 and kind in KERNELS and what.startswith("unknown key"):
            # The kernel's options stand beside the extension's.
            known = {option.alias for option in attrs.fields(cls.Config) if option.init}
            what = unknown_key(str(below[0]), known | KERNELS[kind])
        if kind == "engine" and below and not self._document.has_mark(full):
            # An engine's options may stand among the agent's own keys.
            full = (*path[:-1], *below)
            if on_key and len(below) == 1:
                known = {option.alias for option in attrs.fields(cls.Config) if option.init} | AGENT_KEYS
                what = unknown_key(str(below[0]), (known | {"template", "count", "vary"}) - {"variables"})
        self._mistakes.add(full, what, on_key)

    def _record(self, kind: str, use: Use, cls: Any, config: Any, path: Path) -> None:
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
