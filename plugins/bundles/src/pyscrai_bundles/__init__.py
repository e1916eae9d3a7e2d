"""Checks of stores, and bundles: runs as one file."""
