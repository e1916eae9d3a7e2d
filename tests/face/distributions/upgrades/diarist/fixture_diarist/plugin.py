"""An engine that asks."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [Extension("diarist", "fixture_diarist.diary:Diarist", "writes down each day")]
