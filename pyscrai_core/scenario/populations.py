"""Populations: agents that come from one entry, with `count` and `vary`."""

from __future__ import annotations

import csv
import io
import keyword
import re
from collections.abc import Mapping
from typing import Any

from .. import seeds
from ..errors import Mistake, ScenarioError
from ..language.templates import Filling, PromptError
from . import yaml
from .document import error_at, place
from .source import Source
from .structure import shown
from .yaml import Document, Mark, Path

#: The most agents that one population makes, and all of them together.
MAX_COUNT = 100_000
VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def expand_all(document: Document, source: Source) -> Document:
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
                raise error_at(
                    document, path, f"there are more than {MAX_COUNT:,} agents in all", on_key=True
                )
            if "count" in given or "vary" in given:
                populations[name] = list(members)
                for member in members:
                    if member in agents or member in resolved:
                        what = f"its member {member!r} has the name of another agent; rename one of the two"
                        raise error_at(document, path, f"the population {name!r}: {what}", on_key=True)
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
    if rows is None and "count" not in given:
        raise wrong(("vary",), "the key 'count' is missing, which says how many agents to draw")
    count = given.get("count", len(rows or ()))
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


def _cell(text: str) -> Any:
    """A cell of a table: a number if it is written as one, else text."""
    return yaml.parse_scalar(text) if re.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d+)?", text) else text
