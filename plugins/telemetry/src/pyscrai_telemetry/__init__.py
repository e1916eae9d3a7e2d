"""OpenTelemetry traces and metrics of PyScrAI's runs, and a Prometheus endpoint."""
