"""A real MCP server: `server.py stdio`, or `server.py PORT` for streamable HTTP."""

from __future__ import annotations

import os
import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("town")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def weather(city: str) -> dict[str, str]:
    """The weather of a city."""
    print("asked for", city, os.environ.get("TOKEN"), file=sys.stderr, flush=True)
    return {"city": city, "sky": "clear"}


@server.tool(structured_output=False, annotations=ToolAnnotations(idempotent_hint=True))
def words(count: int) -> list[str]:
    """Some words."""
    return ["word"] * count


@server.tool()
def fail() -> str:
    """Fails."""
    raise ToolError("the mill is broken")


@server.tool(name="town/die")
def die() -> str:
    """Ends the server."""
    os._exit(3)


@server.tool()
def pid() -> int:
    """The server's process."""
    return os.getpid()


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", port=int(sys.argv[1]))
