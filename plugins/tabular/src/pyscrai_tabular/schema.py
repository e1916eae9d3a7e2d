"""The tables that runs are exported as: one schema, which every format and every data frame follows.

`BASE` has the tables that every export has. `fill` adds the columns that depend on the runs (those of the
events' payloads), and the tables that their scenarios declare.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from attrs import evolve, frozen

#: `integer` has 64 bits, `number` is a double, `time` is a moment (a row has it in seconds since 1970),
#: `texts` is a list of texts, `json` is any JSON value (a row has it decoded).
Type: TypeAlias = Literal["integer", "number", "text", "boolean", "time", "texts", "json"]


@frozen
class Column:
    """A column of a table. `unit` is empty where there is none."""

    name: str
    type: Type
    meaning: str
    unit: str = ""


@frozen
class Table:
    """A table with its columns, in order. `key` names the columns that tell its rows apart."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def with_columns(self, more: Sequence[Column]) -> Table:
        """The table with further columns. Their names are made unique."""
        return evolve(self, columns=unique((*self.columns, *more)))


def unique(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns with unique names: DuckDB takes `price` and `Price` for the same. `_2` is appended."""
    taken: set[str] = set()
    found = []
    for column in columns:
        name, number = column.name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{column.name}_{number}"
        taken.add(name.casefold())
        found.append(evolve(column, name=name))
    return tuple(found)


_RUN = Column("run", "text", "the run's id")
_TOKENS = (
    Column("input_tokens", "integer", "all input, with what was cached", "tokens"),
    Column("output_tokens", "integer", "the answer, with thinking", "tokens"),
    Column("cached_tokens", "integer", "input that the vendor read from its cache", "tokens"),
    Column("cache_write_tokens", "integer", "input that the vendor wrote to its cache", "tokens"),
    Column("estimated", "boolean", "whether tokens were estimated, because the vendor did not report them"),
)

RUNS = Table(
    "runs",
    "a row for each run",
    (
        _RUN,
        Column("scenario", "text", "the scenario's name"),
        Column("seed", "integer", "the run's seed"),
        Column("status", "text", "running, paused, completed, failed, stopped or interrupted"),
        Column("error", "text", "the reason why the run did not complete; empty if it did"),
        Column("parent", "text", "the run that it was forked from; empty if it is no fork"),
        Column("labels", "json", "the run's labels, as an object of texts"),
        Column("created", "time", "when the run started"),
        Column("ended", "time", "when it ended; null while it runs"),
        Column("steps", "integer", "the number of steps so far", "steps"),
        Column("fingerprint", "text", "the SHA-256 of the canonical log; empty until the run has ended once"),
        *_TOKENS,
        Column("cost", "number", "what the completions cost, as far as their prices are known", "US dollars"),
        Column("unpriced", "integer", "completions whose price is unknown", "calls"),
        Column("kernel", "text", "the version of pyscrai-core that the run began with"),
        Column("log_format", "integer", "the version of the format of the canonical log"),
        Column("draws", "json", "who drew the closed choices of each provider: kernel or provider"),
    ),
    ("run",),
)
AGENTS = Table(
    "agents",
    "a row for each agent of each run, as the scenario has it at the run's end",
    (
        _RUN,
        Column("agent", "text", "the agent's name"),
        Column("persona", "text", "who the agent is"),
        Column("goals", "texts", "what it wants"),
        Column("engine", "text", "the engine that plays its turns"),
        Column("provider", "text", "the provider of the scenario that it asks"),
        Column("model", "text", "the model that the provider's options name; empty if they name none"),
        Column("reasoning", "text", "its reasoning; null: none"),
        Column("memory", "text", "its memory; null: none"),
        Column("tools", "texts", "the tools that it may call"),
        Column("groups", "texts", "the groups that it belongs to"),
        Column("variables", "json", "the variables of a member of a population, as an object"),
    ),
    ("run", "agent"),
)
EVENTS = Table(
    "events",
    "a row for each event of each log, in order",
    (
        _RUN,
        Column("seq", "integer", "the event's number in its run, from 1"),
        Column("step", "integer", "the step in which it happened (0: before the first)"),
        Column("kind", "text", "`say`, an action's name, `change`, `rejected`, …"),
        Column("source", "text", "the agent that caused it, or `@kernel` or `@outside`"),
        Column("audience", "texts", "who sees it: `*` is everyone, an empty list the researcher only"),
        Column("cause", "integer", "the number of the event that it answers, if any"),
        Column("text", "text", "the payload's `text`, if it has one"),
        Column("payload", "json", "the event's data, as an object: exact, and never changed"),
    ),
    ("run", "seq"),
)
CALLS = Table(
    "calls",
    "a row for each effect (a request to a model, a tool, a person or the clock), as journaled",
    (
        _RUN,
        Column("number", "integer", "the call's number in its run, from 1; a replaced failure leaves a gap"),
        Column("agent", "text", "who made the call (`@schedule`: the schedule)"),
        Column("step", "integer", "the step in which it was made"),
        Column("path", "text", "where in the turn it was made"),
        Column("kind", "text", "`complete`, `embed`, `tool`, `tools`, `ask`, `now` or `input`"),
        Column("target", "text", "the provider or tool that was called"),
        Column("provider", "text", "the provider that answered: the target, or one of its fallbacks"),
        Column("model", "text", "the model that answered, as named by the vendor"),
        Column(
            "status",
            "text",
            "`answered`, `failed`, `open` (it ended the run, and a resume repeats it) or `intent` "
            "(a tool that must not be called twice was about to be called)",
        ),
        Column("answer", "json", "the whole answer"),
        Column("finish_reason", "text", "why an answer ended: `stop`, `length` (cut off), `tool_calls`, …"),
        Column("error", "text", "a failure's kind"),
        Column("detail", "text", "a failure's message"),
        Column("request", "text", "the hash of the request"),
        Column("seed", "integer", "the request's seed"),
        *_TOKENS,
        Column("cost", "number", "what the call cost; null: unknown", "US dollars"),
        Column("started", "time", "when it was sent"),
        Column("seconds", "number", "how long it took", "seconds"),
        Column("queued", "number", "how long it waited before it was sent", "seconds"),
        Column("attempts", "json", "attempts that failed before: provider, error, time, wait of each"),
        Column("reused", "text", "the run that the answer was taken from, for nothing; empty: none"),
    ),
    ("run", "number"),
)
MEASURES = Table(
    "measures",
    "a row for each value of each measure: a series over a run's steps",
    (
        _RUN,
        Column("name", "text", "the measure's name"),
        Column("step", "integer", "the step after which it was computed (0: before the first)"),
        Column("number", "number", "the value, if it is a number, or 1 and 0 for true and false"),
        Column("value", "json", "the value"),
        Column("kind", "text", "the measure's kind, if the scenario states it: `number`, `proportion`, …"),
        Column("unit", "text", "the value's unit, if the scenario states it"),
    ),
    ("run", "name", "step"),
)
OUTCOMES = Table(
    "outcomes",
    "a row for each outcome of each completed run",
    (
        _RUN,
        Column("name", "text", "the outcome's name"),
        Column("number", "number", "the value, if it is a number, or 1 and 0 for true and false"),
        Column("value", "json", "the value"),
        Column("kind", "text", "the outcome's kind, if the scenario states it: `number`, `proportion`, …"),
        Column("unit", "text", "the value's unit, if the scenario states it"),
    ),
    ("run", "name"),
)
#: A table that a scenario declares is `table-NAME`, with the columns `run` and those that it declares.
DECLARED = Table("table-", "a row for each row of the table, in order", (_RUN,))
DICTIONARY = Table(
    "dictionary",
    "a row for each column of each table of the export",
    (
        Column("table", "text", "the table's name"),
        Column("column", "text", "the column's name"),
        Column("type", "text", "integer, number, text, boolean, time, texts or json"),
        Column("unit", "text", "the values' unit; empty: none"),
        Column("meaning", "text", "what the column says"),
    ),
    ("table", "column"),
)

#: The tables of every export, in order. A dictionary of the columns follows.
BASE = (RUNS, AGENTS, EVENTS, CALLS, MEASURES, OUTCOMES)
