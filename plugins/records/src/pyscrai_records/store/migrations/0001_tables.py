"""The first tables: frozen here, whatever becomes of the models."""

from peewee import BlobField, CharField, CompositeKey, FloatField, IntegerField, TextField


def up(migrator, db):
    class Runs(db.Model):
        id = CharField(primary_key=True)
        scenario = TextField()
        seed = IntegerField()
        status = CharField()
        error = TextField()
        created = FloatField()
        ended = FloatField(null=True)
        steps = IntegerField()
        fingerprint = CharField()

        class Meta:
            table_name = "runs"

    class Manifests(db.Model):
        run = CharField(primary_key=True)
        body = TextField()
        served = TextField()

        class Meta:
            table_name = "manifests"

    class Events(db.Model):
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
            without_rowid = True

    class Messages(db.Model):
        digest = CharField(primary_key=True)
        body = BlobField()

        class Meta:
            table_name = "messages"

    class Calls(db.Model):
        run = CharField()
        number = IntegerField()
        agent = CharField()
        step = IntegerField()
        path = CharField()
        kind = CharField()
        target = CharField()
        request = CharField()
        base = IntegerField(null=True)
        kept = IntegerField()
        messages = TextField()
        frame = CharField()
        seed = IntegerField()
        status = CharField()
        answer = TextField()
        error = CharField()
        detail = TextField()
        model = TextField()
        input_tokens = IntegerField()
        output_tokens = IntegerField()
        cached_tokens = IntegerField()
        cache_write_tokens = IntegerField()
        started = FloatField()
        seconds = FloatField()

        class Meta:
            table_name = "calls"
            primary_key = CompositeKey("run", "number")
            indexes = ((("run", "agent", "step", "path"), True),)

    class Outcomes(db.Model):
        run = CharField()
        name = CharField()
        value = TextField()

        class Meta:
            table_name = "outcomes"
            primary_key = CompositeKey("run", "name")

    db.create_tables([Runs, Manifests, Events, Messages, Calls, Outcomes])
