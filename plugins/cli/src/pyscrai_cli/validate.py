"""`pyscrai validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options, output

if TYPE_CHECKING:
    from pyscrai_core.agent import Acts, Agent
    from pyscrai_core.scenario.overrides import Override
    from pyscrai_core.scenario.plan import Plan

#: So many agents of one kind are named.
NAMED = 4


@click.command()
@options.file_argument
@options.set_option
@options.seed_option
@options.json_option
def validate(file: Path, overrides: list[Override], seed: int | None, as_json: bool) -> int:
    """Check a scenario. Nothing is executed or written.

    Shows all mistakes at once, each with its line and column.

    \b
    Examples:
      pyscrai validate market.yaml
      pyscrai validate market.yaml --set agents.Mara.memory=window --json
    """
    from pyscrai_core import ScenarioError, api
    from pyscrai_core.config import load_settings

    try:
        plan = api.prepare(file, settings=load_settings(), seed=seed, overrides=overrides)
    except ScenarioError as error:
        if as_json:
            output.print_json(
                {
                    "valid": False,
                    "file": str(file),
                    "mistakes": [
                        {"where": one.where, "path": one.path, "what": one.what} for one in error.mistakes
                    ],
                }
            )
        raise
    found = _found(file, plan)
    if as_json:
        output.print_json(found)
    else:
        _print(found)
    return 0


def _found(file: Path, plan: Plan) -> dict[str, Any]:
    from pyscrai_core.scenario.choices import drawing, remarks

    scenario = plan.scenario
    draws = drawing(scenario, plan.providers)
    return {
        "valid": True,
        "file": str(file),
        "scenario": scenario.name,
        "seed": scenario.seed,
        "agents": {name: _agent(agent) for name, agent in scenario.agents.items()},
        "providers": {name: use.use for name, use in scenario.providers.items()},
        "schedule": scenario.schedule.use,
        "rules": len(scenario.rules),
        "outcomes": list(scenario.outcomes),
        "measures": list(scenario.measures),
        "tables": {name: list(table.columns) for name, table in scenario.tables.items()},
        "limits": {
            name: value
            for name in ("calls", "tokens", "seconds", "steps", "concurrency")
            if (value := getattr(scenario.limits, name)) is not None
        },
        "demands": list(plan.demands),
        "draws": draws,
        "remarks": remarks(scenario, draws),
    }


def _agent(agent: Agent) -> dict[str, Any]:
    return {
        "engine": agent.engine.use,
        "provider": agent.provider,
        "reasoning": agent.reasoning.use if agent.reasoning else None,
        "memory": agent.memory.use if agent.memory else None,
        "tools": [tool.use for tool in agent.tools],
        "actions": list(agent.actions),
        "acts": _acts(agent.acts),
    }


def _acts(acts: Acts) -> list[str]:
    return [
        *(["scheduled"] if acts.scheduled else []),
        *(["start"] if acts.start else []),
        *(["after-group"] if acts.after_group else []),
        *([f"every {acts.every}"] if acts.every else []),
        *(f"on {kind}" for kind in sorted(acts.on)),
        *(["end"] if acts.end else []),
    ]


def _print(found: dict[str, Any]) -> None:
    drawn = [f"closed choices of {name} by the {by}" for name, by in found["draws"].items() if by]
    output.echo(f"{output.clean(found['file'])}: {click.style('valid', fg='green')}")
    output.pairs(
        [
            ("scenario", output.shown(found["scenario"])),
            ("seed", str(found["seed"])),
            ("providers", _listed(f"{name}: {use}" for name, use in found["providers"].items())),
            *([("draws", _listed(drawn))] if drawn else []),
            ("schedule", output.shown(found["schedule"])),
            ("rules", str(found["rules"])),
            ("limits", _listed(f"{name} {value:,}" for name, value in found["limits"].items())),
            ("outcomes", _listed(found["outcomes"])),
            *([("measures", _listed(found["measures"]))] if found["measures"] else []),
            *([("tables", _listed(found["tables"]))] if found["tables"] else []),
            ("agents", f"{len(found['agents']):,}"),
        ]
    )
    output.table(
        ("", "engine", "provider", "reasoning", "memory", "acts", "actions", "tools"),
        _rows(found["agents"]),
        indent="  ",
    )
    if found["remarks"]:
        output.heading("remarks")
        for remark in found["remarks"]:
            output.echo(f"  - {output.shown(remark)}")
    if found["demands"]:
        output.heading("this scenario needs your approval to:")
        for demand in found["demands"]:
            output.echo(f"  - {output.shown(demand)}")


def _rows(agents: dict[str, dict[str, Any]]) -> list[list[str]]:
    """One row for all agents that are made alike, so that a large population is one line."""
    alike: dict[str, list[str]] = {}
    for name, agent in agents.items():
        alike.setdefault(repr(agent), []).append(name)
    rows = []
    for names in alike.values():
        agent = agents[names[0]]
        more = len(names) - NAMED
        rows.append(
            [
                _listed(names[:NAMED]) + (f" and {more:,} more" if more > 0 else ""),
                output.shown(agent["engine"]),
                output.shown(agent["provider"]),
                output.shown(agent["reasoning"] or "-"),
                output.shown(agent["memory"] or "-"),
                _listed(agent["acts"]),
                _listed(agent["actions"]),
                _listed(agent["tools"]),
            ]
        )
    return rows


def _listed(words: Any) -> str:
    return output.shown(", ".join(words)) or "-"
