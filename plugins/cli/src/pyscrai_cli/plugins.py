"""`pyscrai plugins` and `pyscrai doctor`: what is there, and whether it can be used."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from pyscrai_core import PyscraiError
from pyscrai_core.contracts import Probe
from pyscrai_records.secret import redact

from . import options, output
from .group import host_of
from .paging import paged
from .run import SUGGESTED_MODELS

if TYPE_CHECKING:
    from pyscrai_core.config import Settings
    from pyscrai_core.contracts import Provider
    from pyscrai_core.plugins import Host, Offer, Plugin
    from pyscrai_core.scenario.trust import Gate
    from pyscrai_records.base.time_limit import Watch

T = TypeVar("T")
#: The environment's settings. Others of such a name may hold a secret.
SETTINGS = ("PYSCRAI_DEBUG", "PYSCRAI_DISABLE", "PYSCRAI_OBSERVERS", "PYSCRAI_PLUGINS", "PYSCRAI_STORE")
#: The names of tools that all vendors take.
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Imports that take longer are named, in seconds.
SLOW = 1.0
#: Seconds that a provider may take to look around.
PROBE_SECONDS = 15.0


@click.command()
@click.option(
    "--check",
    is_flag=True,
    help="Import all that they offer, and open what needs no options; exit status 1 if any of it is broken.",
)
@options.pager_option
@options.json_option
def plugins(check: bool, pager: bool, as_json: bool) -> int:
    """List the plugins and what they offer.

    \b
    Examples:
      pyscrai plugins
      pyscrai plugins --check
    """
    from pyscrai_core.config import load_settings

    host = host_of(load_settings())
    unusable = _unusable(host, _all_offers(host), opened=True) if check else {}
    if as_json:
        output.print_json(_as_json(host, unusable))
    else:
        with paged(pager):
            _print(host, unusable)
    for plugin in host.plugins:
        if plugin.seconds > SLOW:
            output.note(
                f"slow: plugin {plugin} takes {plugin.seconds:.1f} s to import, which every command waits for"
            )
    broken = [plugin for plugin in host.plugins if plugin.status == "broken"]
    return 1 if check and (broken or unusable) else 0


def _all_offers(host: Host) -> list[Offer]:
    """What all plugins offer that are not disabled, the broken ones too: more may be wrong with them."""
    broken = [plugin for plugin in host.plugins if plugin.status == "broken"]
    return [*host.offers(), *(offer for plugin in broken for offer in plugin.extensions)]


def _unusable(host: Host, offers: list[Offer], opened: bool = False) -> dict[tuple[str, str], str]:
    """Those of the offers that cannot be loaded (or `opened`), by kind and name, with the reason."""
    from pyscrai_core import ExtensionError
    from pyscrai_core.discovery.loading import import_target

    reasons = {}
    loaded = {plugin.name for plugin in host.plugins if plugin.status == "loaded"}
    for offer in offers:
        began = time.perf_counter()
        try:
            made = host.load(offer.kind, offer.name) if offer.plugin in loaded else import_target(offer)
        except ExtensionError as error:
            reasons[offer.kind, offer.name] = str(error)
            continue
        if (seconds := time.perf_counter() - began) > SLOW:
            output.note(f"slow: {offer} takes {seconds:.1f} s to import, which its first use waits for")
        if offer.kind == "command" and not isinstance(made, click.Command):
            what = f"the target {offer.extension.target!r} is of the class {type(made).__name__}"
            reasons[offer.kind, offer.name] = f"{offer}: {what}, expected a click.Command: tell its author"
        if opened and (wrong := _wrong_declaration(made) or _wrong_opening(offer, made)):
            reasons[offer.kind, offer.name] = f"{offer}: {wrong}"
    return reasons


def _wrong_declaration(made: Any) -> str:
    """What is wrong with the methods of a component, or the types of its options; empty if nothing is."""
    from pyscrai_core import ContractError
    from pyscrai_core.contracts import Component
    from pyscrai_core.discovery.blame import check_methods
    from pyscrai_core.scenario.options import check_options

    if not (isinstance(made, type) and issubclass(made, Component)):
        return ""
    try:
        check_methods(made)
        check_options(made.Config)
        for option in attrs.fields(made.Config):
            if isinstance(option.default, (list, dict, set)):
                kind = type(option.default).__name__
                what = f"the default is a {kind} that all components share, and could change"
                return f"{made.Config.__name__}.{option.name}: {what}; write `= field(factory={kind})`"
    except ContractError as error:
        return str(error)
    return ""


def _wrong_opening(offer: Offer, made: Any) -> str:
    """Why a component that needs no options cannot be opened and closed; empty if it can."""
    from pyscrai_core import ContractError

    late: Exception | None = TimeoutError()
    fault = _watched(partial(_open_and_close, made), late, str(offer))
    if fault is None:
        return ""
    if isinstance(fault, ContractError):
        return str(fault)
    if isinstance(fault, TimeoutError):
        return f"it was not opened and closed within {PROBE_SECONDS:g} s; tell its author"
    return f"it cannot be opened: {type(fault).__name__}: {fault}; tell its author"


def _watched(work: Callable[[Watch], Coroutine[Any, Any, T]], late: T, what: str) -> T:
    """What `work` with a plugin returns, or `late` if it does not end by itself."""
    from pyscrai_core.runtime.components import watch_components
    from pyscrai_records.base.time_limit import LeftBehind, run_alone

    blocks = f"{what}: it blocks everything else; end this with Ctrl-C, and tell its author"
    watch = watch_components(lambda: output.note(blocks))
    try:
        return run_alone(watch.oversee(work(watch)))
    except LeftBehind:
        if watch.cancelled:
            raise KeyboardInterrupt from None
        return late


async def _open_and_close(made: Any, watch: Watch) -> Exception | None:
    """What opening and closing a component that needs no options raises, if no message for a person."""
    from pyscrai_core import ContractError, PyscraiError
    from pyscrai_core.calls.bound_tools import spec_of
    from pyscrai_core.contracts import Component, Tool
    from pyscrai_records.base.time_limit import OutOfTime

    if not (isinstance(made, type) and issubclass(made, Component)):
        return None
    try:
        config = made.Config()
    except (TypeError, ValueError, PyscraiError):
        return None  # it needs options
    try:
        component = made(config)
        if isinstance(component, Tool) and not NAME.fullmatch(name := spec_of(component, check=True).name):
            return ContractError(
                f"its `name` is {name!r}, expected ASCII letters, digits, _ and -; tell its author"
            )
        with watch.limit(PROBE_SECONDS):
            await component.aopen()
            await component.aclose()
    except ContractError as error:
        return error
    except PyscraiError:
        return None
    except OutOfTime:
        return TimeoutError()
    except Exception as error:  # noqa: BLE001  a plugin may raise anything; that is what is told of it
        return error
    return None


def _as_json(host: Host, unusable: dict[tuple[str, str], str]) -> dict[str, Any]:
    return {
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "status": plugin.status,
                "error": plugin.error,
                "extensions": [
                    {
                        "kind": offer.kind,
                        "name": offer.name,
                        "summary": offer.extension.summary,
                        "error": unusable.get((offer.kind, offer.name), ""),
                    }
                    for offer in plugin.extensions
                ],
            }
            for plugin in host.plugins
        ],
        "conflicts": [
            {"kind": kind, "name": name, "distributions": [offer.distribution for offer in offers]}
            for (kind, name), offers in host.conflicts.items()
        ],
        "unmatched": list(host.unmatched),
    }


def _print(host: Host, unusable: dict[tuple[str, str], str]) -> None:
    if not host.plugins:
        output.echo("no plugins are installed; a first set: pip install pyscrai-cast pyscrai-schedules")
    for plugin in host.plugins:
        title = click.style(output.shown(plugin.name), bold=True)
        output.echo(
            f"{title}  {output.shown(f'{plugin.distribution} {plugin.version}')}  "
            f"{output.status(plugin.status)}"
        )
        if plugin.error:
            output.echo(f"  {output.shown(plugin.error)}")
        if plugin.details:
            debug = click.get_current_context().find_root().params.get("debug")
            output.echo(
                output.clean(plugin.details) if debug else "  for the traceback: pyscrai --debug plugins"
            )
        if plugin.status == "loaded":
            offered = [
                (output.shown(o.kind), output.shown(o.name), output.shown(o.extension.summary))
                for o in plugin.extensions
            ]
            _columns(offered)
            for offer in plugin.extensions:
                if reason := unusable.get((offer.kind, offer.name)):
                    output.echo(f"  {output.status('broken')}: {output.shown(reason)}")
    for line in _troubles(host):
        output.echo(output.clean(line))


def _columns(rows: list[tuple[str, str, str]]) -> None:
    widths = [max((len(row[index]) for row in rows), default=0) for index in (0, 1)]
    for kind, name, summary in rows:
        output.echo(f"  {click.style(kind.ljust(widths[0]), dim=True)}  {name.ljust(widths[1])}  {summary}")


def _troubles(host: Host) -> list[str]:
    """What is wrong between plugins and settings."""
    lines = []
    for (kind, name), offers in host.conflicts.items():
        who = " and ".join(offer.distribution for offer in offers)
        lines.append(
            f"conflict: {kind} {name!r} is offered by {who}; uninstall one or add it to `disable` in "
            "pyscrai.toml"
        )
    for name in host.unmatched:
        lines.append(
            f"not installed: {name!r}, which `plugins` or `disable` names, in pyscrai.toml or the environment"
        )
    return lines


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@options.store_option
@click.option("--offline", is_flag=True, help="Do not contact any server.")
@options.trust_option
def doctor(file: Path | None, store: str | None, offline: bool, trust: bool) -> int:
    """Report what is installed, usable and configured; status 1 if something is broken.

    For the providers in pyscrai.toml, or in the scenario FILE, it checks that the key is set, the server is
    reachable and the model is known. What these demand beyond being data needs your approval, as for a run.

    \b
    Examples:
      pyscrai doctor
      pyscrai doctor market.yaml
      pyscrai doctor --offline
    """
    from pyscrai_core import __version__
    from pyscrai_core.config import load_settings
    from pyscrai_core.hookspecs import API_VERSION
    from pyscrai_records.canonical import LOG_FORMAT

    from .perform import gate_of

    settings = load_settings(store=store)
    host = host_of(settings)
    store_words, store_fine = _store(settings)
    output.pairs(
        [
            ("python", f"{platform.python_version()}, {output.clean(sys.executable)}"),
            ("pyscrai", f"{__version__}, plugin contract {API_VERSION}, log format {LOG_FORMAT}"),
            ("settings", _settings(settings)),
            *((name, output.shown(os.environ[name])) for name in SETTINGS if name in os.environ),
            ("store", store_words),
            ("plugins", _count(host)),
        ]
    )
    broken = [plugin for plugin in host.plugins if plugin.status == "broken"]
    for plugin in broken:
        output.echo(f"  {output.status('broken')} {output.shown(f'{plugin}: {plugin.error}')}")
    for line in _troubles(host):
        output.echo(f"  {output.clean(line)}")

    offers = host.offers("provider")
    unusable = _unusable(host, offers)
    output.heading("providers")
    output.pairs(
        [(offer.name, _usable(host, offer, unusable.get(("provider", offer.name)))) for offer in offers]
        or [("none", "install one, such as: pip install pyscrai-llamacpp")],
        indent="  ",
    )
    if any(offer.name == "llamacpp" for offer in offers):
        output.heading("suggestion")
        output.echo("  the demo's model is very small; others write better, such as:")
        for model, size in SUGGESTED_MODELS.items():
            output.echo(f"  pyscrai demo --model {model}  ({size})")
        output.echo('  to download them: pip install "pyscrai-llamacpp[hub]"')
    fine = True
    for title, providers in _chosen(settings, host, file, None if offline else gate_of(trust)):
        output.heading(title)
        for name, provider in providers.items():
            fine &= _look(name, provider, offline)
    return 1 if broken or unusable or host.conflicts or not store_fine or not fine else 0


def _settings(settings: Settings) -> str:
    if settings.ignored:
        return f"{output.path(str(settings.ignored))} is not used: others can write it"
    return output.path(str(settings.source)) if settings.source else "no pyscrai.toml"


def _chosen(
    settings: Settings, host: Host, file: Path | None, gate: Gate | None
) -> Iterator[tuple[str, dict[str, Provider | str]]]:
    """The providers that somebody means to use, by where they are named; text is why one is none.

    Without a gate, they are only examined.
    """
    from pyscrai_core import InputError, api
    from pyscrai_core.runtime import execution
    from pyscrai_core.scenario.plan import provider_of

    if file is not None:
        plan = api.prepare(file, settings=settings, host=host)
        made: dict[str, Provider | str] = {}
        approval = None if gate is None else execution.approve(gate, plan, str(file))
        for name, one in plan.providers.items():
            if approval is not None:
                made[name] = one.make(approval)
            else:
                made[name] = "its code is not executed offline" if one.deferred else one.examine()
        yield f"providers of {output.path(str(file))}", made
    elif settings.providers:
        found: dict[str, Provider | str] = {}
        for name, use in settings.providers.items():
            try:
                found[name] = provider_of(name, use, host, gate, f"{settings.source}: providers.{name}")
            except InputError as error:
                found[name] = str(error)
        yield "providers of pyscrai.toml", found


def _look(name: str, provider: Provider | str, offline: bool) -> bool:
    """Print what a provider finds when it looks whether it could answer; whether all of it is fine."""
    if isinstance(provider, str):
        output.echo(f"  {output.shown(name)}  {output.status('broken')}: {output.clean(provider)}")
        return False
    model = getattr(provider.config, "model", "")
    output.echo(f"  {output.shown(name)}  {output.shown(model)}".rstrip())
    late: Sequence[Probe] = [Probe("server", False, f"no result after {PROBE_SECONDS:g} s")]
    probes = () if offline else _watched(partial(_probes, provider, late), late, provider.origin)
    for probe in probes:
        mark = click.style("yes", fg="green") if probe.ok else click.style("no ", fg="red")
        output.echo(f"    {probe.what:<8}{mark}  {output.shown(redact(probe.detail))}")
    return all(probe.ok for probe in probes)


async def _probes(provider: Provider, late: Sequence[Probe], watch: Watch) -> Sequence[Probe]:
    from pyscrai_records.base.time_limit import OutOfTime

    try:
        with watch.limit(PROBE_SECONDS):
            return await provider.probe()
    except OutOfTime:
        return late
    except PyscraiError as error:
        return [Probe("server", False, str(error))]
    except Exception as error:  # noqa: BLE001  a plugin may raise anything; that is what is told of it
        return [Probe("plugin", False, f"{type(error).__name__}: {error}; tell its author")]


def _usable(host: Host, offer: Offer, reason: str | None) -> str:
    if reason:
        return f"{output.status('broken')}: {output.shown(reason)}"
    words = f"importable, from {output.shown(f'{offer.distribution} {offer.version}')}"
    if key := host.load("provider", offer.name).vendor_key:
        words += f"; {key} {'is set' if os.environ.get(key, '').strip() else 'is not set'}"
    return words


def _count(host: Host) -> str:
    def number(plugins: list[Plugin], status: str) -> int:
        return sum(plugin.status == status for plugin in plugins)

    listed = list(host.plugins)
    words = [f"{number(listed, 'loaded')} loaded"]
    words += [f"{count} {status}" for status in ("broken", "disabled") if (count := number(listed, status))]
    return ", ".join(words)


def _store(settings: Settings) -> tuple[str, bool]:
    """The store in words, and whether it can be used. One that is not there is not made."""
    from pyscrai_core import StoreError
    from pyscrai_records.store.opening import path_of
    from pyscrai_records.store.store import Store

    try:
        path = path_of(settings.store)
        shown = output.path(str(path))
        if path.exists():
            with Store.open(settings.store, create=False) as opened:
                runs = output.counted(len(opened.runs()), "run")
            size = sum(
                part.stat().st_size
                for end in ("", "-wal")
                if (part := path.with_name(path.name + end)).exists()
            )
            return f"{shown}, writable, {runs}, {size / 1e6:.1f} MB", True
    except StoreError as error:
        return output.shown(str(error)), False
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if os.access(folder, os.W_OK):
        return f"{shown}, does not exist yet; the first run creates it", True
    return (
        f"{shown}, does not exist yet, and {output.path(str(folder))} is read-only; choose another place",
        False,
    )
