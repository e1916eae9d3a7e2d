"""What this distribution adds to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_schedules() -> list[Extension]:
    return [
        Extension("round-robin", "pyscrai_schedules.rounds:RoundRobin", "one agent after the other"),
        Extension("simultaneous", "pyscrai_schedules.rounds:Simultaneous", "all agents at the same time"),
        Extension("random", "pyscrai_schedules.draw:Draw", "agents drawn by lot"),
        Extension("reactive", "pyscrai_schedules.reactive:Reactive", "those that have something to react to"),
        Extension("moderated", "pyscrai_schedules.moderated:Moderated", "whom a rule or a model chooses"),
        Extension("interrupt", "pyscrai_schedules.interrupt:Interrupt", "who claims it, or another schedule"),
    ]
