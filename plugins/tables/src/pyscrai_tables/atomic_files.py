"""Replaces several files at once: either all are replaced, or none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replace_files(paths: Sequence[Path]) -> Iterator[list[BinaryIO]]:
    """Open a temporary file for each of `paths`.

    If the block ends without an error, the files replace `paths`. Raises `OSError`.
    """
    parts = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    try:
        with ExitStack() as stack:
            files: list[BinaryIO] = [stack.enter_context(part.open("wb")) for part in parts]
            yield files
            for file in files:
                # Written to disk before it is renamed, so that a power failure leaves the old file or the new
                # one.
                file.flush()
                os.fsync(file.fileno())
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
