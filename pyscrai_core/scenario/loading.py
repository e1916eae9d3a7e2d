"""From a file to a resolved document: overrides, defaults, templates and populations.

The result is plain data with the place of every part. It needs no other file any more: what templates
and tables said is in it, and the texts of the prompts that it names are beside it.
"""

from __future__ import annotations

import copy
import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path as FilesystemPath
from typing import Any

from attrs import define, field

from ..errors import Mistake, ScenarioError
from ..plugins import Host
from ..runtime import seeds
from . import yaml
from .prompts import PromptError, guess, render_text
from .structure import Path, shown
from .trust import Demands
from .yaml import Document, Mark

#: The most agents that one population makes.
MAX_COUNT = 100_000
#: Names of agents and groups: anything that a person would read as a name, and no separator of ours.
NAME = re.compile(r"[^\s.@*{}\[\]\"'/#:,][^.@*{}\[\]\"'/#:,\n\t]*")
VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@define
class Source:
    """A scenario's folder, and the files that were read from it.

    `shown` is the folder as a person gave it, for messages. In a run that is executed again, `files` comes
    from its manifest and the folder is not read.
    """

    folder: FilesystemPath
    demands: Demands
    files: dict[str, str] = field(factory=dict)
    recorded: bool = False
    shown: FilesystemPath = FilesystemPath()

    def read(self, name: str) -> str:
        """The text of a file, by its path relative to the folder. Raises `ValueError`."""
        if name in self.files:
            return self.files[name]
        if self.recorded:
            raise ValueError(f"the file {name!r} is not in the run's manifest")
        path = self.locate(name)
        try:
            if path.is_dir():
                raise ValueError(f"{name!r} is a folder, where a file was expected; name the file in it")
            if path.exists() and not path.is_file():
                raise ValueError(f"{name!r} is not a file but a device or a pipe; name a file")
            with path.open("rb") as file:
                data = file.read(yaml.MAX_BYTES + 1)
        except FileNotFoundError:
            siblings = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
            raise ValueError(
                f"there is no file {name!r} in {self.shown}{guess(path.name, siblings)}"
            ) from None
        except OSError as error:
            raise ValueError(f"the file {name!r} cannot be read: {error.strerror}") from None
        if len(data) > yaml.MAX_BYTES:
            raise ValueError(f"the file {name!r} is larger than the {yaml.MAX_BYTES:,} bytes that are read")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ValueError(f"the file {name!r} is not UTF-8 text (line {line}); save it in UTF-8") from None
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.files[name] = text
        return text

    def locate(self, name: str) -> FilesystemPath:
        """The absolute path of a file; one outside of the folder is noted as a demand. Raises `ValueError`."""
        try:
            path = (self.folder / FilesystemPath(name).expanduser()).resolve()
        except (RuntimeError, ValueError, OSError):  # a home that is not known, a NUL, links in a circle
            raise ValueError(f"{name!r} cannot be the path of a file; check it") from None
        if not self.recorded and not path.is_relative_to(self.folder):
            self.demands.add("read the file outside of its folder", str(path))
        return path


def load_document(
    path: FilesystemPath,
    *,
    overrides: Mapping[str, str],
    defaults: Mapping[str, Mapping[str, Any]],
    seed: int | None,
    host: Host,
    source: Source,
) -> Document:
    """Read and resolve the scenario at `path`.

    `overrides` maps dotted paths to YAML text; `defaults` are the providers of `pyscrai.toml`; `seed`
    overrules the scenario's. Raises `ScenarioError`.
    """
    document = _read(path, host, source)
    if not isinstance(document.value, dict):
        raise _error(document, (), f"expected a mapping with at least `agents`, got {shown(document.value)}")
    changes = [Override.read(dotted, text) for dotted, text in overrides.items()]
    # What says which template or population there is comes first; the rest finds the agents complete.
    for change in changes:
        if not change.inside_agent:
            change.apply(document)
    if seed is not None:
        _set(document, ("seed",), seed, Mark("--seed", 0, 0))
    _merge_defaults(document, defaults)
    _merge_templates(document, source)
    for change in changes:
        if change.inside_agent and change.keys[1] in document.value["agents"]:
            change.apply(document)
    resolved = _expand_all(document, source)
    for change in changes:
        if change.inside_agent and change.keys[1] not in document.value["agents"]:
            change.apply(resolved)  # a member of a population, or nobody
    return resolved


