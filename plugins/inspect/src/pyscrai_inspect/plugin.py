"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_exporters() -> list[Extension]:
    return [Extension("inspect", "pyscrai_inspect.export:Inspect", "logs for Inspect's viewer")]
