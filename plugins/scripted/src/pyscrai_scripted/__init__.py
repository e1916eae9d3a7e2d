"""A provider whose answers are written down."""
