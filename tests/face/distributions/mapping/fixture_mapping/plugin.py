"""Its hook returns a mapping, which is not a list of Extension."""

from pyscrai_core import hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> dict[str, str]:
    return {"mapping": "fixture_mapping.plugin:Engine"}
