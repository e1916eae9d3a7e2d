"""The command `pyscrai`."""
