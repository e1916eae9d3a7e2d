"""One run in detail: what it is made of, what it came to, and who spoke to whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from pyscrai_core import EVERYONE
from pyscrai_core.scenario.manifest import Manifest
from pyscrai_records.store.runs import RecordedRun
from pyscrai_records.store.store import Store

from .measuring import declared, measures
from .reading import find
from .summaries import Summaries
from .worlds import Worlds, views

#: Agents that are listed with their persona; a population may have many thousands.
PERSONA = 300


def detail(store: Store, run: str, summaries: Summaries, worlds: Worlds) -> dict[str, Any]:
    """The summary of a run, and all that its page needs to begin with."""
    summary = summaries.of(store, run)
    recorded = find(store, run)
    manifest = Manifest.from_dict(recorded.manifest)
    scenario = manifest.last_scenario
    agents, groups = scenario.get("agents") or {}, scenario.get("groups") or {}
    state = (scenario.get("world") or {}).get("state") or {}
    forks = store.connection.execute('SELECT "id" FROM "runs" WHERE "parent"=? ORDER BY "created"', (run,))
    return {
        **summary,
        "premise": (scenario.get("world") or {}).get("premise", ""),
        "description": scenario.get("description", ""),
        "agents": [_agent(name, agent, groups) for name, agent in agents.items()],
        "groups": {name: _members(group) for name, group in groups.items()},
        "outcomes": recorded.outcomes,
        "units": {name: declared(one, "unit") for name, one in (scenario.get("outcomes") or {}).items()},
        "measures": measures(store, run, worlds),
        "tables": recorded.tables,
        "forks": [one for (one,) in forks],
        "forked": [fork.describe() for fork in manifest.forks],
        **views(state),
        "schedule": scenario.get("schedule"),
        "providers": scenario.get("providers") or {},
        "versions": {
            "pyscrai-core": manifest.kernel,
            **{plugin["distribution"]: plugin["version"] for plugin in manifest.last_plugins},
        },
        "pending": recorded.waiting(),
    }


def _agent(name: str, agent: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, Any]:
    engine = agent.get("engine", "actor")
    use = engine if isinstance(engine, str) else engine.get("use", "")
    persona = str(agent.get("persona") or "")
    return {
        "name": name,
        "engine": use,
        "provider": agent.get("provider") or "default",
        "groups": [group for group, given in groups.items() if name in _members(given)],
        "human": use == "human",
        "persona": persona if len(persona) <= PERSONA else persona[:PERSONA] + "…",
        "actions": list(agent.get("actions") or {}),
    }


def _members(group: Any) -> list[str]:
    return list(group.get("members") or ()) if isinstance(group, dict) else list(group or ())


def graph(store: Store, run: str) -> dict[str, Any]:
    """Who spoke to whom: a private event counts for each agent and group that it is for.

    A public one is for nobody in particular. It counts for the source of the event that caused it, if one
    did: that one was answered.
    """
    recorded = find(store, run)
    known = _names(recorded)
    events: Counter[str] = Counter()  # of each source
    edges: Counter[tuple[str, str]] = Counter()
    query = """SELECT a."source", a."audience", b."source", COUNT(*) FROM "events" a
        LEFT JOIN "events" b ON b."run"=a."run" AND b."seq"=a."cause"
        WHERE a."run"=? AND a."kind" NOT IN ('change','rejected','thought','turn.failed')
        GROUP BY a."source", a."audience", b."source" """
    for source, audience, answered, count in store.connection.execute(query, (run,)):
        if source[0] == "@":  # the kernel, or a person outside
            continue
        events[source] += count
        heard = orjson.loads(audience)
        if EVERYONE not in heard:
            targets = {member for name in heard for member in known.get(name, [name])} - {source}
        else:
            targets = {answered} - {None, source} if answered and answered[0] != "@" else set()
        for target in targets:
            edges[source, target] += count
    names = [name for name, members in known.items() if members == [name]]
    names += [name for name in events if name not in names]
    group = {member: name for name, members in known.items() for member in members if member != name}
    return {
        "nodes": [{"name": name, "group": group.get(name, ""), "events": events[name]} for name in names],
        "edges": [{"from": one, "to": other, "weight": weight} for (one, other), weight in edges.items()],
    }


def _names(recorded: RecordedRun) -> dict[str, list[str]]:
    """The agents each by itself, and the groups with their members."""
    scenario = Manifest.from_dict(recorded.manifest).last_scenario
    found = {name: [name] for name in scenario.get("agents") or {}}
    return found | {name: _members(group) for name, group in (scenario.get("groups") or {}).items()}
