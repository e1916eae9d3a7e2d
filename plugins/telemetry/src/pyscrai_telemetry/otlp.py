"""Sends spans and metrics to a collector by OTLP over HTTP, in threads of its own.

Spans go through the SDK's batch processor. What cannot be delivered is dropped and counted: nothing waits for
a collector, and one that fails is left alone for a while.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit, urlunsplit

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from pyscrai_records.secret import redact

from .conventions import Instrument
from .totals import Distribution, Series

#: Seconds for which a collector that failed, after the SDK's retries, is left alone.
PAUSE = 30.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: Spans in one request.
BATCH = 512
#: Seconds after which spans are sent even if they are few.
DELAY = 1.0

_LOGGERS = ("opentelemetry.exporter", "opentelemetry.sdk")


def without_user(url: str) -> str:
    """An address without a user and a password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class _Reasons(logging.Handler):
    """Keeps the last reason that the SDK logged; without a handler, Python would print all on stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = redact(record.getMessage())
        if not self.last or "due to timeout, max retries" not in text:  # which explains nothing
            self.last = text


class _Spans(SpanExporter):
    """Passes batches on, and counts what was delivered. A collector that failed is not asked for a while."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._again = 0.0
        self.taken = self.delivered = 0
        self.failed = self._ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        if self._ended or self.paused:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        self.failed = result is not SpanExportResult.SUCCESS
        if self.failed:
            self._again = time.monotonic() + PAUSE
        else:
            self.delivered += len(spans)
        return result

    @property
    def paused(self) -> bool:
        """Whether the collector failed, and is left alone."""
        return time.monotonic() < self._again

    def shutdown(self) -> None:
        """End what is under way. The SDK calls it too."""
        if not self._ended:
            self._ended = True
            self._exporter.shutdown()


class _Worker:
    """A thread that does one thing after the other, and something `regularly`.

    It is there from the start: when Python ends, no thread can be started any more.
    """

    def __init__(self, regularly: Callable[[], None] | None = None, seconds: float | None = None) -> None:
        self._works: SimpleQueue[tuple[Callable[[], object] | None, threading.Event]] = SimpleQueue()
        self._regularly, self._seconds = regularly, seconds
        threading.Thread(target=self._run, daemon=True).start()

    def do(self, work: Callable[[], object] | None) -> threading.Event:
        """Do some work; what is returned is set when it is done. None ends the thread."""
        done = threading.Event()
        self._works.put((work, done))
        return done

    def _run(self) -> None:
        while True:
            try:
                work, done = self._works.get(timeout=self._seconds if self._regularly else None)
            except Empty:
                assert self._regularly is not None
                self._regularly()
                continue
            try:
                if work is None:
                    return
                work()
            finally:
                done.set()


