"""Labels of runs, and the measures and tables of finished runs beside their outcomes."""

from peewee import CharField, TextField


def up(migrator, db):
    migrator.migrate(
        migrator.add_column("runs", "labels", TextField(default="{}")),
        migrator.add_column("outcomes", "kind", CharField(default="outcome")),
    )
