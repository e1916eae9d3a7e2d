"""What this distribution adds to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_reasoning() -> list[Extension]:
    return [
        Extension(
            "plan",
            "pyscrai_plan.reasoning:PlanReasoning",
            "keeps a private plan, revises it when events contradict it, and answers by it",
        )
    ]
