"""Types of options that mean more than their plain value: prompts, files, addresses, secrets, programs."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path as Folder
from typing import Any
from urllib.parse import urlsplit

import attrs

from pyscrai_language.misfit import Misfit, Misfits, Path
from pyscrai_language.schemas import check_schema
from pyscrai_language.templates import Prompt
from pyscrai_records.base.demands import CONNECT
from pyscrai_records.base.frozen import freeze_dict, freeze_list

from .. import contracts
from ..contracts import Component
from .source import Source
from .structure import Hook, Structurer, unfit

#: What is demanded of options of these types.
READ_SECRET = "read the secret in the environment variable"
HAND_OVER = "set the environment variable of the program"
LISTEN = "listen for connections from other machines at"
#: What only addresses have that are read differently by different libraries.
NOT_OF_A_URL = re.compile(r"[\s\\<>\"^`\x00-\x20\x7f]")
#: The hosts that are this machine.
LOOPBACK = ("localhost", "127.0.0.1", "::1")
#: What interpreters add to the name of a module.
_ENDS = (".py", ".js", ".mjs", ".cjs", ".ts", "/__main__.py", "/index.js")
#: What the names of files end in that programs keep data in.
_DATA = frozenset(
    (
        *(".csv", ".db", ".duckdb", ".json", ".jsonl", ".log", ".ndjson", ".parquet", ".sqlite", ".sqlite3"),
        *(".toml", ".tsv", ".xml", ".yaml", ".yml"),
    )
)
#: What separates words within an argument.
_WORDS = re.compile(r"[\s=;&|()<>\"'`,]+")
#: Of a `HubFile`: the organization, the repository, the revision, and the file with its folders.
HUB_FILE = re.compile(r"hf:\w[\w.-]*/\w[\w.-]*(@\w[\w.-]*)?(/\w[\w.-]*)+", re.ASCII)


def option_hooks(source: Source) -> dict[Any, Hook]:
    """The functions that read options of these types; `source` has the files, and notes what is demanded."""

    def prompt(value: Any, kind: Any) -> Prompt:
        if not isinstance(value, str):
            raise unfit(value, kind)
        return Prompt(source.read(value), value)

    def file_path(value: Any, kind: Any) -> str:
        if not isinstance(value, str) or not value or value.startswith("hf:"):
            raise unfit(value, kind)
        return str(source.locate(value))

    def hub_file(value: Any, kind: Any) -> str:
        if not isinstance(value, str) or not HUB_FILE.fullmatch(value):
            raise unfit(value, kind)
        source.demand("download from the Hugging Face Hub, unless it is there already", value)
        return value

    def url(value: Any, kind: Any) -> str:
        try:
            parts = urlsplit(value if isinstance(value, str) else "")
            port = "" if parts.port is None else f":{parts.port}"
            host = parts.hostname or ""
            alike = host.isascii() or host.encode("idna").decode("idna") == host
        except ValueError:  # such as a bracket that is not closed, or a port that is no number
            raise unfit(value, kind) from None
        if parts.scheme not in ("http", "https") or not host:
            raise unfit(value, kind)
        if not alike or NOT_OF_A_URL.search(value):
            # Whoever connects may read such an address as that of another host than was approved.
            raise Misfit(
                f"{value!r} has blanks or characters that are not read alike everywhere; write them as %20, "
                "%5C, …, and those of the host's name as xn--…"
            )
        if host not in LOOPBACK:
            host = f"[{host}]" if ":" in host else host
            origin = f"{parts.scheme}://{host}{port}"
            # Whoever approves is to see what is not encrypted, and what is not the usual server of a host.
            source.demand(CONNECT, host if origin in (f"https://{host}", f"https://{host}:443") else origin)
        return str(value)

    def listen(value: Any, kind: Any) -> int | str:
        host, _, port = str(value).rpartition(":")
        if type(value) not in (int, str) or not (port.isascii() and port.isdecimal() and int(port) < 65536):
            raise unfit(value, kind)
        if host and host.strip("[]") not in LOOPBACK:
            source.demand(LISTEN, str(value))
        given: int | str = value
        return given

    def secret(value: Any, kind: Any) -> str:
        if not _is_variable(value):
            raise unfit(value, kind)
        source.demand(READ_SECRET, value)
        return str(value)

    def variables(value: Any, kind: Any) -> dict[str, str]:
        """Secrets by the name under which a program gets them, which may decide what it executes."""
        if not isinstance(value, dict):
            raise unfit(value, kind)
        for name, one in value.items():
            if not (_is_variable(name) and _is_variable(one)):
                raise unfit(one, contracts.SecretName).under((name,))
            source.demand(READ_SECRET, one)
            source.demand(HAND_OVER, f"{name}=${one}")
        return dict(value)

    def program(value: Any, kind: Any) -> list[str]:
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            raise unfit(value, kind)
        if not value[0].strip():
            raise Misfit("the program is empty; name one")
        source.demand("start the program", shlex.join(value))
        # `./` is the scenario's folder, wherever the command was given.
        parts = [str(source.locate(part)) if part.startswith("./") else part for part in value]
        if source.starts:
            for path in _named(parts):
                source.demand_file(path)
        return parts

    def schema(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise unfit(value, kind)
        check_schema(value)
        return value

    return {
        Prompt: prompt,
        contracts.FilePath: file_path,
        contracts.HubFile: hub_file,
        contracts.Url: url,
        contracts.Listen: listen,
        contracts.SecretName: secret,
        dict[str, contracts.SecretName]: variables,
        contracts.Program: program,
        contracts.JsonSchema: schema,
    }


def _is_variable(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w*", value) is not None


def _named(program: list[str]) -> Iterator[Folder]:
    """The files that a command line names: any of them may be executed, whatever its name is.

    They may be named within an argument (`bash -c "./x.sh"`), or as interpreters name modules
    (`python -m x`). A program that is looked for in `PATH` is the system's, and what an option names may be
    data that the program changes (`--db notes.db`).
    """
    for index, (before, part) in enumerate(pairwise(["", *program])):
        option = index > 0 and (before.startswith("--") or part.startswith("--"))
        for word in dict.fromkeys([part, *_WORDS.split(part)]):
            stems = dict.fromkeys((word, word.replace(".", "/")))
            names = [word, *(f"{stem}{end}" for stem in stems for end in _ENDS)]
            for path in map(Folder, names):
                data = option and path.suffix.lower() in _DATA
                if (index > 0 or "/" in word) and not data and _is_file(path):
                    yield path.absolute()


def _is_file(path: Folder) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def check_options(config: type) -> None:
    """Raise `ContractError` if a Config has an option of a type that no scenario can give."""
    Structurer(option_hooks(Source(Folder())), lambda kind, value: value).check_type(config)


def check_prompts(config: Any) -> None:
    """Check the prompts of a structured Config. Raises `Misfit`."""
    found: list[Misfit] = []
    for path, value in walk(config):
        if isinstance(value, Prompt):
            try:
                value.check()
            except Misfit as error:
                found.append(error.under(path))
    if found:
        raise Misfits(found)


def freeze_config(value: Any) -> Any:
    """A structured Config, or a part of one; its lists and mappings, which components share, are frozen."""
    if isinstance(value, dict):
        return freeze_dict({key: freeze_config(part) for key, part in value.items()})
    if isinstance(value, list):
        return freeze_list(map(freeze_config, value))
    if type(value) is tuple:
        return tuple(map(freeze_config, value))
    if attrs.has(type(value)) and not isinstance(value, (Component, Prompt)):
        for option in attrs.fields(type(value)):
            old = getattr(value, option.name)
            if (new := freeze_config(old)) is not old:
                object.__setattr__(value, option.name, new)
    return value


def inside(value: Any) -> Iterator[Any]:
    """All that a Config holds, also in its lists and mappings; of components, only themselves."""
    return (part for _, part in walk(value))


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The same, with the path of each."""
    parts: Iterable[tuple[str | int, Any]]
    if isinstance(value, (list, tuple, set, frozenset)):
        parts = enumerate(value)
    elif isinstance(value, dict):
        parts = value.items()
    elif attrs.has(type(value)) and not isinstance(value, (Component, Prompt)):
        parts = ((option.alias, getattr(value, option.name)) for option in attrs.fields(type(value)))
    else:
        yield path, value
        return
    for key, part in parts:
        yield from walk(part, (*path, key))
