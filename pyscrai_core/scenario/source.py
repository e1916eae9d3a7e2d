"""The files that a scenario reads: those in its folder, and those outside of it."""

from __future__ import annotations

from pathlib import Path as FilesystemPath

from attrs import define, field

from ..suggest import closest
from . import yaml


@define
class Source:
    """A scenario's folder, and the files that were read from it.

    `shown` is the folder as it was given, for messages. When a run is executed again (`recorded`), `files`
    comes from its manifest and the folder is not read. `demands` are what a person has to approve, in the
    order in which they were found, and `written` is the hash of the scenario's file, if it comes from one.
    """

    folder: FilesystemPath
    files: dict[str, str] = field(factory=dict)
    recorded: bool = False
    shown: FilesystemPath = FilesystemPath()
    demands: dict[str, None] = field(factory=dict)
    written: str = ""

    def demand(self, what: str, value: str) -> None:
        self.demands[f"{what}: {value}"] = None

    def read(self, name: str) -> str:
        """The text of a file, by its path relative to the folder. Raises `ValueError`."""
        if name in self.files:
            return self.files[name]
        if self.recorded:
            raise ValueError(f"the file {name!r} is not in the run's manifest")
        path = self.locate(name)
        try:
            if path.is_dir():
                raise ValueError(f"{name!r} is a folder, where a file was expected; name the file in it")
            if path.exists() and not path.is_file():
                raise ValueError(f"{name!r} is not a file but a device or a pipe; name a file")
            with path.open("rb") as file:
                data = file.read(yaml.MAX_BYTES + 1)
        except FileNotFoundError:
            raise ValueError(
                f"there is no file {name!r}{_similar(path, name)}; expected it at {path}"
            ) from None
        except OSError as error:
            raise ValueError(f"the file {name!r} cannot be read: {error.strerror}") from None
        if len(data) > yaml.MAX_BYTES:
            raise ValueError(f"the file {name!r} is larger than the {yaml.MAX_BYTES:,} bytes that are read")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ValueError(f"the file {name!r} is not UTF-8 text (line {line}); save it in UTF-8") from None
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.files[name] = text
        return text

    def locate(self, name: str) -> FilesystemPath:
        """The absolute path of a file; one outside of the folder becomes a demand. Raises `ValueError`."""
        try:
            path = (self.folder / FilesystemPath(name).expanduser()).resolve()
        except (RuntimeError, ValueError, OSError):  # a home that is not known, a NUL, links in a circle
            raise ValueError(f"{name!r} cannot be the path of a file; check it") from None
        if not self.recorded and not path.is_relative_to(self.folder):
            self.demand("read the file outside of its folder", str(path))
        return path


def _similar(path: FilesystemPath, name: str) -> str:
    try:
        siblings = [one.name for one in path.parent.iterdir()]
    except OSError:
        return ", nor its folder"
    match = closest(path.name, siblings)
    return f" (did you mean {str(FilesystemPath(name).parent / match)!r}?)" if match else ""
