"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [Extension("mcp", "pyscrai_mcp.server:McpServer", "the tools of an MCP server")]
