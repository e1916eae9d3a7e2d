"""A collector on loopback that understands OTLP, and observers that send to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from attrs import define, field
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from pyscrai_telemetry.observer import Telemetry


def plain(value: Any) -> Any:
    """An OTLP value as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    return getattr(value, kind)


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: plain(pair.value) for pair in pairs}


@define
class Span:
    """A span as a collector has it, with its times in nanoseconds."""

    name: str
    trace: bytes
    id: bytes
    parent: bytes
    began: int
    ended: int
    failed: bool
    detail: str
    kind: int
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    links: list[tuple[bytes, bytes]]


@define
class Collector:
    """What a server on loopback received. `answer` is its status; while `hold` is set, it does not answer."""

    url: str = ""
    spans: list[Span] = field(factory=list)
    metrics: dict[str, Any] = field(factory=dict)
    resource: dict[str, Any] = field(factory=dict)
    scope: Any = None
    headers: list[dict[str, str]] = field(factory=list)
    answer: int = 200
    hold: threading.Event | None = None

    def take(self, path: str, body: bytes) -> bytes:
        if path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)
            for resource in traces.resource_spans:
                self.resource = attributes(resource.resource.attributes)
                for scope in resource.scope_spans:
                    self.scope = scope
                    self.spans.extend(map(_span, scope.spans))
            return ExportTraceServiceResponse().SerializeToString()
        assert path == "/v1/metrics", path
        metrics = ExportMetricsServiceRequest.FromString(body)
        for resource in metrics.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics = {one.name: one for one in scope.metrics}  # cumulative: the last one counts
        return ExportMetricsServiceResponse().SerializeToString()

    def named(self, beginning: str) -> list[Span]:
        return [one for one in self.spans if one.name.split(" ")[0] == beginning]

    def total(self, name: str, **wanted: str) -> float:
        """The sum of a counter's or a histogram's series that have these attributes (dots as `__`)."""
        metric = self.metrics[name]
        points = metric.sum.data_points if metric.HasField("sum") else metric.histogram.data_points
        total = 0.0
        for point in points:
            found = attributes(point.attributes)
            if all(found.get(key.replace("__", ".")) == value for key, value in wanted.items()):
                total += point.sum if metric.HasField("histogram") else point.as_double or point.as_int
        return total

    def count(self, name: str) -> int:
        return sum(point.count for point in self.metrics[name].histogram.data_points)


def _span(span: Any) -> Span:
    return Span(
        span.name, span.trace_id, span.span_id, span.parent_span_id, span.start_time_unix_nano,
        span.end_time_unix_nano, span.status.code == 2, span.status.message, span.kind,
        attributes(span.attributes), [(one.name, attributes(one.attributes)) for one in span.events],
        [(one.trace_id, one.span_id) for one in span.links],
    )  # fmt: skip


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            if found.hold is not None:
                found.hold.wait(60)
                return
            answer = found.take(self.path, body) if found.answer == 200 else b""
            self.send_response(found.answer)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    if found.hold is not None:
        found.hold.set()
    server.shutdown()
    server.server_close()


Made = Callable[..., Telemetry]


@pytest.fixture
def telemetry(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Makes observers that send to the collector; all are closed at the end."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    made: list[Telemetry] = []

    def make(**options: Any) -> Telemetry:
        options.setdefault("endpoint", collector.url)
        options.setdefault("patience", 30.0)  # these machines may be busy
        made.append(Telemetry(Telemetry.Config(**options)))
        return made[-1]

    yield make
    for one in made:
        one.close()
