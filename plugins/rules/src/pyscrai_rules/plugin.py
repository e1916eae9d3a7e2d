"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [
        Extension("rules", "pyscrai_rules.rules:Rules", "follows a declared policy, without a model"),
        Extension("world", "pyscrai_rules.world:World", "decides the result of what agents attempt"),
    ]
