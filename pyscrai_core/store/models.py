"""The tables. Queries name their database when they are executed; the models are bound to none."""

from __future__ import annotations

from peewee import (
    AutoField,
    BlobField,
    CharField,
    CompositeKey,
    FloatField,
    IntegerField,
    Model,
    TextField,
)


class RunRow(Model):
    """An execution of a scenario under one seed.

    `owner` is who executes it, or did last (JSON: pid, host, since); whether it still does is what the run's
    lock tells. `parent` is the run that it was forked from.
    """

    id = CharField(primary_key=True)
    scenario = TextField()
    seed = IntegerField()
    status = CharField()
    error = TextField(default="")
    created = FloatField()
    ended = FloatField(null=True)
    steps = IntegerField(default=0)
    fingerprint = CharField(default="")
    owner = TextField(default="")
    parent = CharField(default="")

    class Meta:
        table_name = "runs"


class ManifestRow(Model):
    """What an execution of the run needs, as JSON; `served` stays empty, the calls tell it."""

    run = CharField(primary_key=True)
    body = TextField()
    served = TextField(default="{}")

    class Meta:
        table_name = "manifests"


class EventRow(Model):
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
        primary_key = CompositeKey("run", "seq")


class MessageRow(Model):
    """A message of a request (or its frame: schema, tools, sampling), once, by its SHA-256."""

    digest = CharField(primary_key=True)
    body = BlobField()

    class Meta:
        table_name = "messages"


class CallRow(Model):
    """A call and its answer, under its position (`agent`, `step`, `path`).

    A completion's messages are the first `kept` of the call `base` and those in `messages` (a JSON list
    of digests). `number` counts the run's calls in the order in which they were journaled.

    `status` is `answered`, `failed`, `open` (it failed and ended the run, so it is asked again on resume) or
    `intent` (a tool that must not be called twice was about to be called). `target` is who was to answer,
    `provider` who did (a fallback, perhaps), `cost` the US dollars (null: unknown), `queued` the seconds that
    it waited for its turn, `attempts` a JSON list of the attempts that failed. `key` is what an answer is
    found by when another run may take it, `reused` the run that it was taken from: nothing was paid.
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
    started = FloatField(default=0)
    seconds = FloatField(default=0)
    provider = TextField(default="")
    cost = FloatField(null=True)
    queued = FloatField(default=0)
    attempts = TextField(default="[]")
    reused = CharField(default="")
    key = CharField(default="")

    class Meta:
        table_name = "calls"
        primary_key = CompositeKey("run", "number")
        indexes = ((("run", "agent", "step", "path"), True), (("key",), False))


class OutcomeRow(Model):
    """A named value of a finished run, as JSON."""

    run = CharField()
    name = CharField()
    value = TextField()

    class Meta:
        table_name = "outcomes"
        primary_key = CompositeKey("run", "name")


class InputRow(Model):
    """Something from outside that waits for a run's next step: `pause`, `continue`, or an event as JSON."""

    id = AutoField()
    run = CharField(index=True)
    kind = CharField()
    body = TextField(default="")
    author = TextField(default="")
    created = FloatField()

    class Meta:
        table_name = "inputs"


class ClaimRow(Model):
    """A call that `run` is making, so that others which want the same answer wait for it."""

    key = CharField(primary_key=True)
    run = CharField()

    class Meta:
        table_name = "claims"


TABLES: tuple[type[Model], ...] = (
    RunRow,
    ManifestRow,
    EventRow,
    MessageRow,
    CallRow,
    OutcomeRow,
    InputRow,
    ClaimRow,
)
