"""A plugin as it should be."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [Extension("parrot", "fixture_good.parrot:Parrot", "says again what it heard")]


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [
        Extension("clock", "fixture_good.parrot:Clock", "one tool"),
        Extension("shed", "fixture_good.parrot:Shed", "several tools"),
    ]
