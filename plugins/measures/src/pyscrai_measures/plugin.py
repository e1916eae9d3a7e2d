"""What this distribution adds to PyScrAI: the command `measure`."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_commands() -> list[Extension]:
    return [
        Extension("measure", "pyscrai_measures.commands:measure", "Measure the words and turns of runs."),
    ]
