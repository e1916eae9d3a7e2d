"""The application: its routes."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"


async def page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def make_app() -> Starlette:
    paths = ("/", "/runs/{run}", "/compare", "/experiments/{name:path}", "/start")
    return Starlette(
        routes=[
            *(Route(path, page) for path in paths),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )
