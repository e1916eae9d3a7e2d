"""Offers an engine of the same name as the good plugin's, and one of its own."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [
        Extension("parrot", "fixture_copycat.engines:Parrot", "another parrot"),
        Extension("starling", "fixture_copycat.engines:Starling", "imitates, too"),
    ]
