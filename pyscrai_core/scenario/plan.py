"""Everything that an execution needs, made ready: the scenario, the components' classes and options.

A plan comes from a file (`from_file`), from a scenario that a program made (`from_document`), or from the
manifest of a run (`from_manifest`). Making it checks all of the scenario and executes nothing of it;
`Components` then constructs the components.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path as FilesystemPath
from typing import Any

from attrs import define, evolve, frozen

from pyscrai_language.document import RECORDED, Document, Mark, Mistakes
from pyscrai_language.misfit import Path
from pyscrai_records.base.log import report
from pyscrai_records.canonical import canonical, check_json, digest
from pyscrai_records.errors import ExtensionError, PyscraiError
from pyscrai_records.stored_run import StoredRun

from ..agent import Use
from ..contracts import Provider
from ..plugins import Host
from .blueprints import Blueprint, Resolver
from .build import Builder
from .checks import check_lookalikes, check_sampling, check_states
from .choices import check_choices
from .manifest import Manifest
from .model import Scenario
from .name_checks import Place, check_names
from .options import inside
from .overrides import Override
from .resolve import read, resolve
from .source import Source
from .trust import Gate


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
    source: Source
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

    @property
    def most_steps(self) -> int | None:
        """How many steps the schedule makes at most; None: it cannot tell.

        A schedule of the scenario's own is not asked, as that would execute its code.
        """
        if self.schedule.deferred:
            return None
        cls, config = self.schedule.load()
        agents = [name for name, agent in self.scenario.agents.items() if agent.acts.scheduled]
        try:
            return None if (told := cls.most_steps(config, agents)) is None else int(told)
        except Exception as error:  # noqa: BLE001  a plugin may raise anything; a bar is not worth a run
            report("WARNING", error, "{}: most_steps failed: {}", self.schedule.origin, error)
            return None

    def with_seed(self, seed: int) -> Plan:
        """The same under another seed; not if the seed samples its populations (`source.sampled`)."""
        document = {**self.scenario.document, "seed": seed}
        plan = copy.copy(self)
        plan.scenario = evolve(self.scenario, seed=seed, document=document)
        plan.manifest = evolve(self.manifest, scenario=document)
        return plan

    @property
    def demands(self) -> Collection[str]:
        """What a person has to approve."""
        return self.source.demands

    @property
    def content(self) -> str:
        """The hash of what a person approves: the file and those that it names; a seed is no part of it."""
        if self.source.recorded:
            return self.manifest.content
        return digest(canonical([self.source.written or self.scenario.document, self.source.files]))


@frozen
class Segment:
    """From the end of the step `after` on, the run continues under `plan`."""

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
    # `resolve` raises an error of its own for a link that leads to itself.
    source = Source(FilesystemPath(os.path.realpath(path)).parent, shown=path.parent)
    return from_document(
        read(path, host, source), host, source, overrides=overrides, defaults=defaults, seed=seed
    )


def from_document(
    document: Document,
    host: Host,
    source: Source,
    *,
    overrides: Sequence[Override] = (),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int | None = None,
) -> Plan:
    """The plan for a scenario that is read, or made by a program. `document` is changed."""
    resolve(document, overrides=overrides, defaults=defaults or {}, seed=seed, source=source)
    return _make(document, host, source)


def identities(plan: Plan) -> dict[str, str]:
    """What tells the models of a plan's providers from others: their extension and its options, hashed."""

    def code(use: str) -> str:
        text = plan.source.files.get(use.partition(":")[0])
        return "" if text is None else digest(text.encode())

    return {
        name: digest(canonical([use.use, use.options, code(use.use)]))
        for name, use in plan.scenario.providers.items()
    }


def provider_of(
    name: str, options: Mapping[str, Any], host: Host, gate: Gate | None, where: str = "pyscrai.toml"
) -> Provider:
    """One provider by itself, with options as `pyscrai.toml` has them; without a gate, one to examine only.

    Raises `ScenarioError`, and `TrustRequired` if a person does not approve what it demands.
    """
    value = {"scenario": name, "agents": {}, "providers": {name: dict(options)}}
    document = Document.at(value, Mark("pyscrai.toml"))
    mistakes, source = Mistakes(document), Source(FilesystemPath.cwd())
    resolver = Resolver(host, document, mistakes, source)
    uses = Builder(document, resolver.structurer, mistakes).providers()
    blueprint = resolver.resolve("provider", uses[name], ("providers", name)) if uses else None
    mistakes.check()
    assert blueprint is not None
    content = digest(canonical([value, source.files]))
    provider: Provider = (
        blueprint.examine() if gate is None else blueprint.make(gate.approve(where, content, source.demands))
    )
    return provider


def component_of(
    kind: str, chosen: Any, host: Host, gate: Gate, where: str, folder: FilesystemPath | None = None
) -> Any:
    """An exporter or observer by itself, chosen as a scenario chooses: a name, or `{"use": NAME, …}`.

    `where` names the choice in messages. A name such as `./mine.py:Sink` is a class in a file of the `folder`
    (default: the current one). Raises `ScenarioError` for a wrong choice or option, and `TrustRequired` if a
    person does not approve what it demands.
    """
    document = Document.at({}, Mark(where))
    mistakes, source = Mistakes(document), Source((folder or FilesystemPath.cwd()).resolve())
    resolver = Resolver(host, document, mistakes, source)
    blueprint = None
    with mistakes.at():
        document.value = copy.deepcopy(check_json(chosen, "the choice"))
        use = resolver.structurer.structure(document.value, Use)
        blueprint = resolver.resolve(kind, use, ())
    mistakes.check()
    assert blueprint is not None
    content = digest(canonical([document.value, source.files]))
    return blueprint.make(gate.approve(where, content, source.demands))


