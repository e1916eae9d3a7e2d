"""The cast of a scenario: the engines `actor`, `narrator` and `analyst`."""
