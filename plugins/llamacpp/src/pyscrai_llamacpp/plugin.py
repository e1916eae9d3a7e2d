"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_providers() -> list[Extension]:
    return [
        Extension(
            "llamacpp",
            "pyscrai_llamacpp.provider:LlamaCppProvider",
            "a local model (GGUF) with llama.cpp, in the same process: no key, no server",
        )
    ]
