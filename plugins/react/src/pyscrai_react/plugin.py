"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_reasoning() -> list[Extension]:
    return [
        Extension("react", "pyscrai_react.reasoning:React", "alternates thoughts and tools, then answers")
    ]