def _read(path: FilesystemPath, host: Host, source: Source) -> Document:
    suffix = path.suffix.lstrip(".")
    if suffix not in {offer.name for offer in host.offers("scenario loader")}:
        document = yaml.load(path)
    else:
        document = _loaded(path, host, suffix)
    with contextlib.suppress(OSError):  # which then was told above, or is a loader's affair
        source.demands.written = digest(path.read_bytes())
    return document


def _loaded(path: FilesystemPath, host: Host, suffix: str) -> Document:
    """What a plugin's loader makes of the file."""
    if not path.is_file():
        yaml.load(path)  # which says what is wrong with it
    load = host.load("scenario loader", suffix)
    try:
        value = load(path)
    except PyscraiError:
        raise
    except Exception as error:
        # A plugin's loader may raise anything. It is told as what it is: the plugin's own failure.
        raise ContractError(
            f"scenario loader {suffix!r}: it raised {type(error).__name__}: {error} for {path}, "
            "expected a ScenarioError for bad input; tell its author"
        ) from error
    try:
        value = copy.deepcopy(check_json(value, "the scenario"))
    except (ValueError, RecursionError) as error:
        what = f"{error}; a scenario is plain data, as JSON is"
        raise ScenarioError([Mistake(str(path), "", what)]) from None
    return Document(value, {(): Mark(str(path), 1, 1)}, {})


# -- overrides --


@frozen
class Override:
    """One `--set PATH=VALUE`: the path's keys, and the value."""

    flag: str
    dotted: str
    keys: tuple[str, ...]
    value: Any

    @classmethod
    def read(cls, dotted: str, text: str) -> Override:
        """Raises `ScenarioError`."""
        flag = f"--set {dotted}={text}"
        # `goals[0]` is how messages write it, `goals.0` how it is typed more easily.
        keys = tuple(re.sub(r"\[(\d+)\]", r".\1", dotted).split("."))
        if not all(keys):
            raise ScenarioError([Mistake(flag, "", "expected PATH=VALUE, such as agents.Mara.goals=[win]")])
        try:
            value = yaml.parse_scalar(text)
        except ScenarioError as error:
            raise ScenarioError([Mistake(flag, dotted, error.mistakes[0].what)]) from None
        return cls(flag, dotted, keys, value)

    @property
    def inside_agent(self) -> bool:
        return self.keys[0] == "agents" and len(self.keys) > 2 and self.keys[2] != "template"

    def apply(self, document: Document) -> None:
        """Set the value. Raises `ScenarioError` if there is no such place."""
        mark = Mark(self.flag, 0, 0)
        path: Path = ()
        node = document.value
        for key in self.keys[:-1]:
            step, inner = self._enter(node, key)
            path = (*path, step)
            if inner is None:
                if len(path) == 2 and path[0] == "agents":
                    near = guess(key, document.value["agents"])
                    raise self._error(f"there is no agent {key!r}{near}; agents: {few(document.value['agents'])}")
                inner = DEFAULT_USES.get(key, {}) if _takes_use(path) else {}
            if isinstance(inner, str) and _takes_use(path):
                inner = {"use": inner}  # a bare name is short for {use: name}
            if not isinstance(inner, (dict, list)):
                raise self._error(f"{yaml.dotted(path)} is {shown(inner)} and has no keys")
            node[step] = inner
            document.marks.setdefault(path, mark)
            node = inner
        step, _ = self._enter(node, self.keys[-1])
        _set(document, (*path, step), copy.deepcopy(self.value), mark)

    def _enter(self, node: Any, key: str) -> tuple[str | int, Any]:
        if isinstance(node, list):
            if not key.isdecimal() or int(key) >= len(node):
                expected = f"expected 0 to {len(node) - 1}" if node else "give the whole list"
                raise self._error(f"{key!r} is no position in a list of {len(node)}; {expected}")
            return int(key), node[int(key)]
        return key, node.get(key)

    def _error(self, what: str) -> ScenarioError:
        return ScenarioError([Mistake(self.flag, self.dotted, what)])


def _takes_use(path: Path) -> bool:
    """Whether an extension is chosen at this place, so that a bare name is short for a mapping."""
    if path[0] == "agents":
        return len(path) > 2 and (path[2] in ("engine", "reasoning", "memory") or path[2] == "tools")
    return path == ("schedule",) or (path[0] == "providers" and len(path) == 2)


def _set(document: Document, path: Path, value: Any, mark: Mark) -> None:
    node = document.value
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    for old in [known for known in document.marks if known[: len(path)] == path]:
        del document.marks[old]
    document.marks[path] = document.key_marks[path] = mark


