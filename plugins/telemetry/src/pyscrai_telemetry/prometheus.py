"""The endpoint for Prometheus: the totals of this process in its text format, at `/metrics`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, groupby
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pyscrai_core import ConfigError

from .conventions import Instrument
from .totals import Distribution, Totals

UNITS = {"s": "_seconds", "USD": "_usd"}


def metric_name(instrument: Instrument) -> str:
    """The name in Prometheus, by OpenTelemetry's rules: no dots, the unit at the end."""
    name = instrument.name.replace(".", "_")
    unit = UNITS.get(instrument.unit, "")
    return name + unit


def address_of(given: int | str) -> tuple[str, int]:
    """Host and port of the option `prometheus`. Raises `ValueError`."""
    host, _, port = str(given).rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"prometheus: expected a port, or HOST:PORT such as 127.0.0.1:9464, got {given!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


class Endpoint(Collector):
    """A server in a thread of its own. `url` is where it answers. Raises `ConfigError` if it cannot."""

    def __init__(self, totals: Totals, host: str, port: int) -> None:
        self._totals = totals
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(
                f"observers.telemetry.prometheus: {host}:{port} cannot be used ({reason}); end the program "
                "that uses it, perhaps another run, or choose another port"
            ) from None
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._server.server_port}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterator[Metric]:
        for instrument, series in groupby(self._totals.read(), key=lambda one: one.instrument):
            listed = list(series)
            names = sorted({name for one in listed for name, _ in one.labels})
            shown = [name.replace(".", "_") for name in names]
            family: Any
            if instrument.kind == "counter":
                family = CounterMetricFamily(metric_name(instrument), instrument.meaning, labels=shown)
            else:
                family = HistogramMetricFamily(metric_name(instrument), instrument.meaning, labels=shown)
            for one in listed:
                given = dict(one.labels)
                values = [given.get(name, "") for name in names]
                if isinstance(one.value, Distribution):
                    ends = [*map(str, map(float, instrument.bounds)), "+Inf"]
                    buckets = list(zip(ends, accumulate(one.value.buckets), strict=True))
                    family.add_metric(values, buckets=buckets, sum_value=one.value.sum)
                else:
                    family.add_metric(values, one.value)
            yield family
