"""The column `served` of the manifests, which was never filled: the calls have what it was for."""


def up(migrator, db):
    migrator.migrate(migrator.drop_column("manifests", "served"))
