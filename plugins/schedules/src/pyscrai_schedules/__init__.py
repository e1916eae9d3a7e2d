"""Schedules for PyScrAI: who acts next, and who acts at the same time."""
