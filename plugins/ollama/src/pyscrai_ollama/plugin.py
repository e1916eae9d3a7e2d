"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_providers() -> list[Extension]:
    return [Extension("ollama", "pyscrai_ollama.provider:OllamaProvider", "Models served by Ollama")]
