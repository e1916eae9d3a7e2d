"""Replaces several files at once: either all are replaced, or none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from pyscrai_core.base.private import make_folder


@contextmanager
def replace_paths(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Paths of temporary files beside `paths`, which do not exist yet.

    If the block ends without an error, those that were made replace `paths`. The folders are made if they are
    missing, and removed again after an error. Raises `OSError`.
    """
    parts = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    folders = dict.fromkeys(path.parent for path in paths)
    made = [folder for folder in folders if not folder.exists()]
    try:
        for folder in made:
            make_folder(folder)
        yield parts
        for path in paths:
            if path.is_dir():
                raise IsADirectoryError(21, "it is a folder, and would be replaced by a file", str(path))
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
