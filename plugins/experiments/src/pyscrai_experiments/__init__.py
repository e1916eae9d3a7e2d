"""Experiments for PyScrAI: see the README, or `run`, `arun` and `report`."""
