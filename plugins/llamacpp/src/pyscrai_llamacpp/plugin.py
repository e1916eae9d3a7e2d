"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_providers() -> list[Extension]:
    return [
        Extension(
            "llamacpp",
            "pyscrai_llamacpp.provider:LlamaCppProvider",
            "a local model (GGUF) through llama.cpp, in the process itself: no key, no server",
        )
    ]
