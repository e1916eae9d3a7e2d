"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_reasoning() -> list[Extension]:
    return [
        Extension(
            "chain-of-thought",
            "pyscrai_chain_of_thought.reasoning:ChainOfThought",
            "thinks privately, then answers",
        )
    ]
