"""Reasoning for PyScrAI's agents: draft, criticise, revise."""
