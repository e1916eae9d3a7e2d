"""Its hook wants an argument that hooks do not get."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines(settings: dict[str, str]) -> list[Extension]:
    return [Extension("signature", "fixture_signature.plugin:Engine", settings["summary"])]
