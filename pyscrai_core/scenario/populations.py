"""Populations: agents that come from one entry, with `count` and `vary`."""

from __future__ import annotations

import csv
import io
import keyword
import re
from collections.abc import Mapping
from typing import Any

from pyscrai_language import yaml
from pyscrai_language.document import Document, Mistakes
from pyscrai_language.misfit import Misfit, Path
from pyscrai_language.templates import Filling
from pyscrai_records.base.suggest import expected

from ..base import seeds
from .source import Source

#: The most agents that one population makes, and all of them together.
MAX_COUNT = 100_000
VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def expand_populations(document: Document, source: Source) -> None:
    """Put the members of populations into a document as agents, and as groups of the same names."""
    value = document.value
    agents, seed = value["agents"], value.setdefault("seed", 0)
    expanded: dict[str, Any] = {}
    populations: dict[str, list[str]] = {}
    mistakes = Mistakes(document)
    filling = Filling()
    for name, given in agents.items():
        with mistakes.at("agents", name):
            population = "count" in given or "vary" in given
            if population:
                members = _make_members(name, given, seed, source, filling)
            else:
                members = {name: _fill_agent(given, {"name": name}, filling)}
            if len(expanded) + len(members) > MAX_COUNT:
                raise Misfit(f"there are more than {MAX_COUNT:,} agents in all", on_key=True)
            if population:
                populations[name] = list(members)
                taken = [member for member in members if member in agents or member in expanded]
                if taken:
                    what = f"its member {taken[0]!r} has the name of another agent; rename one of the two"
                    raise Misfit(f"the population {name!r}: {what}", on_key=True)
                document.share(("agents", name), members)
            expanded.update(members)
    _group_populations(document, populations, mistakes)
    mistakes.check()
    value["agents"] = expanded


def _group_populations(document: Document, populations: Mapping[str, list[str]], mistakes: Mistakes) -> None:
    """Replace a population's name in `groups` by its members, and make each population a group."""
    groups = document.value.setdefault("groups", {})
    if not isinstance(groups, dict):
        return  # building reports it
    for name, group in groups.items():
        path: Path = ("groups", name) if isinstance(group, list) else ("groups", name, "members")
        members = group if isinstance(group, list) else isinstance(group, dict) and group.get("members")
        if name in populations:
            if members is not False and members is not None:
                what = f"the population {name!r} is this group; leave its members out, or rename the group"
                mistakes.add(path, what)
            elif isinstance(group, dict):
                group["members"] = populations[name]
        elif isinstance(members, list) and any(one in populations for one in members if isinstance(one, str)):
            document.spread(
                path, [populations.get(one, [one]) if isinstance(one, str) else [one] for one in members]
            )
    for name, listed in populations.items():
        if name not in groups:
            document.put(("groups", name), listed, document.mark(("agents", name)))


def _make_members(
    name: str, given: dict[str, Any], seed: Any, source: Source, filling: Filling
) -> dict[str, dict[str, Any]]:
    """The members of a population. Raises `Misfit`."""
    plain = {key: part for key, part in given.items() if key not in ("count", "vary")}
    rows = _read_rows(given.get("vary", {}), source)
    if rows is None and "count" not in given:
        raise Misfit("the key 'count' is missing, which says how many agents to draw", ("vary",))
    count = given.get("count", len(rows or ()))
    if type(count) is not int or not 1 <= count <= MAX_COUNT:
        raise Misfit(expected(f"a number of agents from 1 to {MAX_COUNT:,}", count), ("count",))
    source.sampled |= rows is None and bool(given.get("vary"))
    if rows is not None and len(rows) < count:
        what = f"the table has {len(rows)} rows, for {count} agents; add rows or lower `count`"
        raise Misfit(what, ("vary",))
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
        agent = _fill_agent(plain, {**row, "name": member, "index": index}, filling)
        agent["variables"] = row
        members[member] = agent
    return members


def _read_rows(vary: Any, source: Source) -> list[dict[str, Any]] | None:
    """The rows of a table that `vary` names; None if it gives lists to draw from. Raises `Misfit`."""
    if isinstance(vary, dict):
        for key, choices in vary.items():
            if problem := _check_variable(key):
                raise Misfit(f"the variable {key!r}: {problem}", ("vary", key))
            if not isinstance(choices, list) or not choices:
                raise Misfit(expected("a list to draw from", choices), ("vary", key))
        return None
    if not isinstance(vary, str):
        raise Misfit(expected("lists to draw from, or the path of a CSV file", vary), ("vary",))
    try:
        return _read_table(vary, source.read(vary))
    except ValueError as error:
        raise Misfit(str(error), ("vary",)) from None


def _read_table(name: str, text: str) -> list[dict[str, Any]]:
    """The rows of a CSV file. Raises `ValueError`."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        heading = next(reader, [])
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"{name}:{reader.line_num}: it is not CSV: {error}") from None
    if not rows:
        raise ValueError(f"{name}: the table has no rows; expected a heading, then a row for each agent")
    for column in heading:
        problem = _check_variable(column) or ("it appears twice" if heading.count(column) > 1 else "")
        if problem:
            raise ValueError(f"{name}:1: the column {column!r}: {problem}")
    for line, row in rows:
        if len(row) != len(heading):
            raise ValueError(f"{name}:{line}: the row has {len(row)} cells, and the heading {len(heading)}")
    return [{key: _parse_cell(cell) for key, cell in zip(heading, row, strict=True)} for _, row in rows]


def _check_variable(name: str) -> str:
    """What is wrong with the name of a variable; empty if nothing is."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return "a variable has a name of letters, digits and underscores"
    if name in ("name", "index"):
        return "it is set for each member; choose another name"
    return ""


def _fill_agent(agent: dict[str, Any], variables: Mapping[str, Any], filling: Filling) -> dict[str, Any]:
    """An agent with the variables in its persona, goals and state filled in."""
    parts = {key: agent[key] for key in ("persona", "goals", "state") if key in agent}
    return {**agent, **{key: _fill(part, variables, (key,), filling) for key, part in parts.items()}}


def _fill(value: Any, variables: Mapping[str, Any], path: Path, filling: Filling) -> Any:
    if isinstance(value, dict):
        return {key: _fill(part, variables, (*path, key), filling) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, variables, (*path, index), filling) for index, part in enumerate(value)]
    if not isinstance(value, str) or ("{{" not in value and "{%" not in value):
        return value
    alone = VARIABLE.fullmatch(value)
    if alone and alone[1] in variables and path[0] == "state":
        return variables[alone[1]]  # a number stays a number
    try:
        return filling.render(value, variables)
    except Misfit as error:
        raise error.under(path) from None


def _parse_cell(text: str) -> Any:
    """A cell of a table: a number if it is written as one, else text."""
    return yaml.parse_scalar(text) if re.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d+)?", text) else text
