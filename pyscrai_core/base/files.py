"""Reading files that somebody else named: regular ones only, and a bounded part of them.

A pipe would be waited for, and a device such as /dev/zero never ends.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

#: The largest file that is read, in bytes, where nothing else is said.
MAX_BYTES = 10_000_000


def open_file(path: str | Path) -> BufferedReader:
    """The regular file at `path`, to be read. Raises `OSError`, also for anything else that stands there."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.open(path, flags)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no file but a device or a pipe", str(path))
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def read_file(path: str | Path, most: int = MAX_BYTES) -> bytes:
    """What is in the regular file at `path`. Raises `OSError`, also if it has more than `most` bytes."""
    with open_file(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than the {most:,} bytes that are read", str(path))
    return data
