"""Files that somebody named: to read, to append to, to write.

They are regular files, of which a bounded part is read. A pipe would be waited for, and a device such as
/dev/zero never ends. Something may be written to a terminal or another character device, such as /dev/null.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import IO

from .private import private_files
from .suggest import closest

#: The largest file that is read, in bytes, where nothing else is said.
MAX_BYTES = 10_000_000


def open_file(path: str | Path, *, within: Path | None = None) -> BufferedReader:
    """The regular file at `path`, to be read. Raises `OSError`, also for anything else that stands there.

    No link is followed below the folder `within`, also if one is put there just now.
    """
    if within is None or os.open not in os.supports_dir_fd:
        return os.fdopen(_open(path, os.O_RDONLY), "rb")
    *above, name = Path(path).relative_to(within).parts or (".",)
    folder = os.open(within, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in above:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.fdopen(_open(name, os.O_RDONLY | os.O_NOFOLLOW, folder=folder), "rb")
    finally:
        os.close(folder)


def read_file(path: str | Path, most: int = MAX_BYTES, *, within: Path | None = None) -> bytes:
    """What is in the regular file at `path`. Raises `OSError`, also if it has more than `most` bytes.

    `within` is as in `open_file`.
    """
    with open_file(path, within=within) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it is larger than the {most:,} bytes that are read", str(path))
    return data


def append_file(path: str | Path) -> IO[bytes]:
    """The regular file or character device at `path`, to be appended to; a file that is missing is made.

    What is written is not buffered. Raises `OSError`.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with private_files():
        return os.fdopen(_open(path, flags, devices=True), "ab", buffering=0)


def open_device(path: str | Path) -> IO[bytes] | None:
    """The character device at `path`, to be written; None for a regular file, or where there is nothing.

    Raises `OSError` for anything else that stands there.
    """
    if not os.path.exists(path):
        return None
    opened = os.fdopen(_open(path, os.O_WRONLY, devices=True), "wb")
    if stat.S_ISCHR(os.fstat(opened.fileno()).st_mode):
        return opened
    opened.close()
    return None


def _open(path: str | Path, flags: int, *, devices: bool = False, folder: int | None = None) -> int:
    """Open without waiting for anybody at the other end; a path in an open folder is relative to it."""
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(path, flags, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a pipe that nobody reads, or a socket
            raise _refused(path) from None
        raise
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(mode) or (devices and stat.S_ISCHR(mode))):
            raise _refused(path)
        if hasattr(os, "set_blocking"):
            os.set_blocking(file, True)
        return file
    except BaseException:
        os.close(file)
        raise


def _refused(path: str | Path) -> OSError:
    return OSError(errno.EINVAL, "it is no file but a device or a pipe", str(path))


def read_bytes(path: Path, name: str = "") -> bytes:
    """What is in a file. Raises `ValueError`, with its `name` if the place of the mistake is not the file."""
    file, this = (f"the file {name!r}", repr(name)) if name else ("the file", "this")
    try:
        return read_file(path)
    except FileNotFoundError:
        there = f"there is no {f'file {name!r}' if name else 'such file'}"
        remedy = f"expected it at {path}" if name else "check the path"
        raise ValueError(f"{there}{_similar(path, name or str(path))}; {remedy}") from None
    except ValueError:
        raise ValueError(f"{this} cannot be the name of a file; check the path") from None
    except OSError as error:
        if os.path.isdir(path):
            raise ValueError(f"{this} is a folder, where a file was expected; name the file in it") from None
        if error.errno == errno.EFBIG:
            what = f"{file} is larger than the {MAX_BYTES:,} bytes that are read"
            raise ValueError(f"{what}; keep large data in files of their own, such as a CSV") from None
        if error.errno == errno.EINVAL:
            raise ValueError(f"{this} is not a file but a device or a pipe; name a file") from None
        reason = error.strerror or type(error).__name__
        raise ValueError(f"{file} cannot be read ({reason}); check its permissions and the path") from None


def _similar(path: Path, name: str) -> str:
    try:
        siblings = [one.name for one in path.parent.iterdir()]
    except OSError:
        return f", nor a folder {path.parent} that can be read"
    # A link that leads nowhere is there, and is not what was meant.
    match = closest(path.name, [one for one in siblings if one != path.name])
    return f" (did you mean {str(Path(name).parent / match)!r}?)" if match else ""
