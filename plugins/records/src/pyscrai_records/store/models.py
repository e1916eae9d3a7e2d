"""The tables. The models are bound to no database, so that a process can open several stores."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import peewee
from peewee import AutoField, CompositeKey, DateTimeField, Field, Model

from .checksums import damaged

#: The statuses of a run that a process executes; if none does, the run was interrupted.
ACTIVE = ("running", "paused")
#: The table that lists the migrations which were applied.
HISTORY = "schema_migration"
#: What the names of the kinds of outcomes begin with.
PREFIXES = {"outcome": "", "measure": "measures.", "table": "tables."}


class _Typed(Field):
    """A column of one type: SQLite stores any value in it, but only damage leaves another there."""

    types: ClassVar[tuple[type, ...]]
    #: Of numbers; no number that is not finite is between two that are.
    least: ClassVar[float] = -sys.float_info.max
    most: ClassVar[float] = sys.float_info.max

    def python_value(self, value: Any) -> Any:
        """The value. Raises `StoreError` if it is none of this column."""
        known = value is None or type(value) in self.types
        if known and not (isinstance(value, (int, float)) and not self.least <= value <= self.most):
            return value
        raise damaged(f"{self.model._meta.table_name}: {self.column_name}")


class CharField(_Typed, peewee.CharField):
    types = (str,)


class TextField(_Typed, peewee.TextField):
    types = (str,)


class IntegerField(_Typed, peewee.IntegerField):
    types = (int,)


class FloatField(_Typed, peewee.FloatField):
    types = (float, int)


class TimeField(FloatField):
    """Seconds since 1970, until the year 9999."""

    least, most = 0, 253_402_300_799


class BlobField(_Typed, peewee.BlobField):
    types = (bytes,)


class Row(Model):
    """What all tables share."""

    class Meta:
        legacy_table_names = False  # indexes are named after the table, not after the class


class RunRow(Row):
    """An execution of a scenario under one seed.

    `owner` is the process that executes the run or did so last (JSON: pid, host, since). Only the run's lock
    tells whether it still does. `parent` is the run that it was forked from. `labels` are texts by
    name, as a JSON object.
    """

    id = CharField(primary_key=True)
    scenario = TextField()
    seed = IntegerField()
    status = CharField()
    error = TextField(default="")
    created = TimeField()
    ended = TimeField(null=True)
    steps = IntegerField(default=0)
    fingerprint = CharField(default="")
    owner = TextField(default="")
    parent = CharField(default="")
    labels = TextField(default="{}")
    checksum = CharField(default="")

    class Meta:
        table_name = "runs"


class ManifestRow(Row):
    """What an execution of the run needs, as JSON."""

    run = CharField(primary_key=True)
    body = TextField()
    checksum = CharField(default="")

    class Meta:
        table_name = "manifests"


class EventRow(Row):
    """An event of the log; `audience` and `payload` are JSON."""

    run = CharField()
    seq = IntegerField()
    step = IntegerField()
    kind = CharField()
    source = CharField()
    audience = TextField()
    payload = TextField()
    cause = IntegerField(null=True)

    class Meta:
        table_name = "events"
        without_rowid = True
        primary_key = CompositeKey("run", "seq")


class MessageRow(Row):
    """A message of a request, stored once under its SHA-256.

    So are the requests' other parts (the frame: provider, schema, tools, sampling) and the requests of calls
    that are no completions.
    """

    digest = CharField(primary_key=True)
    body = BlobField()

    class Meta:
        table_name = "messages"


class CallRow(Row):
    """A call and its answer, under its position (`agent`, `step`, `path`).

    number
        counts the run's calls in the order in which they were journaled
    base, kept, messages
        the messages of a completion: the first `kept` ones of the call `base`, then those whose digests
        `messages` lists (as JSON)
    status
        `answered`, `failed`, `open` (it failed and ended the run, so that it is made again on resume) or
        `intent` (a tool that must not be called twice was about to be called)
    target, provider
        the provider that was asked first, and the one that answered
    estimated
        whether a part of the tokens is estimated, because the vendor did not report it
    finish_reason
        why a completion ended; `length`: it was cut off
    cost
        US dollars; null: unknown
    queued, seconds
        how long the call waited before it was sent, and how long it took
    attempts
        the attempts that failed, as a JSON list
    key
        identifies the answer for runs that may take it from this one
    reused
        the run that the answer was taken from; such an answer cost nothing
    checksum
        of what nothing else protects; empty in rows of older versions
    """

    run = CharField()
    number = IntegerField()
    agent = CharField()
    step = IntegerField()
    path = CharField()
    kind = CharField()
    target = CharField()
    request = CharField()
    base = IntegerField(null=True)
    kept = IntegerField(default=0)
    messages = TextField(default="[]")
    frame = CharField(default="")
    seed = IntegerField(default=0)
    status = CharField()
    answer = TextField(default="")
    error = CharField(default="")
    detail = TextField(default="")
    model = TextField(default="")
    input_tokens = IntegerField(default=0)
    output_tokens = IntegerField(default=0)
    cached_tokens = IntegerField(default=0)
    cache_write_tokens = IntegerField(default=0)
    started = TimeField(default=0)
    seconds = FloatField(default=0)
    provider = TextField(default="")
    cost = FloatField(null=True)
    queued = FloatField(default=0)
    attempts = TextField(default="[]")
    reused = CharField(default="")
    key = CharField(default="")
    estimated = IntegerField(default=0)
    finish_reason = CharField(default="")
    checksum = CharField(default="")

    class Meta:
        table_name = "calls"
        primary_key = CompositeKey("run", "number")
        indexes = ((("run", "agent", "step", "path"), True), (("key",), False))


class OutcomeRow(Row):
    """What a finished run has under a name, as JSON: an `outcome`, a `measure` or a `table` (its `kind`).

    The names of measures and tables have the prefix of their kind.
    """

    run = CharField()
    name = CharField()
    value = TextField()
    checksum = CharField(default="")
    kind = CharField(default="outcome")

    class Meta:
        table_name = "outcomes"
        primary_key = CompositeKey("run", "name")


class InputRow(Row):
    """An input from outside that waits for a run's next step: `pause`, `continue`, or an event as JSON."""

    id = AutoField()
    run = CharField(index=True)
    kind = CharField()
    body = TextField(default="")
    author = TextField(default="")
    created = TimeField()

    class Meta:
        table_name = "inputs"


class ClaimRow(Row):
    """A call that `run` is making. Runs that want the same answer wait for it."""

    key = CharField(primary_key=True)
    run = CharField()

    class Meta:
        table_name = "claims"


class ImportRow(Row):
    """A run that was imported: others take no answers of it, unless a person names it."""

    run = CharField(primary_key=True)

    class Meta:
        table_name = "imports"


class MigrationRow(Row):
    """A migration that was applied, as peewee's `Runner` keeps it."""

    name = CharField(unique=True)
    applied = DateTimeField()

    class Meta:
        table_name = HISTORY


TABLES: tuple[type[Model], ...] = (
    RunRow,
    ManifestRow,
    EventRow,
    MessageRow,
    CallRow,
    OutcomeRow,
    InputRow,
    ClaimRow,
    ImportRow,
)