def from_manifest(manifest: Manifest, host: Host, *, replay: bool, check: bool = False) -> Plan:
    """The plan of a recorded run; with `replay`, without its providers.

    With `check`, the names in its scenarios are checked as before its first execution.
    """
    forks = manifest.changing_forks
    files = dict(manifest.files)
    host = host.remembering(manifest.distributions)

    def plan(scenario: dict[str, Any], last: bool) -> Plan:
        return _make(
            Document.at(scenario, RECORDED), host, _source(manifest, files, replay=replay), not check,
            replay=replay or not last,
        )  # fmt: skip

    first = plan(manifest.scenario, not forks)
    segments = []
    for fork in forks:
        assert fork.scenario is not None
        files |= fork.files
        segments.append(Segment(fork.after, plan(fork.scenario, fork is forks[-1])))
    first.segments = tuple(segments)
    return first


def most_steps(run: StoredRun, host: Host) -> int | None:
    """How many steps a recorded run makes at most; None: its schedule cannot tell, or is missing here."""
    try:
        return from_manifest(Manifest.to_execute(run), host, replay=True).last.most_steps
    except PyscraiError:
        return None


def changed(manifest: Manifest, overrides: Sequence[Override], seed: int | None, host: Host) -> Plan:
    """The plan for the last scenario of a manifest with changes. Raises `ScenarioError`."""
    document = Document.at(copy.deepcopy(manifest.last_scenario), RECORDED)
    files = manifest.known_files
    for override in overrides:
        # A file that is named now is meant as it is now.
        for name in inside(override.value):
            if isinstance(name, str):
                files.pop(name.rpartition(":")[0] if ".py:" in name else name, None)
    source = _source(manifest, files, recorded=False)
    resolve(document, overrides=overrides, defaults={}, seed=seed, source=source)
    return _make(document, host, source)


def _source(
    manifest: Manifest, files: Mapping[str, str], recorded: bool = True, *, replay: bool = False
) -> Source:
    folder = FilesystemPath(manifest.folder).resolve()
    return Source(folder, dict(files), recorded=recorded, replay=replay)


def _make(
    document: Document, host: Host, source: Source, recorded: bool = False, *, replay: bool = False
) -> Plan:
    mistakes = Mistakes(document)
    resolver = Resolver(host, document, mistakes, source)
    scenario = Builder(document, resolver.structurer, mistakes).scenario()
    host = resolver.host = _narrowed(host, scenario.plugins, mistakes, replay)
    check_states(scenario, mistakes)
    if not recorded:  # what was run once stays as it is
        check_lookalikes(scenario, mistakes)

    def resolved(kind: str, use: Use | None, path: Path) -> Any:
        # Where the choice could not be read, the default stands in for it.
        return None if use is None or path in mistakes else resolver.resolve(kind, use, path)

    providers: dict[str, Any] = {}
    if not replay:
        for name, provider in scenario.providers.items():
            providers[name] = resolver.resolve("provider", provider, ("providers", name))
    agents: dict[str, dict[str, Blueprint | None]] = {}
    tools: dict[str, list[Any]] = {}
    for name, agent in scenario.agents.items():
        path: Path = ("agents", name)
        agents[name] = {
            kind: resolved(kind, getattr(agent, kind), (*path, kind))
            for kind in ("engine", "reasoning", "memory")
        }
        tools[name] = [
            resolver.resolve("tool", tool, (*path, "tools", index)) for index, tool in enumerate(agent.tools)
        ]
    schedule = resolved("schedule", scenario.schedule, ("schedule",))
    mistakes.check()
    check_sampling(scenario, providers, mistakes)
    if not recorded:
        check_choices(scenario, providers, mistakes)
        places = [Place(None, "schedule", ("schedule",), schedule)]
        for name, agent in scenario.agents.items():
            used = [*agents[name].items(), *(("tool", each) for each in tools[name])]
            for index, (kind, blueprint) in enumerate(used, -len(agents[name])):
                below = (kind,) if index < 0 else ("tools", index)
                if blueprint is not None:
                    places.append(Place(agent, kind, ("agents", name, *below), blueprint))
        check_names(scenario, places, resolver, mistakes)
        mistakes.check()
    return Plan(
        scenario=scenario,
        host=host,
        providers=providers,
        agents=agents,
        tools=tools,
        schedule=schedule,
        declared=resolver.declared,
        source=source,
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


def _narrowed(host: Host, names: Sequence[str] | None, mistakes: Mistakes, replay: bool) -> Host:
    """The host with the plugins that the scenario chooses; a choice that is wrong is noted."""
    if names is None:
        return host
    usable = []
    for index, name in enumerate(names):
        try:
            host.narrowed([name])
            usable.append(name)
        except ExtensionError as error:
            if not replay:  # where a provider's plugin may be gone: nothing of it is needed
                mistakes.add(("plugins", index), str(error).removeprefix("plugins: "), cause=error)
    # After a wrong choice, all plugins are used to look for further mistakes.
    return host.narrowed(usable) if replay or len(usable) == len(names) else host
