"""Which runs were imported."""

from peewee import CharField


def up(migrator, db):
    class Imports(db.Model):
        run = CharField(primary_key=True)

        class Meta:
            table_name = "imports"

    db.create_tables([Imports])
