"""Runs as HTML: a page of each for a browser, and what notebooks show."""
