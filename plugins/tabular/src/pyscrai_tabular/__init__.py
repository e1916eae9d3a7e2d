"""The tables of runs: their schema, their rows, and files that are replaced all at once."""
