"""The machine that executes runs: the loop, turns, calls, the journal, the state, forks."""
