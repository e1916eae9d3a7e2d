"""What the rest of the kernel is built on: seeds, what observers are told, stdout, time limits."""
