"""The scores that a model gave, in a file: a computation that was interrupted asks nothing twice."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import orjson

from pyscrai_answers.options import METHOD, Option, OptionScores
from pyscrai_core import ConfigError, Request
from pyscrai_records.base.files import append_file, open_file
from pyscrai_records.base.private import make_folder
from pyscrai_records.canonical import canonical, digest


def key_of(request: Request, prefix: str, options: Sequence[Option], model: str) -> str:
    """What scores are found by: all that they depend on. `model` tells the provider's model from others."""
    asked = [message.digest for message in request.messages]
    texts = [[option.text, option.opening] for option in options]
    return digest(canonical([METHOD, model, asked, request.schema, prefix, texts]))[:32]


class Scores:
    """Scores by their key, also in the file at `path`, one JSON array a line.

    Raises `ConfigError` if the file is not one of ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, OptionScores] = {}
        self._file: Any = None
        if path.exists():
            self._read()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> OptionScores | None:
        return self._known.get(key)

    def put(self, key: str, scores: OptionScores) -> None:
        """Keep scores; on disk when this returns."""
        self._known[key] = scores
        if self._file is None:
            self._file = self._opened()
        # JSON has no infinity: None is the logarithm of 0.
        logprobs = [None if one == float("-inf") else one for one in scores.logprobs]
        line = orjson.dumps([key, logprobs, scores.off, scores.missing, scores.model])
        self._file.write(line + b"\n")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> IO[bytes]:
        try:
            make_folder(self._path.parent)
            return append_file(self._path)
        except OSError as error:
            raise self._unusable("written", error) from None

    def _unusable(self, what: str, error: OSError) -> ConfigError:
        reason = error.strerror or str(error)
        return ConfigError(f"--scores {self._path}: it cannot be {what} ({reason}); name another file")

    def _read(self) -> None:
        try:
            with open_file(self._path) as file:
                data = file.read()
        except OSError as error:
            raise self._unusable("read", error) from None
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                key, logprobs, off, missing, model = orjson.loads(line)
                values = tuple(float("-inf") if one is None else float(one) for one in logprobs)
                self._known[str(key)] = OptionScores(values, float(off), float(missing), model=str(model))
            except (ValueError, TypeError) as error:
                raise ConfigError(
                    f"{self._path}:{number}: this is no line of scores ({error}), expected a file that "
                    "pyscrai exact wrote; name another one with --scores FILE, or remove it"
                ) from None
        if whole < len(data):  # the process was killed while it wrote the last line
            with self._path.open("r+b") as file:
                file.truncate(whole)
