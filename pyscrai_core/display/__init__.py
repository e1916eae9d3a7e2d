"""How Python shows runs and their results: data frames, and what a notebook displays. Plugins do the work."""
