"""What the rest of the kernel is built on, and no plugin sees: frozen data, redaction."""
