"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_reasoning() -> list[Extension]:
    return [
        Extension(
            "plan",
            "pyscrai_plan.reasoning:PlanReasoning",
            "answers by a private plan, which it revises when events contradict it",
        )
    ]
