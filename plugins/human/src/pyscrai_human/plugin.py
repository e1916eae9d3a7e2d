"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [Extension("human", "pyscrai_human.human:Human", "an agent that a person plays")]
