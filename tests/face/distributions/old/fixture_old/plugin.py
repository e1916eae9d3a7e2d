"""Written for an older contract, and importing a name that the kernel no longer has."""

from pyscrai_core import Extension, hookimpl, register_everything

pyscrai_api = 0


@hookimpl
def pyscrai_engines() -> list[Extension]:
    register_everything()
    return [Extension("old", "fixture_old.plugin:Engine", "never seen")]
