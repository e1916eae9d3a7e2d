"""Another distribution whose plugin has the name of the good one."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_providers() -> list[Extension]:
    return [Extension("twin", "fixture_twin.plugin:Provider", "never seen")]
