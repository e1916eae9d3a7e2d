"""Agents that follow rules, and a world that decides by them: the engines `rules` and `world`."""
