"""The application: its routes, and what they share."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import define, field
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from pyscrai_core.config import Settings
from pyscrai_core.discovery.installed import version
from pyscrai_core.errors import InputError, PyscraiError
from pyscrai_core.plugins import Host
from pyscrai_core.store.opening import as_store_error
from pyscrai_core.store.store import Store

from . import calls, compare, details, events, experiments
from .access import LOCAL_NAMES, Access
from .control import Control, inside, scenarios
from .live import Live
from .panels import Panels
from .reading import Reader, find
from .replies import Refused, body_of, failure, number, reply, typed
from .summaries import MOST, Filters, Summaries
from .totals import Counted
from .worlds import Worlds

STATIC = Path(__file__).parent / "static"
PAGES = ("/", "/runs/{run}", "/compare", "/experiments/{name:path}", "/start")
#: Seconds between two signs of life in a stream in which nothing happens.
PING = 15

Handler = Callable[[Request], Awaitable[Response]]


@define
class Services:
    """What the routes share."""

    settings: Settings
    folder: Path
    read_only: bool
    reader: Reader
    counted: Counted
    summaries: Summaries
    worlds: Worlds
    control: Control
    panels: Panels
    live: Live
    _host: Host | None = None
    _guard: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def of(cls, settings: Settings, folder: Path, read_only: bool) -> Services:
        made: list[Services] = []
        host = lambda: made[0].host  # noqa: E731 - it is made when it is first needed
        reader, counted = Reader(settings.store), Counted()
        control = Control(reader, host, lambda run: made[0].live.poke(run))
        summaries, worlds = Summaries(counted, control.waiting), Worlds(host)
        live = Live(reader, summaries, worlds)
        panels = Panels(host)
        made.append(
            cls(settings, folder, read_only, reader, counted, summaries, worlds, control, panels, live)
        )
        return made[0]

    def cut(self, store: Store, run: str) -> set[tuple[str, int]]:
        """The turns of a run in which an answer was cut off, as far as they are counted. Raises `Refused`."""
        return self.counted.of(store.connection, run, find(store, run).last_owner).cut

    @property
    def host(self) -> Host:
        """The plugins, looked for when they are first needed."""
        with self._guard:
            if self._host is None:
                self._host = self.settings.host()
        return self._host


def make_app(
    settings: Settings,
    *,
    folder: Path | None = None,
    read_only: bool = False,
    names: Iterable[str] | None = LOCAL_NAMES,
    token: str | None = None,
) -> Starlette:
    """The application on the store of the settings.

    folder
        where scenarios are looked for (default: the current folder)
    read_only
        nothing can be started or changed
    names, token
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
        middleware=[Middleware(Access, names=names, token=token)],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.state.services = services
    return app


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return failure(Refused(f"{request.url.path[:200]}: {error.detail}", error.status_code))


