"""Memories for PyScrAI's agents."""
