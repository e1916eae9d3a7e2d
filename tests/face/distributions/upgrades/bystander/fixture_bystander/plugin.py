"""A tool that no run uses."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [Extension("bystander", "fixture_bystander.tool:Bystander", "is not used")]
