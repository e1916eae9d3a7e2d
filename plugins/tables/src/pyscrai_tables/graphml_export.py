"""The exporter `graphml`: who speaks to whom, as a network."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

from attrs import field, frozen

from pyscrai_core import EVERYONE, Event, Exporter, StoredRun
from pyscrai_records.base.atomic_files import replace_files
from pyscrai_tabular.rows import agent_rows, json_text, scenario_of
from pyscrai_tabular.schema import AGENTS

#: Characters that XML cannot contain.
_INVALID = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
#: The attributes of nodes and edges, with GraphML's types.
_NODE = {
    "name": "string", "persona": "string", "engine": "string", "provider": "string", "groups": "string",
    "variables": "string", "events": "long",
}  # fmt: skip
_EDGE = {"weight": "long", "first_step": "long", "last_step": "long"}
_Pair = tuple[str, str]


@frozen
class _Link:
    """How often, and from which step to which, one spoke to another."""

    weight: int
    first: int
    last: int

    def __add__(self, other: _Link) -> _Link:
        return _Link(self.weight + other.weight, min(self.first, other.first), max(self.last, other.last))


class GraphML(Exporter):
    """Writes the network of each run, `RUN.graphml`: agents as nodes, and as links who speaks to whom."""

    @frozen
    class Config:
        """
        network
            `heard`: from who speaks to who hears it; `addressed`: the same without what everybody hears;
            `reply`: from who speaks to who spoke just before
        kinds
            the kinds of events that count; empty: all that agents make
        """

        network: Literal["heard", "addressed", "reply"] = "heard"
        kinds: tuple[str, ...] = field(default=("say",))

    def export(self, runs: Sequence[StoredRun], destination: Path) -> list[Path]:
        paths = [destination / f"{run.id}.graphml" for run in runs]
        with replace_files(paths) as files:
            for file, run in zip(files, runs, strict=True):
                for piece in _document(run, self.config.network, self.config.kinds):
                    file.write(piece.encode())
        return paths


def _document(run: StoredRun, network: str, kinds: tuple[str, ...]) -> Iterator[str]:
    events = (event for event in run.events() if not event.source.startswith("@"))
    wanted = (event for event in events if not kinds or event.kind in kinds)
    groups = scenario_of(run).get("groups", {})
    members = {name: one["members"] if isinstance(one, dict) else one for name, one in groups.items()}
    spoken: Counter[str] = Counter()
    public: dict[str, _Link] = {}
    private: dict[_Pair, _Link] = {}
    before = ""
    for event in wanted:
        spoken[event.source] += 1
        one = _Link(1, event.step, event.step)
        if network == "reply":
            if before and before != event.source:
                _add(private, (event.source, before), one)
            before = event.source
        elif EVERYONE not in event.audience:
            for other in _hearers(event, members):
                _add(private, (event.source, other), one)
        elif network == "heard":
            _add(public, event.source, one)
    nodes = {row[1]: dict(zip(AGENTS.names, row, strict=True)) for row in agent_rows(run)}
    # Agents that the scenario does not have any more, after a fork, are part of its history.
    known = {name: nodes.get(name, {}) for name in [*nodes, *spoken, *(other for _, other in private)]}
    yield from _head(run, network)
    for name, about in known.items():
        groups_of = ", ".join(about.get("groups", ()))
        values = {**about, "name": name, "events": spoken[name], "groups": groups_of}
        values["variables"] = json_text(about.get("variables", {}))
        yield f"    <node id={_attribute(name)}>{_data('n', _NODE, values)}</node>\n"
    for source in known:
        for target in known:
            link = private.get((source, target))
            if source != target and source in public:
                link = public[source] if link is None else public[source] + link
            if link is not None:
                values = {"weight": link.weight, "first_step": link.first, "last_step": link.last}
                ends = f"source={_attribute(source)} target={_attribute(target)}"
                yield f"    <edge {ends}>{_data('e', _EDGE, values)}</edge>\n"
    yield "  </graph>\n</graphml>\n"


def _add(links: dict[Any, _Link], key: Any, one: _Link) -> None:
    known = links.get(key)
    links[key] = one if known is None else known + one


def _hearers(event: Event, members: dict[str, list[str]]) -> list[str]:
    """The agents that an event's audience names, directly or as members of groups, without its source."""
    names = [agent for name in event.audience for agent in members.get(name, [name])]
    return [name for name in dict.fromkeys(names) if name != event.source]


def _head(run: StoredRun, network: str) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    about = {"run": run.id, "scenario": run.scenario, "network": network, "fingerprint": run.fingerprint}
    for letter, element, names in (
        ("n", "node", _NODE), ("e", "edge", _EDGE), ("g", "graph", dict.fromkeys(about, "string")),
    ):  # fmt: skip
        for name, kind in names.items():
            yield f'  <key id="{letter}-{name}" for="{element}" attr.name="{name}" attr.type="{kind}"/>\n'
    yield f'  <graph edgedefault="directed">{_data("g", about, about)}\n'


def _data(letter: str, names: dict[str, Any], values: dict[str, Any]) -> str:
    return "".join(
        f'<data key="{letter}-{name}">{_text(str(values[name]))}</data>'
        for name in names
        if values.get(name) is not None
    )


def _text(value: str) -> str:
    return escape(_INVALID.sub("\ufffd", value))


def _attribute(value: str) -> str:
    return quoteattr(_INVALID.sub("\ufffd", value))
