"""The application: the page and its files, the routes of the API, and the checks in front of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pyscrai_core.config import Settings

from .access import LOCAL_NAMES, Access
from .api import Api
from .replies import Refused, failure
from .services import Services

STATIC = Path(__file__).parent / "static"
PAGES = ("/", "/runs/{run}", "/compare", "/experiments/{name:path}", "/start")


def make_app(
    settings: Settings,
    *,
    folder: Path | None = None,
    read_only: bool = False,
    names: Iterable[str] | None = LOCAL_NAMES,
    token: str | None = None,
    own_user: bool = False,
) -> Starlette:
    """The application on the store of the settings.

    folder
        where scenarios are looked for (default: the current folder)
    read_only
        nothing can be started or changed
    names, token, own_user
        as `Access` takes them
    """
    services = Services.of(settings, folder or Path.cwd(), read_only)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        services.live.start()
        # Plugins are looked for beforehand: the page asks for panels first.
        warming = asyncio.create_task(services.reader.run(services.panels.all))
        yield
        warming.cancel()
        await services.live.close()
        services.reader.close()

    api = Api(services)
    app = Starlette(
        routes=[
            *(Route(path, _page) for path in PAGES),
            *api.routes(),
            Route("/panels/{id}/{path:path}", api.panel_file),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Access, names=names, token=token, own_user=own_user)],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.state.services = services
    return app


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, accepted = request.url.path, request.headers.get("accept", "")
    own = path.startswith(("/api/", "/static/", "/panels/"))
    if error.status_code == 404 and not own and "text/html" in accepted:
        return FileResponse(STATIC / "index.html", 404)  # the page says it in its own way
    return failure(Refused(f"{request.url.path[:200]}: {error.detail}", error.status_code))
