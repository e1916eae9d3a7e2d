"""Types of options that mean more than their plain value: prompts, files, addresses, secrets, programs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs
from attrs import frozen

from .. import contracts
from ..contracts import Component
from ..language.misfit import Misfit, Path
from ..language.schemas import check_schema
from ..language.templates import Prompt
from ..suggest import format_value
from .structure import Structurer


@frozen
class Options:
    """Reads such options.

    `read` gives the text of a file in the scenario's folder, `locate` turns the path of one into an absolute
    path, and `demand` notes what a person has to approve.
    """

    read: Callable[[str], str]
    locate: Callable[[str], str]
    demand: Callable[[str, str], None]

    def teach(self, structurer: Structurer) -> None:
        """Make `structurer` read options of these types."""
        structurer.hook(Prompt, self._prompt)
        structurer.hook(contracts.FilePath, self._file_path)
        structurer.hook(contracts.Url, self._url)
        structurer.hook(contracts.SecretName, self._secret)
        structurer.hook(contracts.Program, self._program)
        structurer.hook(contracts.JsonSchema, _schema)

    def _prompt(self, value: Any, _: Any) -> Prompt:
        if not isinstance(value, str):
            raise Misfit(f"expected the path of a template file, got {format_value(value)}")
        return Prompt(self.read(value), value)

    def _file_path(self, value: Any, _: Any) -> str:
        if not isinstance(value, str) or not value:
            raise Misfit(f"expected the path of a file, got {format_value(value)}")
        return self.locate(value)

    def _url(self, value: Any, _: Any) -> str:
        try:
            parts = urlsplit(value) if isinstance(value, str) else None
        except ValueError:  # such as a bracket that is not closed
            parts = None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misfit(
                f"expected an address that begins with http:// or https://, got {format_value(value)}"
            )
        if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            self.demand("connect to", parts.hostname)
        return str(value)

    def _secret(self, value: Any, _: Any) -> str:
        if not isinstance(value, str) or not value.replace("_", "").isalnum() or value[0].isdigit():
            raise Misfit(f"expected the name of an environment variable, got {format_value(value)}")
        self.demand("read the secret in the environment variable", value)
        return value

    def _program(self, value: Any, _: Any) -> list[str]:
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            raise Misfit(
                f"expected a program with its arguments, such as [python, x.py]; got {format_value(value)}"
            )
        if not value[0].strip():
            raise Misfit("the program is empty; name one")
        self.demand("start the program", shlex.join(value))
        # `./` is the scenario's folder, wherever the command was given.
        return [self.locate(part) if part.startswith("./") else part for part in value]


def _schema(value: Any, _: Any) -> Any:
    if not isinstance(value, dict):
        raise Misfit(f"expected a JSON Schema (a mapping), got {format_value(value)}")
    check_schema(value)
    return value


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
