"""Loads well; each of its targets is wrong in another way."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [
        Extension("no-module", "fixture_targets.nowhere:Engine", "the module does not exist"),
        Extension("no-sdk", "fixture_targets.needy:Engine", "the module needs a package that nobody has"),
        Extension("no-attribute", "fixture_targets.engines:Ghost", "the module does not have it"),
        Extension("wrong-class", "fixture_targets.engines:Wrong", "a Memory"),
        Extension("not-a-class", "fixture_targets.engines:LIMIT", "a number"),
        Extension("unfinished", "fixture_targets.engines:Unfinished", "without its method"),
        Extension("fine", "fixture_targets.engines:Fine", "as it should be"),
    ]
