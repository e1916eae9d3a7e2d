"""Where telemetry goes: one for all observers of a process that have the same options.

Runs come and go, in one process perhaps thousands; the connection to a collector, the endpoint for Prometheus
and the totals stay until the process ends.
"""

from __future__ import annotations

import atexit
import os
import threading

from attrs import define, frozen
from loguru import logger
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import pyscrai_core

from . import conventions as names
from .otlp import Otlp, without_user
from .prometheus import Endpoint, address_of
from .spans import Sender
from .totals import Series, Totals

_SIGNALS = ("", "TRACES_", "METRICS_")
#: The environment's variables that name the collector.
ENDPOINTS = tuple(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in _SIGNALS)
#: The collector's address where nothing else is said.
DEFAULT_ENDPOINT = "http://localhost:4318"


@frozen
class Options:
    """What an output is made of; see the options of the observer."""

    endpoint: str | None
    traces: bool
    metrics: bool
    prometheus: int | str | None
    interval: float
    queue: int
    patience: float

    @property
    def sends(self) -> bool:
        """Whether something is sent to a collector: not where only Prometheus was asked for."""
        named = self.endpoint is not None or any(os.environ.get(name) for name in ENDPOINTS)
        return (self.traces or self.metrics) and (named or self.prometheus is None)

    @property
    def address(self) -> str:
        """The collector's address."""
        return self.endpoint or next(filter(None, map(os.environ.get, ENDPOINTS)), DEFAULT_ENDPOINT)


class Output:
    """The totals of a process, and where they and the spans are sent. Raises `ConfigError`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.totals = Totals()
        self._warned = False
        self._otlp: Otlp | None = None
        self.endpoint: Endpoint | None = None
        version = pyscrai_core.__version__
        scope = InstrumentationScope("pyscrai", version, names.SCHEMA)
        resource = _resource(version)
        if options.prometheus is not None:
            self.endpoint = Endpoint(self.totals, *address_of(options.prometheus))
            logger.debug("telemetry: Prometheus' endpoint is {}", self.endpoint.url)
        if options.sends:
            self._otlp = Otlp(
                resource, scope, endpoint=options.endpoint, address=options.address,
                read=self.read if options.metrics else None, interval=options.interval,
                queue=options.queue,
            )  # fmt: skip
        self.sender = Sender(resource, scope, self._send, self._wants)
        atexit.register(self.close)

    def _send(self, span: ReadableSpan) -> None:
        if self._otlp is not None:
            self._otlp.add(span)

    def _wants(self) -> bool:
        return self._otlp is not None and self._options.traces and self._otlp.wants()

    def read(self) -> list[Series]:
        """All metrics, for an exporter."""
        series = self.totals.read()
        if self.lost:
            series.append(Series(names.LOST, (), self.lost))
        return series

    @property
    def lost(self) -> int:
        """How many spans were not delivered."""
        return self._otlp.lost if self._otlp is not None else 0

    def flush(self) -> bool:
        """Send what waits; whether all of it arrived, within the time that the option `patience` gives."""
        if self._otlp is None:
            return True
        return self._otlp.flush(self._options.patience) and not self._otlp.lost

    def close(self) -> None:
        """Send what waits, and end. Says once what was not delivered."""
        atexit.unregister(self.close)
        if self._otlp is None:
            return
        self._otlp.close(self._options.patience)
        if (self._otlp.lost or self._otlp.down) and not self._warned:
            self._warned = True
            reason = f" ({self._otlp.reason})" if self._otlp.reason else ""
            logger.warning(
                "telemetry: {} spans did not reach {}{}; runs are not affected; check that a collector "
                "listens there for OTLP over HTTP",
                f"{self._otlp.lost:,}",
                without_user(self._options.address),
                reason,
            )


def _resource(version: str) -> Resource:
    """What the telemetry is about: this program. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` count."""
    named = Resource.create()
    # Without a name of the environment's, the SDK calls it unknown.
    own = {"service.name": "pyscrai", "service.version": version}
    name = str(named.attributes.get("service.name", ""))
    if name and not name.startswith("unknown_service"):
        del own["service.name"], own["service.version"]
    return named.merge(Resource(own))


@define
class _Outputs:
    """The outputs of this process, by their options."""

    lock: threading.Lock
    made: dict[Options, Output]


_outputs = _Outputs(threading.Lock(), {})


def output_for(options: Options) -> Output:
    """The output for these options, made when it is first asked for. Raises `ConfigError`."""
    with _outputs.lock:
        found = _outputs.made.get(options)
        if found is None:
            found = _outputs.made[options] = Output(options)
        return found


def forget(output: Output) -> None:
    """Close an output; the next observer with its options gets a new one."""
    with _outputs.lock:
        for options, made in list(_outputs.made.items()):
            if made is output:
                del _outputs.made[options]
    output.close()
    if output.endpoint is not None:
        output.endpoint.close()
        output.endpoint = None
