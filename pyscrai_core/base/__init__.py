"""What the rest of the kernel is built on: frozen data, files, seeds, redaction, the logger."""
