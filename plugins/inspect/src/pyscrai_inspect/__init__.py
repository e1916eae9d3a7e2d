"""The exporter `inspect`."""
