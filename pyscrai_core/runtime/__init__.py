"""Executing a run: the loop, a turn, the one road of a call, the world's state, seeds."""
