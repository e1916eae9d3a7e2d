"""Types of options that mean more than their plain value: prompts, files, addresses, secrets, programs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs

from .. import contracts
from ..contracts import Component
from ..language.misfit import Misfit, Path
from ..language.schemas import check_schema
from ..language.templates import Prompt
from .source import Source
from .structure import Hook, unfit


def option_hooks(source: Source) -> dict[Any, Hook]:
    """The functions that read options of these types; `source` has the files, and notes what is demanded."""

    def prompt(value: Any, kind: Any) -> Prompt:
        if not isinstance(value, str):
            raise unfit(value, kind)
        return Prompt(source.read(value), value)

    def file_path(value: Any, kind: Any) -> str:
        if not isinstance(value, str) or not value:
            raise unfit(value, kind)
        return str(source.locate(value))

    def url(value: Any, kind: Any) -> str:
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
        except ValueError:  # such as a bracket that is not closed
            parts = None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise unfit(value, kind)
        if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            source.demand("connect to", parts.hostname)
        return str(value)

    def secret(value: Any, kind: Any) -> str:
        if not isinstance(value, str) or not value.replace("_", "").isalnum() or value[0].isdigit():
            raise unfit(value, kind)
        source.demand("read the secret in the environment variable", value)
        return value

    def program(value: Any, kind: Any) -> list[str]:
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            raise unfit(value, kind)
        if not value[0].strip():
            raise Misfit("the program is empty; name one")
        source.demand("start the program", shlex.join(value))
        # `./` is the scenario's folder, wherever the command was given.
        return [str(source.locate(part)) if part.startswith("./") else part for part in value]

    def schema(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise unfit(value, kind)
        check_schema(value)
        return value

    return {
        Prompt: prompt,
        contracts.FilePath: file_path,
        contracts.Url: url,
        contracts.SecretName: secret,
        contracts.Program: program,
        contracts.JsonSchema: schema,
    }


def check_prompts(config: Any, path: Path = ()) -> Iterator[Misfit]:
    """What is wrong with the prompts of a structured Config.

    A file that replaces a plugin's prompt gets that one's variables.
    """
    for option in attrs.fields(type(config)):
        value, here = getattr(config, option.name), (*path, option.alias)
        if isinstance(value, Prompt):
            lender = option.default
            if isinstance(lender, Prompt) and not value.names:
                value = attrs.evolve(value, names=lender.names)
                object.__setattr__(config, option.name, value)
            try:
                value.check()
            except Misfit as error:
                yield error.under(here)
        elif attrs.has(type(value)) and not isinstance(value, Component):
            yield from check_prompts(value, here)


def inside(value: Any) -> Iterator[Any]:
    """All that a Config holds, also in its lists and mappings; of components, only themselves."""
    if isinstance(value, (Component, Prompt)):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from inside(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from inside(part)
    elif attrs.has(type(value)):
        for option in attrs.fields(type(value)):
            yield from inside(getattr(value, option.name))
    else:
        yield value
