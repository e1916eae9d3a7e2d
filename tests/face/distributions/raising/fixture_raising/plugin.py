"""One hook answers, the next one raises."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_providers() -> list[Extension]:
    return [Extension("oracle", "fixture_raising.plugin:Provider", "never usable")]


@hookimpl
def pyscrai_engines() -> list[Extension]:
    raise RuntimeError("the moon is in\nthe wrong house")
