"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_memories() -> list[Extension]:
    return [
        Extension("none", "pyscrai_memory.none:NoMemory", "remembers nothing"),
        Extension("full", "pyscrai_memory.full:FullMemory", "remembers everything word for word"),
        Extension(
            "window",
            "pyscrai_memory.window:WindowMemory",
            "remembers recent events, up to a number of tokens",
        ),
        Extension(
            "summary", "pyscrai_memory.summary:SummaryMemory", "recent events, and a summary of older ones"
        ),
        Extension(
            "recall", "pyscrai_memory.recall:RecallMemory", "recent events, and the most relevant older ones"
        ),
        Extension(
            "shared", "pyscrai_memory.shared:SharedMemory", "another memory, and the shared notes of a group"
        ),
    ]


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [Extension("note", "pyscrai_memory.shared:Note", "writes a note for all members of a group")]
