"""Scenarios with one planted mistake each: a name that is changed wherever names can stand."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from attrs import frozen

from pyscrai_language import yaml

ROOT = Path(__file__).parent.parent.parent
FIELDS = {"seq", "step", "kind", "source", "audience", "payload", "cause"}
Where = tuple[str | int, ...]


@frozen
class Site:
    """A name in a scenario: where its text is, whether that is the key there, and its place in the text."""

    path: Where
    in_key: bool
    start: int
    end: int


# -- the scenarios ------------------------------------------------------------------------------


def repository_scenarios() -> Iterator[tuple[str, Path | None, dict[str, Any]]]:
    """All whole scenarios of the repository: name, folder, and document."""
    folders = ("contrib/scenarios", "tests/golden/scenarios", "tests/chaos/scenarios")
    for file in sorted(file for folder in folders for file in (ROOT / folder).glob("*.yaml")):
        if "SERVER" not in file.read_text(encoding="utf-8"):  # filled in by the test that uses it
            yield str(file.relative_to(ROOT)), file.parent, yaml.load(file).value
    for readme in sorted([ROOT / "README.md", *ROOT.glob("plugins/*/README.md")]):
        text = readme.read_text(encoding="utf-8")
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)):
            if block.startswith("scenario:"):
                yield f"{readme.relative_to(ROOT)}#{number}", None, yaml.loads(block, str(readme)).value


# fmt: off
def generate(random: Random) -> dict[str, Any]:
    """A scenario that uses all places in which names can stand, with random names."""
    words = (
        "apples", "price", "stock", "morale", "fish", "debt", "votes", "weather", "bid", "pot", "trust",
        "grain", "rumour", "shift", "water", "credit", "guards", "harvest", "signal", "ration",
    )  # fmt: skip
    names = list(random.sample(words, len(words)))
    agents = random.sample(("Mara", "Jonas", "Petra", "Silvio", "Tamsin", "Ulrike", "Victor"), 3)
    first, second, third = agents
    count, flag, table, winner, own, shared, later = (names.pop() for _ in range(7))
    kind, other, news = (f"{verb}-{names.pop()}" for verb in ("offer", "take", "hear"))
    amount, whom, choice = names.pop(), names.pop(), names.pop()
    options = random.sample(("left", "right", "middle", "upper", "lower"), 2)
    actions: dict[str, Any] = {
        kind: {
            "when": f"self.{own} > 0 and event.payload.{amount} <= self.{own}",
            amount: {"type": "integer", "minimum": 1, "maximum": 9},
            whom: {"type": "string", "enum": agents},
        },
        other: {"when": f"state.{flag}", choice: {"type": "string", "enum": options}},
    }
    crew = f"{third}s"
    scenario: dict[str, Any] = {
        "scenario": "generated",
        "seed": random.randrange(1000),
        "providers": {"default": {"use": "scripted", "replies": ["hello"]}},
        "world": {
            "state": {
                count: random.randrange(9),
                flag: True,
                table: dict.fromkeys(options, 0),
                winner: None,
                later: {},
            }
        },
        "agents": {
            first: {"persona": "You talk.", "state": {own: 3}, "actions": actions},
            second: {
                "engine": {
                    "use": "rules",
                    "policy": [
                        {"when": f"any(e.kind == '{kind}' and e.source == '{first}' for e in heard)",
                         "do": other, "arguments": {choice: f"'{options[0]}'"},
                         "say": f"I see {{state.{count}}}."},
                        {"when": f"step > 1 and self.{own} > 0", "do": kind,
                         "arguments": {amount: f"min(2, self.{own})",
                                       whom: f"others[0] if turn else '{first}'"}},
                    ],
                },
                "state": {own: 5},
                "actions": actions,
                "acts": ["scheduled", {"on": kind}],
            },
            third: {
                "count": 3,
                "vary": {"age": [30, 40]},
                "persona": "You are {{ age }}.",
                "state": {own: 1, "years": "{{ age }}"},
                "actions": {other: actions[other]},
            },
            "Judge": {
                "engine": "world",
                "acts": "after-group",
                "memory": None,
                "decides": [kind, other],
                "rulings": [
                    {"on": kind, "when": f"event.payload.{amount} > 3 and state.{count} > 0",
                     "decision": "refused"},
                    {"on": kind, "add": {f"{later}.{{event.source}}": f"event.payload.{amount}"},
                     "say": f"{{event.source}} asks {{event.payload.{whom}}}"},
                    {"on": other, "add": {f"{table}.{{event.payload.{choice}}}": 1}},
                ],
            },
        },
        "groups": {crew: {"members": [first, second], "state": {shared: 0}}},
        "events": {news: {"type": "object", "properties": {"text": {"type": "string"}}}},
        "rules": [
            {"on": kind, "when": f"event.source != '{first}' and state.{flag}",
             "add": {count: f"event.payload.{amount}", f"self.{own}": -1}},
            {"on": other, "when": f"event.payload.{choice} == '{options[0]}'",
             "set": {winner: "event.source",
                     f"agents.{{event.source}}.{own}": f"agents[event.source].{own} - 1"}},
            {"on": kind, "add": {f"agents.{{event.payload.{whom}}}.{own}": 1, f"groups.{crew}.{shared}": 1}},
            {"on": news, "when": "len(event.payload.text) > 3", "set": {flag: False}},
            {"on": "ruling", "when": "event.payload.decision == 'granted'",
             "add": {f"{table}.{options[1]}": 1}},
        ],
        "schedule": {"use": "reactive", "opening": [first], "max_steps": 3},
        "stop_when": f"state.{count} > 20 or groups.{crew}.{shared} > 9",
        "outcomes": {
            "a": f"state.{count}",
            "b": f"[e.payload.{amount} for e in events if e.kind == '{kind}']",
            "c": f"len([e for e in events if e.kind in ('{kind}', '{other}') and e.source == '{second}'])",
            "d": f"state.{table}.{options[0]} / max(1, state.{table}['{options[1]}'])",
            "e": f"agents.{first}.{own} + agents['{second}'].{own}",
            "f": f"agents[state.{winner}].{own} if state.{winner} else groups.{crew}.{shared}",
            "g": f"max([agents[name].{own} for name in agents if '{own}' in agents[name]])",
            "h": "[e.payload.reason for e in events if e.kind == 'rejected']",
        },
    }
    for part in ("rules", "outcomes"):  # so that not all are alike
        if random.random() < 0.5:
            value = scenario[part]
            del value[random.choice(list(value) if isinstance(value, dict) else range(len(value)))]
    return scenario


# fmt: on
# -- where names stand --------------------------------------------------------------------------


def find_sites(document: dict[str, Any]) -> list[Site]:
    """All names that are used in a document, beside those that are declared."""
    return [
        site for path, in_key, text in _texts(document, ()) for site in _sites(path, in_key, text, document)
    ]


def _texts(value: Any, path: Where) -> Iterator[tuple[Where, bool, str]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        if isinstance(key, str):
            yield (*path, key), True, key
        if isinstance(part, str):
            yield (*path, key), False, part
        yield from _texts(part, (*path, key))


def _sites(path: Where, in_key: bool, text: str, document: dict[str, Any]) -> Iterator[Site]:
    def expression(start: int, end: int) -> Iterator[Site]:
        for first, last in _in_expression(text[start:end], _declared(document)):
            yield Site(path, in_key, start + first, start + last)

    steps = [step for step in path if isinstance(step, str)]
    last, above = steps[-1], steps[-2:-1]
    braces = [match.span(1) for match in re.finditer(r"\{([^{}]*)\}", text)]
    if above in (["set"], ["add"]) and steps[0] in ("rules", "agents"):
        if not in_key:
            yield from expression(0, len(text))
            return
        for span in braces:
            yield from expression(*span)
        for match in re.finditer(r"[\w-]+", re.sub(r"\{[^{}]*\}", lambda found: "." * len(found[0]), text)):
            if match[0] not in ("self", "agents", "groups"):
                yield Site(path, in_key, *match.span())
    elif in_key:
        return
    elif last in ("when", "stop_when", "rule") or steps[0] == "outcomes" or above == ["arguments"]:
        if steps[0] == "providers":
            return
        free = above == ["arguments"] and "enum" not in _parameter(document, path)
        if not (free and "'" in text):  # a free text may be any
            yield from expression(0, len(text))
    elif last == "say" and ("policy" in steps or "rulings" in steps):
        for span in braces:
            yield from expression(*span)
    elif last in ("on", "do", "decides", "opening", "order") or steps[0] == "groups":
        yield Site(path, in_key, 0, len(text))
    elif last == "persona" and (
        "count" in document["agents"][steps[1]] or "vary" in document["agents"][steps[1]]
    ):
        for match in re.finditer(r"\{\{ *(\w+)", text):
            yield Site(path, in_key, *match.span(1))


def _parameter(document: dict[str, Any], path: Where) -> dict[str, Any]:
    """The schema of the parameter for an argument of a policy."""
    move: Any = document
    for step in path[:-2]:
        move = move[step]
    schema: dict[str, Any] = document["agents"][path[1]]["actions"][move["do"]][path[-1]]
    return schema


def _in_expression(source: str, declared: set[str]) -> Iterator[tuple[int, int]]:
    """Where keys, kinds and names of agents stand in an expression of one line."""
    if "\n" in source.strip() or not source.isascii():
        return
    skipped = len(source) - len(source.lstrip())
    for node in ast.walk(ast.parse(source.strip(), mode="eval")):
        end = getattr(node, "end_col_offset", 0) + skipped
        if isinstance(node, ast.Attribute) and node.attr not in FIELDS:
            yield end - len(node.attr), end
        elif isinstance(node, ast.Constant) and node.value in declared:
            yield node.col_offset + skipped + 1, end - 1


def _declared(document: dict[str, Any]) -> set[str]:
    """The names that a string in an expression can mean."""
    found = {*document["agents"], *document.get("groups", {}), *document.get("events", {})}
    found |= {"say", "ruling", "finding", "narration", "rejected", "tool", "turn.failed", "passed"}
    for agent in document["agents"].values():
        for name, action in (agent.get("actions") or {}).items():
            found.add(name)
            for schema in action.values():
                found |= set(schema.get("enum", ())) if isinstance(schema, dict) else set()
    return {name for name in found if isinstance(name, str)}


# -- the mistakes -------------------------------------------------------------------------------


def plant(document: dict[str, Any], site: Site, random: Random) -> tuple[dict[str, Any], str]:
    """The document with another name at a site, and that name."""
    known = set(re.findall(r"[\w-]+", json.dumps(document)))
    new = copy.deepcopy(document)
    holder: Any = new
    for step in site.path[:-1]:
        holder = holder[step]
    key = site.path[-1]
    text = str(key) if site.in_key else holder[key]
    old = text[site.start : site.end]
    wrong = next(name for name in iter(lambda: _misspelled(old, random), None) if name not in known)
    changed = text[: site.start] + wrong + text[site.end :]
    if site.in_key:
        items = [(changed if each == key else each, value) for each, value in holder.items()]
        holder.clear()
        holder.update(items)
    else:
        holder[key] = changed
    return new, wrong


def _misspelled(name: str, random: Random) -> str:
    at = random.randrange(len(name))
    return random.choice(
        (
            name[:at] + name[at + 1 :],
            name[:at] + name[at] + name[at:],
            name[: at + 1] + random.choice("aeiorstn") + name[at + 1 :],
            name[:at] + name[at : at + 2][::-1] + name[at + 2 :],
            name.swapcase() if len(name) > 1 else name * 2,
            f"{name}s",
            "nonsense",
        )
    )
