"""The routes below `/api`, for the page: what a request may say, and what it gets."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles

from pyscrai_core import InputError, PyscraiError
from pyscrai_core.discovery.installed import version
from pyscrai_records.base.log import report
from pyscrai_records.store.opening import as_store_error

from . import calls, compare, details, events, experiments, measuring
from .control import inside, scenarios
from .panels import PLACES
from .reading import find
from .replies import Refused, body_of, failure, number, object_of, reply, typed
from .services import Services
from .summaries import MOST, Filters

#: Seconds between two signs of life in a stream in which nothing happens.
PING = 15

Handler = Callable[[Request], Awaitable[Response]]


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
            f"{run}/measures": self.measures,
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
            "/api/panels/{id}": self.panel_order,
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
            except Exception as error:  # noqa: BLE001 - a bug, ours or a plugin's: told, and its traceback logged
                report("ERROR", error, "{} failed: {}", request.url.path, error)
                what = f"{type(error).__name__}: {error} (this is a bug; the dashboard's terminal has more)"
                return failure(Refused(f"{request.url.path[:200]}: {what}", 500))

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
        if self._services.reader.not_yet:
            return reply({"runs": [], "total": 0, "next": None})
        return reply(await self._read(self._services.summaries.page, filters, limit, before))

    async def run(self, request: Request) -> Response:
        return reply(
            await self._read(details.detail, _run(request), self._services.summaries, self._services.worlds)
        )

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
        return reply(await self._read(self._services.usages.of, _run(request)))

    async def measures(self, request: Request) -> Response:
        return reply(await self._read(measuring.measures, _run(request), self._services.worlds))

    async def graph(self, request: Request) -> Response:
        return reply(await self._read(details.graph, _run(request)))

    async def compare(self, request: Request) -> Response:
        left, right = (request.query_params.get(name, "") for name in ("left", "right"))
        return reply(await self._read(compare.compare, left, right, self._services.summaries))

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
        return reply(await self._read(self._services.panels.data, *_subject(request)))

    async def panel_order(self, request: Request) -> Response:
        order, act = await object_of(request), self._services.panels.act
        return reply(await self._services.reader.order(act, *_subject(request), order))

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


def _subject(request: Request) -> tuple[str, str, str]:
    """The panel, `run` or `experiment`, and which one. Raises `Refused`."""
    for place in PLACES:
        if subject := request.query_params.get(place):
            return request.path_params["id"], place, subject
    raise Refused("panel: expected run=ID or experiment=NAME in the query")


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
