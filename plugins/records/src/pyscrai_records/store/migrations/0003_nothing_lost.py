"""Who executes a run, what it was forked from, inputs from outside, answers taken from other runs."""

from peewee import AutoField, CharField, FloatField, TextField


def up(migrator, db):
    class Inputs(db.Model):
        id = AutoField()
        run = CharField(index=True)
        kind = CharField()
        body = TextField()
        author = TextField()
        created = FloatField()

        class Meta:
            table_name = "inputs"

    class Claims(db.Model):
        key = CharField(primary_key=True)
        run = CharField()

        class Meta:
            table_name = "claims"

    db.create_tables([Inputs, Claims])
    migrator.migrate(
        migrator.add_column("runs", "owner", TextField(default="")),
        migrator.add_column("runs", "parent", CharField(default="")),
        migrator.add_column("calls", "reused", CharField(default="")),
        migrator.add_column("calls", "key", CharField(default="")),
        migrator.add_index("calls", ("key",), unique=False),
    )
