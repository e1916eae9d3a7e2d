"""The observer `telemetry`: runs as OpenTelemetry's traces and metrics, and metrics for Prometheus."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen

from pyscrai_core import (
    CallRecord,
    Event,
    Execution,
    Listen,
    Observer,
    RunResult,
    RunStatus,
    ToolRecord,
    TurnRecord,
    Url,
)
from pyscrai_core.agent import positive

from .execution import Watched
from .output import Options, forget, output_for
from .prometheus import address_of


def _address(instance: Any, attribute: Any, value: int | str | None) -> None:
    if value is not None:
        address_of(value)


def _without_user(instance: Any, attribute: Any, value: str | None) -> None:
    if value is not None and urlsplit(value).username is not None:
        raise ValueError(
            "endpoint: expected an address without a user and a password; send keys as headers, with the "
            "environment variable OTEL_EXPORTER_OTLP_HEADERS"
        )


class Telemetry(Observer):
    """Sends traces and metrics to a collector by OTLP, and offers metrics to Prometheus.

    Its methods only take notes, in microseconds. Threads send them; what cannot be delivered is dropped.
    """

    @frozen
    class Config:
        endpoint: Url | None = field(default=None, validator=_without_user)
        traces: bool = True
        metrics: bool = True
        content: bool = False
        prometheus: Listen | None = field(default=None, validator=_address)
        former_metrics: bool = False
        #: Seconds between two transmissions of metrics.
        interval: float = field(default=10.0, validator=positive)
        #: Spans that may wait for transmission.
        queue: int = field(default=8192, validator=positive)
        #: Seconds for the last transmission, when the process ends.
        patience: float = field(default=2.0, validator=positive)

    reads = tuple(f"OTEL_EXPORTER_OTLP_{signal}HEADERS" for signal in ("", "TRACES_", "METRICS_"))

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._output = output_for(
            Options(
                config.endpoint, config.traces, config.metrics, config.prometheus, config.interval,
                config.queue, config.patience,
            )
        )  # fmt: skip
        #: The execution in whose tasks we are: one observer may watch several.
        self._watched: ContextVar[Watched | None] = ContextVar("pyscrai_telemetry", default=None)

    @property
    def prometheus_url(self) -> str:
        """Where Prometheus finds the metrics; empty without an endpoint."""
        return self._output.endpoint.url if self._output.endpoint is not None else ""

    @property
    def lost(self) -> int:
        """How many spans of this process could not be delivered."""
        return self._output.lost

    def flush(self) -> bool:
        """Send what waits, for at most `patience` seconds; whether everything has arrived."""
        return self._output.flush()

    def close(self) -> None:
        """Send what waits, and end the connection and the endpoint. Without it, the process's end does."""
        forget(self._output)

    # -- of the contract --

    def on_begin(self, execution: Execution) -> None:
        if execution.kind == "replayed":  # nothing happens in it that did not happen before
            self._watched.set(None)
            return
        output, config = self._output, self.config
        watched = Watched(
            execution, output.totals, output.sender, with_content=config.content, former=config.former_metrics
        )
        self._watched.set(watched)

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        if (watched := self._watched.get()) is not None and status not in ("running", "paused"):
            watched.end(status, result)

    def on_turn(self, turn: TurnRecord) -> None:
        if (watched := self._watched.get()) is not None:
            watched.on_turn(turn)

    def on_tool(self, tool: ToolRecord) -> None:
        if (watched := self._watched.get()) is not None:
            watched.on_tool(tool)

    def on_call(self, call: CallRecord) -> None:
        if (watched := self._watched.get()) is not None:
            watched.on_call(call)

    def on_event(self, event: Event) -> None:
        if (watched := self._watched.get()) is not None:
            watched.on_event(event)

    async def aclose(self) -> None:
        if (watched := self._watched.get()) is not None:
            watched.end("failed", None)  # where the run ended without a result, by an error
            self._watched.set(None)