# -- resolving --


def resolve(document: Document, *, defaults: Mapping[str, Mapping[str, Any]], source: Source) -> Document:
    """The document with its templates, populations and defaults worked in."""
    value = document.value
    _merge_defaults(document, defaults)
    agents = value.get("agents")
    if not isinstance(agents, dict) or not agents:
        what = (
            "`agents` is missing" if agents is None else f"expected a mapping of agents, got {shown(agents)}"
        )
        raise _error(document, ("agents",) if agents is not None else (), f"{what}; name at least one agent")
    groups = value.setdefault("groups", {})
    seed = value.get("seed", 0)
    resolved: dict[str, Any] = {}
    marks, key_marks = dict(document.marks), dict(document.key_marks)
    for name, given in agents.items():
        path: Path = ("agents", name)
        if not NAME.fullmatch(name):
            raise _error(document, path, "a name holds none of . @ * { } [ ] / # : , and quotes", on_key=True)
        if not isinstance(given, dict):
            raise _error(document, path, f"expected a mapping, got {shown(given)}")
        given, local, local_keys = _with_template(document, path, given, source)
        members = _expand(document, path, name, given, local, seed, source)
        for member, agent in members.items():
            if member in resolved or (member in agents and len(members) > 1):
                raise _error(document, path, f"two agents have the name {member!r}", on_key=True)
            resolved[member] = agent
            for below, mark in local.items():
                marks.setdefault(("agents", member, *below), mark)
            for below, mark in local_keys.items():
                key_marks.setdefault(("agents", member, *below), mark)
        if "count" in given or "vary" in given:
            if isinstance(groups, dict) and name not in groups:
                groups[name] = list(members)
                marks[("groups", name)] = document.marks[path]
    value = {**value, "agents": resolved, "groups": groups, "seed": seed}
    return Document(value, marks, key_marks)


def _merge_defaults(document: Document, defaults: Mapping[str, Mapping[str, Any]]) -> None:
    if not defaults:
        return
    mark = Mark("pyscrai.toml", 0, 0)
    providers = document.value.setdefault("providers", {})
    document.marks.setdefault(("providers",), mark)
    if not isinstance(providers, dict):
        return  # building reports it
    for name, options in defaults.items():
        given = providers.get(name)
        if isinstance(given, str):
            given = {"use": given}
        if given is None:
            given = {}
        if not isinstance(given, dict):
            continue
        # Defaults for one vendor's options make no sense to another.
        if "use" in given and given["use"] != options.get("use", given["use"]):
            continue
        providers[name] = {**options, **given}
        for key in options:
            document.marks.setdefault(("providers", name, key), mark)
        document.marks.setdefault(("providers", name), mark)


def _with_template(
    document: Document, path: Path, given: dict[str, Any], source: Source
) -> tuple[dict[str, Any], dict[Path, Mark], dict[Path, Mark]]:
    """The agent with its template under it, and the marks below its path."""
    depth = len(path)
    local = {known[depth:]: mark for known, mark in document.marks.items() if known[:depth] == path}
    local_keys = {known[depth:]: mark for known, mark in document.key_marks.items() if known[:depth] == path}
    if "template" not in given:
        return given, local, local_keys
    name = given["template"]
    if not isinstance(name, str):
        raise _error(document, (*path, "template"), f"expected the path of a file, got {shown(name)}")
    try:
        template = yaml.loads(source.read(name), name)
    except ValueError as error:
        raise _error(document, (*path, "template"), str(error)) from None
    if not isinstance(template.value, dict):
        raise _error(template, (), f"expected a mapping with an agent's keys, got {shown(template.value)}")
    if "template" in template.value:
        raise _error(template, ("template",), "a template cannot have a template; merge them into one file")
    own = {key for key in given if key != "template"}
    merged = {**template.value, **{key: given[key] for key in own}}
    for below, mark in template.marks.items():
        if below and below[0] not in own:
            local[below] = mark
    for below, mark in template.key_marks.items():
        if below and below[0] not in own:
            local_keys[below] = mark
    return merged, local, local_keys


