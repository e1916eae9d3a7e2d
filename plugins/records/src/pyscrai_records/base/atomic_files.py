"""Replaces several files at once: either all are replaced, or none."""

from __future__ import annotations

import glob
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from .files import open_device
from .private import make_folder, private_files

#: How the names of temporary files end, behind the process's number.
_END = f"@{socket.gethostname()}.part"


@contextmanager
def replace_paths(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Paths of temporary files beside `paths`, which do not exist yet. A link stands for where it leads.

    If the block ends without an error, those that were made replace `paths`. The folders are made if they are
    missing, and removed again after an error. Temporary files of processes that were killed are removed.
    Raises `OSError`.
    """
    paths = [path.resolve() for path in paths]
    parts = [path.with_name(f".{path.name}.{os.getpid()}{_END}") for path in paths]
    folders = dict.fromkeys(path.parent for path in paths)
    made = [folder for folder in folders if not folder.exists()]
    try:
        for folder in made:
            make_folder(folder)
        for path in paths:
            _remove_abandoned(path)
        yield parts
        for path in paths:
            if path.exists() and not path.is_file():
                what = "a folder" if path.is_dir() else "a device or a pipe"
                raise OSError(f"{path} is {what}, and would be replaced by a file")
        written = [(part, path) for part, path in zip(parts, paths, strict=True) if part.exists()]
        for part, path in written:
            # Written to disk before it is renamed: a power failure leaves the old file or the new one.
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
    except BaseException:
        for folder in made:
            _remove(parts, folder)
        raise
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files for `path` of processes of this machine that are gone."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*{_END}*"):  # DuckDB adds `.wal`
        pid = part.name.removeprefix(f".{path.name}.").partition(_END)[0]
        if pid.isascii() and pid.isdigit() and _is_gone(int(pid)):
            part.unlink(missing_ok=True)


def _is_gone(pid: int) -> bool:
    if sys.platform == "win32":  # there, a signal ends a process
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _remove(parts: Sequence[Path], folder: Path) -> None:
    """Remove a folder that was made, with the temporary files in it."""
    for part in parts:
        if part.parent == folder:
            part.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


@contextmanager
def replace_files(paths: Sequence[Path]) -> Iterator[list[BinaryIO]]:
    """Open a temporary file for each of `paths`, as `replace_paths` names them. Raises `OSError`."""
    with replace_paths(paths) as parts, ExitStack() as stack:
        files: list[BinaryIO] = [stack.enter_context(part.open("wb")) for part in parts]
        yield files
        stack.close()  # before they are renamed


def replace_file(path: Path, data: bytes) -> None:
    """Replace one file by `data`; a character device is written to instead. Raises `OSError`."""
    if device := open_device(path):
        with device:
            device.write(data)
        return
    with private_files(), replace_files([path]) as (file,):
        file.write(data)
