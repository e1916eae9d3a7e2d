"""What this distribution adds to PyScrAI: the command `experiment`, two executors, and a panel."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_commands() -> list[Extension]:
    return [
        Extension(
            "experiment",
            "pyscrai_experiments.commands:experiment",
            "Run many variants of a scenario, and compare them.",
        )
    ]


@hookimpl
def pyscrai_executors() -> list[Extension]:
    return [
        Extension("local", "pyscrai_experiments.executors:Local", "All trials in this process."),
        Extension("processes", "pyscrai_experiments.executors:Processes", "Trials in several processes."),
    ]


@hookimpl
def pyscrai_panels() -> list[Extension]:
    return [Extension("experiments", "pyscrai_experiments.panel:PANEL", "The report of an experiment.")]
