"""Where everything is kept: peewee models, the writer, the journal, reading."""
