"""What this distribution adds to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_memories() -> list[Extension]:
    return [
        Extension("full", "pyscrai_memory.full:FullMemory", "all that the agent saw, word for word"),
        Extension(
            "window", "pyscrai_memory.window:WindowMemory", "the newest part of it, up to a number of tokens"
        ),
    ]
