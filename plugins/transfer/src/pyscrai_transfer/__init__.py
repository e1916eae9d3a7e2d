"""Runs as one file, and checks of what is stored."""
