"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_reasoning() -> list[Extension]:
    return [
        Extension(
            "reflection",
            "pyscrai_reflection.reasoning:Reflection",
            "drafts an answer, criticizes and revises it",
        )
    ]
