"""The toolset `files`: reads the files of one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from attrs import field, frozen, validators

from pyscrai_core import ConfigError, FilePath, NoConfig, Tool, ToolFailed, Toolset, read_file, tool

#: The maximum number of listed files.
MAX_FILES = 500


@frozen
class FilesConfig:
    """The options of `files`.

    folder
        The folder that agents may read, relative to the scenario's folder.
    characters
        The maximum number of characters that one call returns.
    """

    folder: FilePath
    characters: int = field(default=4000, validator=validators.ge(1))


class Files(Toolset):
    """Lists and reads the text files of a folder. Nothing outside the folder can be read, not even by links.

    Results are journaled, because files may change before a run is executed again.
    """

    Config: ClassVar[type] = FilesConfig
    config: FilesConfig

    def __init__(self, config: FilesConfig) -> None:
        super().__init__(config)
        self._folder = Path(config.folder).resolve()

    async def aopen(self) -> None:
        if not self._folder.is_dir():
            raise ConfigError(f"files: folder: there is no folder {self.config.folder}; name one that exists")

    async def list(self) -> list[Tool]:
        return [tool(self.list_files)(NoConfig()), tool(self.read_file)(NoConfig())]

    def list_files(self) -> Any:
        """List the files that you can read."""
        found = sorted(
            path.relative_to(self._folder).as_posix()
            for path in self._folder.rglob("*")
            if path.is_file() and path.resolve().is_relative_to(self._folder)
        )
        if len(found) > MAX_FILES:
            return [*found[:MAX_FILES], f"… and {len(found) - MAX_FILES} more"]
        return found

    def read_file(
        self,
        path: Annotated[str, "the file's path, as listed by list_files"],
        start: Annotated[int, "the index of the first character to read, from 0"] = 0,
    ) -> dict[str, Any]:
        """Read a text file, or a part of it."""
        try:
            # Resolved first, because links and `..` may lead out of the folder.
            file = (self._folder / path).resolve()
            if not file.is_relative_to(self._folder):
                raise ToolFailed(f"files: {path!r} is outside the folder; see list_files")
            text = read_file(file, within=self._folder).decode().replace("\r\n", "\n").replace("\r", "\n")
        except (OSError, ValueError, RuntimeError) as error:  # a NUL, half a character, links in a circle
            decoding = isinstance(error, UnicodeDecodeError)
            otherwise = "it is not UTF-8 text" if decoding else "it leads to no file"
            reason = getattr(error, "strerror", None) or otherwise
            raise ToolFailed(f"files: {path!r} cannot be read: {reason}; see list_files") from None
        if not 0 <= start <= len(text):
            raise ToolFailed(f"files: {path!r} has {len(text)} characters, so `start` cannot be {start}")
        end = min(len(text), start + self.config.characters)
        return {"text": text[start:end], "from": start, "to": end, "of": len(text)}
