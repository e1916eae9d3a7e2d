"""What a run comes to: its outcomes, its measures, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from pyscrai_answers.expected import expected_value
from pyscrai_language.expressions import Expression
from pyscrai_records.canonical import check_json
from pyscrai_records.errors import ContractError
from pyscrai_records.secret import redact_bytes

from ..scenario.quantities import Quantity, Table
from .rules import plain
from .world import World

#: What a run came to that did not end as it should.
NOTHING: Mapping[str, Any] = {"outcomes": {}}


class Results:
    """Evaluates what the scenario measures. Raises `ContractError` for what cannot be evaluated."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._measures: dict[str, list[Any]] = {}
        self._tables: dict[str, list[Any]] = {}
        self._ended = False

    def after_step(self) -> None:
        """Evaluate the measures, and the rows of tables of steps."""
        world, scenario = self._world, self._world.scenario
        for name, measure in scenario.measures.items():
            series = self._measures.setdefault(name, [])
            if world.step % measure.every == 0:
                series.append([world.step, self._value(measure, f"measures.{name}")])
        for name, table in scenario.tables.items():
            if table.rows == "steps":
                self._add_row(name, table, {})

    def finish(self) -> dict[str, dict[str, Any]]:
        """The `outcomes`, `measures` and `tables` by name, as plain JSON without secrets."""
        scenario, self._ended = self._world.scenario, True
        outcomes = {
            name: self._value(outcome, f"outcomes.{name}") for name, outcome in scenario.outcomes.items()
        }
        for name, table in scenario.tables.items():
            self._tables.setdefault(name, [])
            for given in self._rows(table):
                self._add_row(name, table, given)
        found = {"outcomes": outcomes, "measures": self._measures, "tables": self._tables}
        clean: dict[str, dict[str, Any]] = orjson.loads(redact_bytes(orjson.dumps(found)))
        return clean

    def _rows(self, table: Table) -> Iterator[dict[str, Any]]:
        """The names that each row has in addition to the usual ones."""
        world = self._world
        agents, states, groups = world.agents, world.states("agents"), world.states("groups")
        if table.rows == "agents":
            for name, agent in agents.items():
                yield {"self": states[name], "name": name, "variables": agent.variables}
        elif table.rows == "groups":
            for name in world.scenario.groups:
                yield {"self": groups[name], "name": name}
        elif table.rows == "events":
            for event in world.log.events:
                if table.event in ("", event.kind):
                    source = agents.get(event.source)
                    variables = source.variables if source else {}
                    yield {"self": states.get(event.source), "event": event, "variables": variables}

    def _add_row(self, name: str, table: Table, given: dict[str, Any]) -> None:
        where = f"tables.{name}"
        if table.when is None or self._world.value(table.when, f"{where}.when", given):
            self._tables.setdefault(name, []).append(
                {
                    key: self._value(column, f"{where}.columns.{key}", given)
                    for key, column in table.columns.items()
                }
            )

    def _expected(
        self,
        expression: Expression,
        evaluate: Callable[[Mapping[str, Any]], Any],
        where: str,
        given: Mapping[str, Any],
    ) -> Any:
        world = self._world
        return expected_value(
            evaluate, world.log.events, world.drawn, given.get("event"), world.agents, where,
            may_read=expression.may_read, begun=self._ended or bool(world.drawn),
        )  # fmt: skip

    def _value(self, quantity: Quantity, where: str, given: dict[str, Any] | None = None) -> Any:
        def evaluate(more: Mapping[str, Any]) -> Any:
            names = {**(given or {}), **more} or None
            return check_json(plain(self._world.value(quantity.expression, where, names)), where)

        try:
            value = (
                self._expected(quantity.expression, evaluate, where, given or {})
                if quantity.expected
                else evaluate({})
            )
        except ContractError as error:
            # The run is whole all the same: a resume asks nothing again.
            raise ContractError(f"{error}; fix it: pyscrai resume RUN --set {where}=…") from None
        except ValueError as error:
            raise ContractError(f"{error}") from None
        try:
            quantity.check(value)
        except ValueError as error:
            raise ContractError(f"{where}: {error}; fix it: pyscrai resume RUN --set {where}=…") from None
        return value
