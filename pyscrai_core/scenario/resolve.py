"""From a file to a resolved document: overrides, defaults, templates and populations.

The result is plain data with the place of every part. It needs no other file any more: it holds what
templates and tables said, and `Source` holds the texts of the prompts that it names.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path as FilesystemPath
from typing import Any

from pyscrai_language import yaml
from pyscrai_language.document import Document, Mark, Mistakes
from pyscrai_language.lookalikes import normalize
from pyscrai_language.misfit import Misfit
from pyscrai_records.base.files import read_file
from pyscrai_records.base.suggest import expected
from pyscrai_records.canonical import check_json, digest
from pyscrai_records.errors import ContractError, Mistake, PyscraiError, ScenarioError

from ..plugins import Host
from .overrides import Override
from .populations import expand_populations
from .source import Source

#: Names of agents and groups: any text without the characters that separate or quote names elsewhere.
NAME = re.compile(r"[^\s.@*{}\[\]\"'/#:,](?:[^.@*{}\[\]\"'/#:,\n\t]*[^\s.@*{}\[\]\"'/#:,])?")


def read(path: FilesystemPath, host: Host, source: Source) -> Document:
    """The scenario at `path` as it is written. Raises `ScenarioError`."""
    suffix = path.suffix.lstrip(".")
    if suffix not in {offer.name for offer in host.offers("scenario loader")}:
        document = yaml.load(path)
    else:
        document = _load_with_plugin(path, host, suffix)
    with contextlib.suppress(OSError):  # a loader may read a file that is none
        source.written = digest(read_file(path))
    if not isinstance(document.value, dict):
        raise document.error((), expected("a mapping with at least `agents`", document.value))
    return document


def resolve(
    document: Document,
    *,
    overrides: Sequence[Override],
    defaults: Mapping[str, Mapping[str, Any]],
    seed: int | None,
    source: Source,
) -> None:
    """Bring overrides and defaults into a document, and expand its templates and populations.

    One that is resolved already stays as it is, but for what is overridden. Raises `ScenarioError`.
    """
    # Overrides that choose templates and populations are applied before these are expanded, all others after.
    for change in overrides:
        if not change.inside_agent:
            change.apply(document)
    if seed is not None:
        document.put(("seed",), seed, Mark("--seed"))
    _merge_defaults(document, defaults)
    _merge_templates(document, source)
    for change in overrides:
        if change.inside_agent and change.keys[1] in document.value["agents"]:
            change.apply(document)
    written = set(document.value["agents"])
    expand_populations(document, source)
    for change in overrides:
        if change.inside_agent and change.keys[1] not in written:
            # A member of a population, which shares its values with the others, or no agent at all.
            if change.keys[1] in document.value["agents"]:
                document.separate(("agents", change.keys[1]))
            change.apply(document)


def _load_with_plugin(path: FilesystemPath, host: Host, suffix: str) -> Document:
    """What a plugin's loader makes of the file."""
    try:
        read_file(path)
    except (OSError, ValueError):
        yaml.load(path)  # which says what is wrong with it
    load = host.load("scenario loader", suffix)
    try:
        value = load(path)
    except PyscraiError:
        raise
    except Exception as error:  # a plugin's loader may raise anything: report it as a failure of the plugin
        raise ContractError(
            f"scenario loader {suffix!r}: it raised {type(error).__name__}: {error} for {path}, "
            "expected a ScenarioError for bad input; tell its author"
        ) from error
    try:
        value = normalize(copy.deepcopy(check_json(value, "the scenario")))
    except (ValueError, RecursionError) as error:
        what = f"{error}; a scenario is plain data, as JSON is"
        raise ScenarioError([Mistake(str(path), "", what)]) from None
    return Document.at(value, Mark(str(path), 1, 1))


def _merge_defaults(document: Document, defaults: Mapping[str, Mapping[str, Any]]) -> None:
    if not defaults:
        return
    mark = Mark("pyscrai.toml")
    providers = document.value.setdefault("providers", {})
    document.mark_if_new(("providers",), mark)
    if not isinstance(providers, dict):
        return  # building reports it
    for name, options in normalize(dict(defaults)).items():
        given = providers.get(name)
        if given is None or isinstance(given, str):
            given = {"use": given} if given is not None else {}
        if not isinstance(given, dict):
            continue  # building reports it
        # Defaults for the options of one vendor do not apply to another.
        if "use" in given and given["use"] != options.get("use", given["use"]):
            continue
        providers[name] = {**options, **given}
        for key in options:
            document.mark_if_new(("providers", name, key), mark)
        document.mark_if_new(("providers", name), mark)


def _merge_templates(document: Document, source: Source) -> None:
    """Merge the agents with their templates. Raises `ScenarioError` with the mistakes of all agents."""
    agents = document.value.get("agents")
    if agents is None:
        raise document.error((), "`agents` is missing; name at least one agent")
    if not isinstance(agents, dict) or not agents:
        raise document.error(
            ("agents",), f"{expected('a mapping of agents', agents)}; name at least one agent"
        )
    mistakes = Mistakes(document)
    for name, given in agents.items():
        with mistakes.at("agents", name):
            if not NAME.fullmatch(name):
                what = "a name has no blanks around it and none of . @ * { } [ ] / # : , and quotes"
                raise Misfit(f"{name!r} is not a valid name for an agent: {what}", on_key=True)
            if not isinstance(given, dict):
                raise Misfit(expected("a mapping", given))
            if "template" in given:
                template = _read_template(given["template"], source)
                own = {key: part for key, part in given.items() if key != "template"}
                document.graft(("agents", name), template, template.value.keys() - own.keys())
                agents[name] = {**template.value, **own}
    mistakes.check()


def _read_template(name: Any, source: Source) -> Document:
    if not isinstance(name, str):
        raise Misfit(expected("the path of a file", name), ("template",))
    try:
        text = source.read(name)
    except ValueError as error:
        raise Misfit(str(error), ("template",)) from None
    template = yaml.loads(text, str(source.shown / name))
    if not isinstance(template.value, dict):
        raise template.error((), expected("a mapping with an agent's keys", template.value))
    if "template" in template.value:
        what = "a template cannot have a template; merge them into one file"
        raise template.error(("template",), what, on_key=True)
    return template
