"""Checksums of runs; rows that are there have none."""

from peewee import CharField


def up(migrator, db):
    migrator.migrate(migrator.add_column("runs", "checksum", CharField(default="")))
