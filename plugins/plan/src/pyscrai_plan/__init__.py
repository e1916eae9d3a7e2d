"""Reasoning for PyScrAI's agents: a private plan, kept until events contradict it."""
