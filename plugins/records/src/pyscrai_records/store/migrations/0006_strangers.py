"""Which runs were imported, and checksums; rows that are there have none."""

from peewee import CharField


def up(migrator, db):
    class Imports(db.Model):
        run = CharField(primary_key=True)

        class Meta:
            table_name = "imports"

    db.create_tables([Imports])
    migrator.migrate(
        *(
            migrator.add_column(table, "checksum", CharField(default=""))
            for table in ("calls", "manifests", "outcomes")
        )
    )
