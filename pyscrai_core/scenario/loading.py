"""From a file to a resolved document: overrides, defaults, templates and populations.

The result is plain data with the place of every part. It needs no other file any more: what templates
and tables said is in it, and the texts of the prompts that it names are beside it.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import difflib
import io
import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilesystemPath
from typing import Any

from attrs import define, field, frozen

from ..errors import ContractError, Mistake, PyscraiError, ScenarioError
from ..plugins import Host
from ..records import check_json, digest
from ..runtime import seeds
from . import yaml
from .model import DEFAULT_USES
from .prompts import Filling, PromptError, guess
from .structure import Path, shown
from .trust import Demands
from .yaml import Document, Mark

#: The most agents that one population makes, and all of them together.
MAX_COUNT = 100_000
#: Names of agents and groups: anything that a person would read as a name, and no separator of ours.
NAME = re.compile(r"[^\s.@*{}\[\]\"'/#:,](?:[^.@*{}\[\]\"'/#:,\n\t]*[^\s.@*{}\[\]\"'/#:,])?")
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
            raise ValueError(f"there is no file {name!r}{_similar(path, name)}; it would be {path}") from None
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
        """The absolute path of a file; noted as a demand if outside of the folder. Raises `ValueError`."""
        try:
            path = (self.folder / FilesystemPath(name).expanduser()).resolve()
        except (RuntimeError, ValueError, OSError):  # a home that is not known, a NUL, links in a circle
            raise ValueError(f"{name!r} cannot be the path of a file; check it") from None
        if not self.recorded and not path.is_relative_to(self.folder):
            self.demands.add("read the file outside of its folder", str(path))
        return path


def _similar(path: FilesystemPath, name: str) -> str:
    try:
        siblings = [one.name for one in path.parent.iterdir()]
    except OSError:
        return ", nor its folder"
    close = difflib.get_close_matches(path.name, siblings, n=1)
    return f"; did you mean {str(FilesystemPath(name).parent / close[0])!r}?" if close else ""


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
            # A member of a population, or nobody. Members share what they have in common.
            members = resolved.value["agents"]
            if change.keys[1] in members:
                members[change.keys[1]] = copy.deepcopy(members[change.keys[1]])
            change.apply(resolved)
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
                    raise self._error(
                        f"there is no agent {key!r}{near}; agents: {few(document.value['agents'])}"
                    )
                inner = DEFAULT_USES.get(key, {}) if len(path) in (1, 3) else {}
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


def _merge_templates(document: Document, source: Source) -> None:
    """Put each agent's template under it. Raises `ScenarioError` with the mistakes of all agents."""
    agents = document.value.get("agents")
    if not isinstance(agents, dict) or not agents:
        what = (
            "`agents` is missing" if agents is None else f"expected a mapping of agents, got {shown(agents)}"
        )
        raise _error(document, ("agents",) if agents is not None else (), f"{what}; name at least one agent")
    mistakes: list[Mistake] = []
    for name, given in agents.items():
        path: Path = ("agents", name)
        try:
            if not NAME.fullmatch(name):
                what = "a name has no blanks around it and none of . @ * { } [ ] / # : , and quotes"
                raise _error(document, path, f"{name!r} is no name for an agent: {what}", on_key=True)
            if not isinstance(given, dict):
                raise _error(document, path, f"expected a mapping, got {shown(given)}")
            if "template" in given:
                agents[name] = _with_template(document, path, given, source)
        except ScenarioError as error:
            mistakes.extend(one for one in error.mistakes if one not in mistakes)
    if mistakes:
        raise ScenarioError(mistakes)


def _with_template(document: Document, path: Path, given: dict[str, Any], source: Source) -> dict[str, Any]:
    """The agent with its template under it: its own keys replace the template's."""
    name = given["template"]
    if not isinstance(name, str):
        raise _error(document, (*path, "template"), f"expected the path of a file, got {shown(name)}")
    try:
        text = source.read(name)
    except ValueError as error:
        raise _error(document, (*path, "template"), str(error)) from None
    template = yaml.loads(text, str(source.shown / name))
    if not isinstance(template.value, dict):
        raise _error(template, (), f"expected a mapping with an agent's keys, got {shown(template.value)}")
    if "template" in template.value:
        what = "a template cannot have a template; merge them into one file"
        raise _error(template, ("template",), what, on_key=True)
    own = {key: part for key, part in given.items() if key != "template"}
    for ours, theirs in (
        (document.marks, template.marks),
        (document.key_marks, template.key_marks),
    ):
        ours.update(
            {(*path, *below): mark for below, mark in theirs.items() if below and below[0] not in own}
        )
    return {**template.value, **own}


