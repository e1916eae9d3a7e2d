"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [
        Extension("http", "pyscrai_http.tool:HttpTool", "a request to a web API, from a template"),
        Extension("openapi", "pyscrai_http.openapi:OpenApi", "the operations of an OpenAPI file"),
    ]
