"""Reasoning for PyScrAI's agents: think privately, then answer."""
