"""The command `pyscrai exact`: the distribution of an outcome over all closed choices, without sampling."""
