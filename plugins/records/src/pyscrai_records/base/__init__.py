"""What knows no record and no store: frozen data, files, the logger, guesses for messages."""
