"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_providers() -> list[Extension]:
    return [
        Extension(
            "scripted",
            "pyscrai_scripted.provider:ScriptedProvider",
            "predefined answers, with latency and faults: for tests and teaching",
        )
    ]