def _expand(
    document: Document,
    path: Path,
    name: str,
    given: dict[str, Any],
    local: Mapping[Path, Mark],
    seed: Any,
    source: Source,
) -> dict[str, dict[str, Any]]:
    """The agents that one entry stands for: itself, or the members of a population."""
    plain = {key: part for key, part in given.items() if key not in ("count", "vary")}

    def wrong(below: Path, what: str) -> ScenarioError:
        mark = next((local[below[:n]] for n in range(len(below), -1, -1) if below[:n] in local), None)
        return ScenarioError([Mistake(str(mark or document.marks[()]), yaml.dotted((*path, *below)), what)])

    if "count" not in given and "vary" not in given:
        return {name: _filled(plain, {"name": name}, wrong)}
    rows = _rows(given.get("vary", {}), source, wrong)
    count = given.get("count", len(rows) if rows is not None else None)
    if type(count) is not int or not 1 <= count <= MAX_COUNT:
        raise wrong(("count",), f"expected a number of agents from 1 to {MAX_COUNT:,}, got {shown(count)}")
    if rows is not None and len(rows) < count:
        raise wrong(
            ("vary",), f"the table has {len(rows)} rows, for {count} agents; add rows or lower `count`"
        )
    width = len(str(count))
    members = {}
    for index in range(1, count + 1):
        member = f"{name}-{index:0{width}}"
        if rows is not None:
            row = rows[index - 1]
        else:
            row = {
                key: seeds.stream(seed, "vary", name, index, key).choice(choices)
                for key, choices in given.get("vary", {}).items()
            }
        variables = {**row, "name": member, "index": index}
        agent = _filled(copy.deepcopy(plain), variables, wrong)
        agent["variables"] = row
        members[member] = agent
    return members


def _rows(vary: Any, source: Source, wrong: Any) -> list[dict[str, Any]] | None:
    """The rows of a table that `vary` names; None if it gives lists to draw from."""
    if isinstance(vary, dict):
        for key, choices in vary.items():
            if not key.isidentifier():
                raise wrong(("vary", key), "the name of a variable has letters, digits and underscores alone")
            if not isinstance(choices, list) or not choices:
                raise wrong(("vary", key), f"expected a list to draw from, got {shown(choices)}")
        return None
    if not isinstance(vary, str):
        raise wrong(("vary",), f"expected lists to draw from, or the path of a CSV file; got {shown(vary)}")
    try:
        reader = csv.DictReader(io.StringIO(source.read(vary)), strict=True)
        rows = [dict(row) for row in reader]
    except (ValueError, csv.Error) as error:
        raise wrong(("vary",), f"{vary}: {error}") from None
    if not rows:
        raise wrong(("vary",), f"{vary}: the table has no rows")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise wrong(("vary",), f"{vary}:{number}: the row has not as many cells as the heading")
    for key in rows[0]:
        if not key.isidentifier():
            raise wrong(
                ("vary",), f"{vary}:1: the column {key!r} is no name of a variable; use letters and _"
            )
    return [{key: _cell(cell) for key, cell in row.items()} for row in rows]


def _filled(agent: dict[str, Any], variables: Mapping[str, Any], wrong: Any) -> dict[str, Any]:
    """An agent with the variables in its persona, goals and state filled in."""
    for key in ("persona", "goals", "state"):
        if key in agent:
            agent[key] = _fill(agent[key], variables, (key,), wrong)
    return agent


def _fill(value: Any, variables: Mapping[str, Any], path: Path, wrong: Any) -> Any:
    if isinstance(value, dict):
        return {key: _fill(part, variables, (*path, key), wrong) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, variables, (*path, index), wrong) for index, part in enumerate(value)]
    if not isinstance(value, str) or ("{{" not in value and "{%" not in value):
        return value
    alone = VARIABLE.fullmatch(value)
    if alone and alone[1] in variables:
        return variables[alone[1]]  # a number stays a number
    try:
        return render_text(value, variables, "template")
    except PromptError as error:
        raise wrong(path, str(error)) from None


def _error(document: Document, path: Path, what: str, on_key: bool = False) -> ScenarioError:
    return ScenarioError([Mistake(place(document, path, on_key), yaml.dotted(path), what)])


def place(document: Document, path: Sequence[str | int], on_key: bool = False) -> str:
    """Where a path stands: the place of its key or value, or of the nearest part around it."""
    path = tuple(path)
    if on_key and path in document.key_marks:
        return str(document.key_marks[path])
    for length in range(len(path), -1, -1):
        if path[:length] in document.marks:
            return str(document.marks[path[:length]])
    return "scenario"


def _cell(text: str) -> Any:
    """A cell of a table: a number if it is written as one, else text."""
    return yaml.parse_scalar(text) if re.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d+)?", text) else text
