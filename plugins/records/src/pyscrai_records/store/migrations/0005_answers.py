"""Whether tokens are estimated, and why each answer ended, which older answers tell."""

from peewee import CharField, IntegerField


def up(migrator, db):
    migrator.migrate(
        migrator.add_column("calls", "estimated", IntegerField(default=0)),
        migrator.add_column("calls", "finish_reason", CharField(default="")),
    )
    db.execute_sql(
        """UPDATE "calls" SET "finish_reason"=coalesce(json_extract("answer",'$.finish_reason'),'')
           WHERE "kind"='complete' AND "status"='answered'"""
    )
