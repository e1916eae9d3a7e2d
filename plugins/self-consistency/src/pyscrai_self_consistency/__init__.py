"""Reasoning for PyScrAI's agents: several answers side by side, and the one that most agree on."""
