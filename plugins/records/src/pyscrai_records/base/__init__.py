"""What knows no record and no store: frozen data, files, the logger, time limits, guesses for messages."""