class Api:
    """The routes below `/api`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._read = services.reader.read

    def routes(self) -> list[BaseRoute]:
        run = "/api/runs/{run}"
        gets: dict[str, Handler] = {
            "/api/info": self.info,
            "/api/runs": self.runs,
            run: self.run,
            f"{run}/index": self.index,
            f"{run}/events": self.events,
            f"{run}/events/{{seq:int}}": self.event,
            f"{run}/events/{{seq:int}}/calls": self.event_calls,
            f"{run}/search": self.search,
            f"{run}/state": self.state,
            f"{run}/calls": self.calls,
            f"{run}/calls/{{number:int}}": self.call,
            f"{run}/usage": self.usage,
            f"{run}/graph": self.graph,
            f"{run}/stream": self.run_stream,
            "/api/stream": self.stream,
            "/api/compare": self.compare,
            "/api/experiments": self.experiments,
            "/api/experiments/{name:path}": self.experiment,
            "/api/panels/{id}": self.panel,
        }
        posts: dict[str, Handler] = {
            "/api/start": self.start,
            f"{run}/pause": self.pause,
            f"{run}/continue": self.proceed,
            f"{run}/stop": self.stop,
            f"{run}/inject": self.inject,
            f"{run}/fork": self.fork,
            f"{run}/answer": self.answer,
        }
        return [
            *(Route(path, self._told(handler)) for path, handler in gets.items()),
            *(
                Route(path, self._told(handler, writes=True), methods=["POST"])
                for path, handler in posts.items()
            ),
        ]

    def _told(self, handler: Handler, writes: bool = False) -> Handler:
        """The same, with its errors as JSON."""

        async def told(request: Request) -> Response:
            try:
                if writes and self._services.read_only:
                    raise Refused("this dashboard is read-only; start one without --read-only", 403)
                return await handler(request)
            except Refused as refused:
                return failure(refused)
            except PyscraiError as error:
                return failure(Refused(str(error), 400 if isinstance(error, InputError) else 500))
            except sqlite3.Error as error:
                return failure(Refused(str(as_store_error(self._services.reader.path, error)), 500))

        return told

    # -- reading --

    async def info(self, request: Request) -> Response:
        services = self._services

        def look() -> dict[str, Any]:
            return {
                "store": str(services.reader.path),
                "folder": str(services.folder),
                "version": version("pyscrai-dashboard"),
                "read_only": services.read_only,
                "can_start": not services.read_only,
                "scenarios": [] if services.read_only else scenarios(services.folder),
                "panels": services.panels.listed(),
                "own": services.control.own(),
            }

        return reply(await services.reader.run(look))

    async def runs(self, request: Request) -> Response:
        filters = Filters.from_query(request.query_params.multi_items())
        limit = number(request, "limit", 50, 1, MOST)
        before = request.query_params.get("before", "")
        if not self._services.reader.path.exists():  # nothing was run yet
            return reply({"runs": [], "total": 0, "next": None})
        return reply(await self._read(self._services.summaries.page, filters, limit, before))

    async def run(self, request: Request) -> Response:
        return reply(await self._read(details.detail, _run(request), self._services.summaries))

    async def index(self, request: Request) -> Response:
        after, limit = number(request, "after", 0), number(request, "limit", events.INDEX, 1, events.INDEX)

        def work(store: Any) -> Any:
            find(store, _run(request))
            return events.index(store, _run(request), after, limit)

        return reply(await self._read(work))

    async def events(self, request: Request) -> Response:
        run, cut = _run(request), self._services.cut
        if "seqs" in request.query_params:
            numbers = _numbers(request.query_params["seqs"])
            found = await self._read(lambda store: events.chosen(store, run, numbers, cut(store, run)))
        else:
            first, last = number(request, "from", 1), number(request, "to", 2**53)
            found = await self._read(lambda store: events.page(store, run, first, last, cut(store, run)))
        return reply({"events": found})

    async def event(self, request: Request) -> Response:
        run, seq, cut = _run(request), request.path_params["seq"], self._services.cut
        return reply(await self._read(lambda store: events.one(store, run, _bounded(seq), cut(store, run))))

    async def event_calls(self, request: Request) -> Response:
        return reply(await self._read(calls.behind, _run(request), _bounded(request.path_params["seq"])))

    async def search(self, request: Request) -> Response:
        text = request.query_params.get("q", "")
        if not text:
            raise Refused("q: it is empty; give the text to look for")
        return reply(await self._read(events.search, _run(request), text[:1000]))

    async def state(self, request: Request) -> Response:
        step, agent = number(request, "step", 2**53), request.query_params.get("agent", "")
        return reply(await self._read(self._services.worlds.at, _run(request), step, agent))

    async def calls(self, request: Request) -> Response:
        query = request.query_params
        wanted: dict[str, Any] = {
            key: query[key] for key in ("agent", "provider", "status", "kind") if query.get(key)
        }
        if query.get("step"):
            wanted["step"] = number(request, "step", 0)
        before = number(request, "before", 2**53)
        limit = number(request, "limit", 50, 1, MOST)
        return reply(await self._read(calls.listed, _run(request), wanted, limit, before))

    async def call(self, request: Request) -> Response:
        return reply(await self._read(calls.whole, _run(request), _bounded(request.path_params["number"])))

    async def usage(self, request: Request) -> Response:
        return reply(await self._read(details.usage, _run(request)))

    async def graph(self, request: Request) -> Response:
        return reply(await self._read(details.graph, _run(request)))

    async def compare(self, request: Request) -> Response:
        left, right = (request.query_params.get(name, "") for name in ("left", "right"))
        return reply(await self._read(compare.compare, left, right))

    async def experiments(self, request: Request) -> Response:
        if not self._services.reader.path.exists():
            return reply([])
        return reply(await self._read(experiments.listed))

    async def experiment(self, request: Request) -> Response:
        name, limit = request.path_params["name"], number(request, "limit", 2000, 1, 100_000)
        return reply(await self._read(experiments.one, name, self._services.panels, limit))

    # -- streams --

    async def stream(self, request: Request) -> Response:
        return EventSourceResponse(self._services.live.overview(), ping=PING)

    async def run_stream(self, request: Request) -> Response:
        last = request.headers.get("last-event-id", "")
        after = (
            int(last) if last.isascii() and last.isdigit() and len(last) < 16 else number(request, "after", 0)
        )
        content = await self._services.live.run(_run(request), after)
        return EventSourceResponse(content, ping=PING)

    # -- panels --

    async def panel(self, request: Request) -> Response:
        for place in ("run", "experiment"):
            if subject := request.query_params.get(place):
                panels, name = self._services.panels, request.path_params["id"]
                return reply(await self._read(panels.data, name, place, subject))
        raise Refused("panel: expected run=ID or experiment=NAME in the query")

    async def panel_file(self, request: Request) -> Response:
        try:
            folder = self._services.panels.folder(request.path_params["id"])
        except Refused as refused:
            return failure(refused)
        files = StaticFiles(directory=folder)
        return await files.get_response(request.path_params["path"], request.scope)

    # -- control --

    async def start(self, request: Request) -> Response:
        body = await body_of(request, "file", "overrides", "set", "seed", "labels", "approve")
        file = inside(self._services.folder, typed(body, "file", str, "the path of a scenario", ""))
        return await self._execute({"do": "start", "file": file, **_job(body)})

    async def fork(self, request: Request) -> Response:
        body = await body_of(request, "at", "overrides", "set", "seed", "approve")
        run = _run(request)
        await self._read(find, run)
        at = typed(body, "at", int, "the number of an event")
        if at is None:
            raise Refused("at: it is missing; expected the number of an event")
        return await self._execute({"do": "fork", "run": run, "at": at, **_job(body)})

    async def _execute(self, job: dict[str, Any]) -> Response:
        return reply({"run": await self._services.control.execute(job)}, 201)

    async def pause(self, request: Request) -> Response:
        await body_of(request)
        await self._services.control.pause(_run(request))
        return reply({"run": _run(request)})

    async def proceed(self, request: Request) -> Response:
        body = await body_of(request, "overrides", "set", "approve")
        return reply({"run": await self._services.control.proceed(_run(request), _job(body))})

    async def stop(self, request: Request) -> Response:
        await body_of(request)
        return reply({"run": _run(request), "told": await self._services.control.stop(_run(request))})

    async def inject(self, request: Request) -> Response:
        body = await body_of(request, "kind", "payload", "audience", "source")
        if not typed(body, "kind", str, "the kind of an event", ""):
            raise Refused("kind: it is missing; expected the kind of an event, such as say")
        typed(body, "source", str, "the name of who adds it")
        audience = typed(body, "audience", (str, list), "names of agents and groups")
        if isinstance(audience, list) and not all(isinstance(name, str) for name in audience):
            raise Refused("audience: expected names of agents and groups")
        await self._services.control.inject(_run(request), body)
        return reply({"run": _run(request)})

    async def answer(self, request: Request) -> Response:
        body = await body_of(request, "question", "text")
        question = str(typed(body, "question", (int, str), "what the run's `waiting` has as `question`", ""))
        text = typed(body, "text", str, "a text")
        if not (question.isascii() and question.isdigit() and len(question) < 10) or text is None:
            raise Refused("answer: expected `question`, as the run's `waiting` has it, and `text`")
        self._services.control.answer(_run(request), int(question), text)
        return reply({"run": _run(request)})


def _run(request: Request) -> str:
    return str(request.path_params["run"])


def _bounded(given: int) -> int:
    """A number of a path, as SQLite can hold it."""
    return min(given, 2**53)


def _numbers(text: str) -> list[int]:
    parts = [part for part in text.split(",") if part]
    if len(parts) > events.PAGE or not all(
        part.isascii() and part.isdigit() and len(part) < 16 for part in parts
    ):
        raise Refused(f"seqs: expected up to {events.PAGE} numbers with commas between them")
    return [int(part) for part in parts]


def _job(body: dict[str, Any]) -> dict[str, Any]:
    """What a start, a fork and a resume have in common. Raises `Refused`."""
    job: dict[str, Any] = {}
    for key in ("overrides", "set", "labels"):
        found = typed(body, key, dict, "an object")
        if key != "overrides" and not all(isinstance(text, str) for text in (found or {}).values()):
            raise Refused(f"{key}: expected texts by name")
        job[key] = found or {}
    job["seed"] = typed(body, "seed", int, "a whole number")
    approve = typed(body, "approve", (str, list), "what an answer with demands had as `content`")
    job["approve"] = [approve] if isinstance(approve, str) else approve or []
    if not all(isinstance(text, str) for text in job["approve"]):
        raise Refused("approve: expected what an answer with demands had as `content`")
    return job
