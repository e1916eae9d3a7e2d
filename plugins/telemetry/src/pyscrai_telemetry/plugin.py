"""What this distribution adds to PyScrAI: the observer `telemetry`."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_observers() -> list[Extension]:
    return [
        Extension(
            "telemetry",
            "pyscrai_telemetry.observer:Telemetry",
            "OpenTelemetry traces and metrics, and a Prometheus endpoint",
        )
    ]