def _expand_all(document: Document, source: Source) -> Document:
    """The document with the members of its populations as agents, and as groups of the same names."""
    value = document.value
    agents, seed = value["agents"], value.get("seed", 0)
    marks, key_marks = dict(document.marks), dict(document.key_marks)
    local, local_keys = _by_agent(marks), _by_agent(key_marks)
    resolved: dict[str, Any] = {}
    populations: dict[str, list[str]] = {}
    mistakes: list[Mistake] = []
    filling = Filling()
    for name, given in agents.items():
        path: Path = ("agents", name)
        try:
            members = _expand(path, name, given, local.get(name, {}), seed, source, filling)
            if len(resolved) + len(members) > MAX_COUNT:
                raise _error(document, path, f"there are more than {MAX_COUNT:,} agents in all", on_key=True)
            if "count" in given or "vary" in given:
                populations[name] = list(members)
                for member in members:
                    if member in agents or member in resolved:
                        what = f"its member {member!r} has the name of another agent; rename one of the two"
                        raise _error(document, path, f"the population {name!r}: {what}", on_key=True)
                    marks.update({("agents", member, *below): mark for below, mark in local[name].items()})
                    key_marks.update(
                        {("agents", member, *below): mark for below, mark in local_keys[name].items()}
                    )
            resolved.update(members)
        except ScenarioError as error:
            mistakes.extend(error.mistakes)
    groups = _with_populations(document, populations, marks, mistakes)
    if mistakes:
        raise ScenarioError(mistakes)
    return Document({**value, "agents": resolved, "groups": groups, "seed": seed}, marks, key_marks)


def _by_agent(marks: Mapping[Path, Mark]) -> dict[str, dict[Path, Mark]]:
    """The marks inside each agent, by the path below it."""
    found: dict[str, dict[Path, Mark]] = {}
    for path, mark in marks.items():
        if len(path) > 1 and path[0] == "agents":
            found.setdefault(str(path[1]), {})[path[2:]] = mark
    return found


def _with_populations(
    document: Document,
    populations: Mapping[str, list[str]],
    marks: dict[Path, Mark],
    mistakes: list[Mistake],
) -> Any:
    """`groups`, in which a population's name stands for its members and each population is a group."""
    given = document.value.get("groups", {})
    if not isinstance(given, dict):
        return given  # building reports it
    groups = dict(given)
    for name, group in given.items():
        path: Path = ("groups", name) if isinstance(group, list) else ("groups", name, "members")
        members = group if isinstance(group, list) else isinstance(group, dict) and group.get("members")
        if name in populations:
            if members is not False and members is not None:
                what = f"the population {name!r} is this group; leave its members out, or rename the group"
                mistakes.append(Mistake(place(document, path), yaml.dotted(path), what))
            elif isinstance(group, dict):
                groups[name] = {**group, "members": populations[name]}
        elif isinstance(members, list) and any(one in populations for one in members if isinstance(one, str)):
            listed: list[Any] = []
            for index, one in enumerate(members):
                mark = document.marks.get((*path, index)) or document.marks.get(path)
                for member in populations.get(one, [one]) if isinstance(one, str) else [one]:
                    if mark is not None:
                        marks[*path, len(listed)] = mark
                    listed.append(member)
            groups[name] = listed if isinstance(group, list) else {**group, "members": listed}
    for name, members in populations.items():
        if name not in groups:
            groups[name] = members
            if ("agents", name) in document.marks:
                marks["groups", name] = document.marks["agents", name]
    return groups


def _expand(
    path: Path,
    name: str,
    given: dict[str, Any],
    local: Mapping[Path, Mark],
    seed: Any,
    source: Source,
    filling: Filling,
) -> dict[str, dict[str, Any]]:
    """The agents that one entry stands for: itself, or the members of a population."""
    plain = {key: part for key, part in given.items() if key not in ("count", "vary")}

    def wrong(below: Path, what: str) -> ScenarioError:
        mark = next((local[below[:n]] for n in range(len(below), -1, -1) if below[:n] in local), "scenario")
        return ScenarioError([Mistake(str(mark), yaml.dotted((*path, *below)), what)])

    if "count" not in given and "vary" not in given:
        return {name: _filled(plain, {"name": name}, wrong, filling)}
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
        agent = _filled(dict(plain), variables, wrong, filling)
        agent["variables"] = row
        members[member] = agent
    return members


