"""What this distribution adds to PyScrAI: two commands, what judging is made of, and outcomes."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_commands() -> list[Extension]:
    return [
        Extension("measure", "pyscrai_measures.commands:measure", "Measure the words and turns of runs."),
        Extension("judge", "pyscrai_measures.commands:judge", "Have models judge runs by a rubric."),
    ]


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [Extension("judge", "pyscrai_measures.engine:Judge", "Answers the questions of a rubric.")]


@hookimpl
def pyscrai_schedules() -> list[Extension]:
    return [Extension("once", "pyscrai_measures.engine:Once", "All agents act together, once.")]


@hookimpl
def pyscrai_outcomes() -> list[Extension]:
    return [
        Extension("measures", "pyscrai_measures.outcomes:measures", "Measures of words and turns."),
        Extension("judge", "pyscrai_measures.outcomes:judge", "What models judged by a rubric."),
    ]
