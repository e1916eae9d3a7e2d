"""Reasoning for PyScrAI's agents: think, use a tool, see, repeat, then answer."""
