"""Schedules: which agents act next, and which act at the same time."""
