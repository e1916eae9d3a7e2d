"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_reasoning() -> list[Extension]:
    return [
        Extension(
            "self-consistency",
            "pyscrai_self_consistency.reasoning:SelfConsistency",
            "several answers, of which the most common or a judge's choice is used",
        )
    ]
