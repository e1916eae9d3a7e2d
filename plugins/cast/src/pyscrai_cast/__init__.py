"""The engines `actor`, `narrator` and `analyst`."""
