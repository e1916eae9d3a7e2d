"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_exporters() -> list[Extension]:
    return [Extension("html", "pyscrai_html.export:Html", "a self-contained page of each run")]


@hookimpl
def pyscrai_displays() -> list[Extension]:
    return [Extension("html", "pyscrai_html.notebook:show", "logs, results and runs in notebooks")]


@hookimpl
def pyscrai_observers() -> list[Extension]:
    return [Extension("notebook", "pyscrai_html.notebook:Follow", "shows a live run in a notebook")]
