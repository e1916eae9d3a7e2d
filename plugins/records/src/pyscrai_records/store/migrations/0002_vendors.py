"""Who answered a call, what it cost, how long it waited, and the attempts that failed."""

from peewee import FloatField, TextField


def up(migrator, db):
    migrator.migrate(
        migrator.add_column("calls", "provider", TextField(default="")),
        migrator.add_column("calls", "cost", FloatField(null=True)),
        migrator.add_column("calls", "queued", FloatField(default=0)),
        migrator.add_column("calls", "attempts", TextField(default="[]")),
    )
