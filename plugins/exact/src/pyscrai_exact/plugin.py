"""What this distribution adds to PyScrAI: the command `exact`."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_commands() -> list[Extension]:
    return [
        Extension("exact", "pyscrai_exact.command:exact", "Compute an outcome's distribution exactly."),
    ]
