"""The files that a scenario reads: those in its folder, and those outside of it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path as FilesystemPath

from attrs import define, field

from pyscrai_language.lookalikes import normalize
from pyscrai_records.base.demands import demand
from pyscrai_records.base.files import open_file, read_bytes
from pyscrai_records.errors import TrustRequired

#: What is demanded of a file that a command line names, with its hash.
USE_FILE = "let a program use the file with the SHA-256 {}"


def _sha256(path: FilesystemPath) -> str:
    """The hash of a regular file; of one that cannot be read, nothing."""
    try:
        with open_file(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


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
    #: The same as a run that was recorded would demand it: of its folder, nobody knows whose it is.
    recorded_demands: dict[str, None] = field(factory=dict)
    #: The files that command lines name, each by its demand.
    used: dict[str, FilesystemPath] = field(factory=dict)
    #: What was demanded since this was emptied.
    latest: list[str] = field(factory=list)
    written: str = ""
    #: Whether members of populations were drawn with the seed.
    sampled: bool = False
    #: Whether it is planned for a replay, which opens no tool that reaches outside.
    replay: bool = False
    #: Whether the component whose options are read may start its program.
    starts: bool = True

    def demand(self, what: str, value: str, inside: bool = False) -> None:
        """Note what a person has to approve; what is `inside` of the folder only where that is recorded."""
        text = demand(what, value)
        self.recorded_demands[text] = None
        if self.recorded or not inside:
            self.demands[text] = None
            self.latest.append(text)

    def demand_file(self, path: FilesystemPath) -> None:
        """Note a file that a command line names, as it is now."""
        what = USE_FILE.format(_sha256(path))
        self.used[demand(what, str(path))] = path
        self.demand(what, str(path))

    def check_files(self, demands: Collection[str]) -> None:
        """Raise `TrustRequired` if such a file was changed since it was noted."""
        for text in demands:
            path = self.used.get(text)
            if path is not None and demand(USE_FILE.format(_sha256(path)), str(path)) != text:
                raise TrustRequired(f"{path}: it was changed after it was approved; run the command again")

    def read(self, name: str) -> str:
        """The text of a file, by its path relative to the folder. Raises `ValueError`."""
        if name in self.files:
            return self.files[name]
        if self.recorded:
            raise ValueError(f"the file {name!r} is not in the run's manifest")
        path = self._place(name)
        if not path.is_relative_to(self.folder):
            self.demand("read the file", str(path))
        data = read_bytes(path, name)
        try:
            decoded = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ValueError(f"the file {name!r} is not UTF-8 text (line {line}); save it in UTF-8") from None
        text: str = normalize(decoded.replace("\r\n", "\n").replace("\r", "\n"))
        self.files[name] = text
        return text

    def locate(self, name: str) -> FilesystemPath:
        """The absolute path of a file; one outside of the folder becomes a demand. Raises `ValueError`."""
        path = self._place(name)
        self.demand("read the file", str(path), inside=path.is_relative_to(self.folder))
        return path

    def _place(self, name: str) -> FilesystemPath:
        try:
            return (self.folder / FilesystemPath(name).expanduser()).resolve()
        except (RuntimeError, ValueError, OSError):  # a home that is not known, a NUL, links in a circle
            raise ValueError(f"{name!r} cannot be the path of a file; check it") from None