def _rows(vary: Any, source: Source, wrong: Any) -> list[dict[str, Any]] | None:
    """The rows of a table that `vary` names; None if it gives lists to draw from."""
    if isinstance(vary, dict):
        for key, choices in vary.items():
            if problem := _no_variable(key):
                raise wrong(("vary", key), f"the variable {key!r}: {problem}")
            if not isinstance(choices, list) or not choices:
                raise wrong(("vary", key), f"expected a list to draw from, got {shown(choices)}")
        return None
    if not isinstance(vary, str):
        raise wrong(("vary",), f"expected lists to draw from, or the path of a CSV file; got {shown(vary)}")
    try:
        reader = csv.reader(io.StringIO(source.read(vary)), strict=True)
        heading = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise wrong(("vary",), f"{vary}:{reader.line_num}: it is not CSV: {error}") from None
    except ValueError as error:
        raise wrong(("vary",), str(error)) from None
    if not rows:
        raise wrong(
            ("vary",), f"{vary}: the table has no rows; expected a heading, then a row for each agent"
        )
    for column in heading:
        problem = _no_variable(column) or ("it stands twice" if heading.count(column) > 1 else "")
        if problem:
            raise wrong(("vary",), f"{vary}:1: the column {column!r}: {problem}")
    for line, row in rows:
        if len(row) != len(heading):
            what = f"the row has {len(row)} cells, and the heading {len(heading)}"
            raise wrong(("vary",), f"{vary}:{line}: {what}")
    return [{key: _cell(cell) for key, cell in zip(heading, row, strict=True)} for _, row in rows]


def _no_variable(name: str) -> str:
    """What is wrong with the name of a variable; empty if nothing is."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return "a variable has a name of letters, digits and underscores"
    if name in ("name", "index"):
        return "it is set for each member; choose another name"
    return ""


def _filled(
    agent: dict[str, Any], variables: Mapping[str, Any], wrong: Any, filling: Filling
) -> dict[str, Any]:
    """An agent with the variables in its persona, goals and state filled in."""
    for key in ("persona", "goals", "state"):
        if key in agent:
            agent[key] = _fill(agent[key], variables, (key,), wrong, filling)
    return agent


def _fill(value: Any, variables: Mapping[str, Any], path: Path, wrong: Any, filling: Filling) -> Any:
    if isinstance(value, dict):
        return {key: _fill(part, variables, (*path, key), wrong, filling) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, variables, (*path, index), wrong, filling) for index, part in enumerate(value)]
    if not isinstance(value, str) or ("{{" not in value and "{%" not in value):
        return value
    alone = VARIABLE.fullmatch(value)
    if alone and alone[1] in variables and path[0] == "state":
        return variables[alone[1]]  # a number stays a number
    try:
        return filling.render(value, variables)
    except PromptError as error:
        raise wrong(path, f"line {error.line} of it: {error}" if error.line > 1 else str(error)) from None


def _error(document: Document, path: Path, what: str, on_key: bool = False) -> ScenarioError:
    return ScenarioError([Mistake(place(document, path, on_key), yaml.dotted(path), what)])


def place(document: Document, path: Sequence[str | int], on_key: bool = False) -> str:
    """Where a path stands: the place of its key or value, or of the nearest part around it."""
    return str(mark_of(document, path, on_key) or "scenario")


def mark_of(document: Document, path: Sequence[str | int], on_key: bool = False) -> Mark | None:
    """The mark of a path's key or value, or of the nearest part around it."""
    path = tuple(path)
    if on_key and path in document.key_marks:
        return document.key_marks[path]
    around = (path[:length] for length in range(len(path), -1, -1))
    return next((document.marks[each] for each in around if each in document.marks), None)


def few(names: Iterable[str]) -> str:
    """The first of some names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:12]) + (f" and {len(listed) - 12} more" if len(listed) > 12 else "")


def _cell(text: str) -> Any:
    """A cell of a table: a number if it is written as one, else text."""
    return yaml.parse_scalar(text) if re.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d+)?", text) else text
