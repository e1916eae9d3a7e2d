"""What this distribution adds to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [
        Extension("http", "pyscrai_http.tool:HttpTool", "one request to a web API, as a template"),
        Extension("openapi", "pyscrai_http.openapi:OpenApi", "the operations of an OpenAPI file"),
    ]
