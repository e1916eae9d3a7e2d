"""Its hook has a name that is almost right."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engine() -> list[Extension]:
    return [Extension("misspelt", "fixture_misspelt.plugin:Engine", "never seen")]
