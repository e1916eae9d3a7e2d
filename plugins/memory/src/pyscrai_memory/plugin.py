"""What this distribution adds to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_memories() -> list[Extension]:
    return [
        Extension("none", "pyscrai_memory.none:NoMemory", "nothing"),
        Extension("full", "pyscrai_memory.full:FullMemory", "all that the agent saw, word for word"),
        Extension(
            "window", "pyscrai_memory.window:WindowMemory", "the newest part of it, up to a number of tokens"
        ),
        Extension(
            "summary", "pyscrai_memory.summary:SummaryMemory", "the newest part, and a summary of the rest"
        ),
        Extension(
            "recall", "pyscrai_memory.recall:RecallMemory", "the newest part, and what matters of the rest"
        ),
        Extension("shared", "pyscrai_memory.shared:SharedMemory", "another memory, and the notes of a group"),
    ]


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [Extension("note", "pyscrai_memory.shared:Note", "writes a note for all members of a group")]
