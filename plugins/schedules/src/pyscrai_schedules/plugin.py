"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_schedules() -> list[Extension]:
    return [
        Extension("round-robin", "pyscrai_schedules.rounds:RoundRobin", "one agent after the other"),
        Extension("simultaneous", "pyscrai_schedules.rounds:Simultaneous", "all agents at the same time"),
        Extension("random", "pyscrai_schedules.random_choice:RandomChoice", "randomly chosen agents"),
        Extension("reactive", "pyscrai_schedules.reactive:Reactive", "agents that have events to react to"),
        Extension("moderated", "pyscrai_schedules.moderated:Moderated", "chosen by a rule or a model"),
        Extension("interrupt", "pyscrai_schedules.interrupt:Interrupt", "agents can claim the next turn"),
    ]