class Otlp:
    """A connection to a collector.

    endpoint
        its address, without the signal's path; None: the SDK takes it from the environment
    address
        the same as it is in force
    read
        gives the metrics; None: no metrics are sent
    interval
        seconds between two transmissions of metrics
    queue
        how many spans may wait; further ones are dropped
    """

    def __init__(
        self,
        resource: Resource,
        scope: InstrumentationScope,
        *,
        endpoint: str | None,
        address: str,
        read: Callable[[], list[Series]] | None,
        interval: float,
        queue: int,
    ) -> None:
        self._resource, self._scope, self._read = resource, scope, read
        self._queue = queue
        self._reasons = _Reasons()
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self._reasons)
        base = endpoint.rstrip("/") if endpoint else None
        self._address = address
        spans = OTLPSpanExporter(base and f"{base}/v1/traces")
        self._metrics = OTLPMetricExporter(base and f"{base}/v1/metrics")
        self._spans = _Spans(spans)
        # More than `queue` are never in it, so that the SDK drops nothing by itself.
        self._processor = BatchSpanProcessor(
            self._spans, max_queue_size=queue + BATCH, schedule_delay_millis=DELAY * 1000,
            max_export_batch_size=min(BATCH, queue),
        )  # fmt: skip
        self._began = time.time_ns()
        self._given = self._dropped = 0
        self._ended = threading.Event()
        self._metrics_failed = False
        self._spans_worker = _Worker()
        self._metrics_worker = _Worker(self._send_metrics, interval)

    # -- spans --

    def wants(self) -> bool:
        """Whether another span would be sent; if not, it counts as lost."""
        full = self.waiting >= self._queue
        if full or self._spans.paused or self._ended.is_set():
            self._given += 1
            self._dropped += 1
            return False
        return True

    def add(self, span: ReadableSpan) -> None:
        """Queue a span that has ended."""
        self._given += 1
        self._processor.on_end(span)

    @property
    def lost(self) -> int:
        """How many spans were dropped, or sent in vain."""
        return self._dropped + self._spans.taken - self._spans.delivered

    @property
    def waiting(self) -> int:
        """How many spans were not sent yet."""
        return self._given - self._dropped - self._spans.taken

    @property
    def down(self) -> bool:
        """Whether nothing reaches the collector at the moment."""
        return self._spans.failed or self._metrics_failed

    @property
    def reason(self) -> str:
        """Why something could not be delivered, as the SDK says."""
        return self._reasons.last

    # -- metrics --

    def _send_metrics(self) -> None:
        series = self._read() if self._read is not None else []
        if series:
            result = self._metrics.export(self._encoded(series))
            self._metrics_failed = result is not MetricExportResult.SUCCESS

    def _encoded(self, series: Sequence[Series]) -> MetricsData:
        now = time.time_ns()
        points: dict[Instrument, list[NumberDataPoint | HistogramDataPoint]] = {}
        for one in series:
            points.setdefault(one.instrument, []).append(_point(one, self._began, now))
        metrics = [
            Metric(one.name, one.meaning, one.unit, _data(one, listed)) for one, listed in points.items()
        ]
        scope = ScopeMetrics(self._scope, metrics, self._scope.schema_url or "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])

    # -- the end --

    def _refused(self) -> bool:
        """Whether nothing listens at the collector's address, if that is on this machine."""
        parts = urlsplit(self._address)
        if parts.hostname not in LOOPBACK:
            return False
        try:
            with socket.create_connection((parts.hostname, parts.port or 80), timeout=0.25):
                return False
        except ConnectionRefusedError as error:
            self._reasons.last = self._reasons.last or str(error)
            return True
        except OSError:
            return False

    def flush(self, seconds: float) -> bool:
        """Send what waits, for at most so many seconds; whether that was enough."""
        end = time.monotonic() + seconds
        works = (
            self._spans_worker.do(self._processor.force_flush),
            self._metrics_worker.do(self._send_metrics),
        )
        return all(done.wait(max(0.0, end - time.monotonic())) for done in works)

    def close(self, seconds: float) -> None:
        """Send what waits, for at most so many seconds, and end. A collector that is down gets nothing."""
        if self._ended.is_set():
            return
        if not self.down and not self._refused():
            self.flush(seconds)
        self._ended.set()
        # Ends retries that are under way.
        self._spans.shutdown()
        self._metrics.shutdown()
        self._spans_worker.do(self._processor.shutdown).wait(0.5)
        for worker in (self._spans_worker, self._metrics_worker):
            worker.do(None)
        self._dropped += self.waiting
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self._reasons)


def _point(one: Series, began: int, now: int) -> NumberDataPoint | HistogramDataPoint:
    value, attributes = one.value, dict(one.labels)
    if not isinstance(value, Distribution):
        return NumberDataPoint(attributes, began, now, value)
    return HistogramDataPoint(
        attributes, began, now, value.count, value.sum, value.buckets, one.instrument.bounds, value.least,
        value.most,
    )  # fmt: skip


def _data(instrument: Instrument, points: list[NumberDataPoint | HistogramDataPoint]) -> Sum | Histogram:
    if instrument.kind == "counter":
        return Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)  # type: ignore[arg-type]
    return Histogram(points, AggregationTemporality.CUMULATIVE)  # type: ignore[arg-type]
