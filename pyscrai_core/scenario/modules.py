"""A scenario's own code: `use: ./file.py:name` names a function or class in a module beside the scenario.

Checking a scenario reads and parses such a file and executes nothing of it. It is executed when the
components are made, after a person has approved it. A run that is executed again takes it from its manifest.
"""

from __future__ import annotations

import re
import symtable
import sys
import traceback
from types import ModuleType
from typing import Any

from attrs import define, field

from pyscrai_records.base.suggest import did_you_mean
from pyscrai_records.canonical import digest

from ..contracts import CONTRACTS, Toolset
from .source import Source

_REFERENCE = re.compile(r"(?P<file>[^:]*\.py)(?::(?P<name>\w*))?")


@define
class Modules:
    """The modules of one scenario; each is executed once."""

    source: Source
    hashes: dict[str, str] = field(factory=dict)
    _executed: dict[str, ModuleType] = field(factory=dict)

    def reference(self, use: str) -> tuple[str, str] | None:
        """The file and the name that `use` refers to; None if it names an extension.

        Raises `ValueError` if there is no such file, if it is not Python, or if it has no such name.
        """
        found = _REFERENCE.fullmatch(use)
        if found is None:
            return None
        file, name = found["file"], found["name"]
        text = self.source.read(file)
        try:
            symbols = symtable.symtable(text, file, "exec").get_symbols()
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None)
            what = getattr(error, "msg", None) or error
            raise ValueError(f"{file}{f':{line}' if line else ''}: it is not Python: {what}") from None
        if name not in {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}:
            named = sorted(one.get_name() for one in symbols if one.is_namespace())
            own = [one for one in named if not one.startswith("_")]
            what = "needs the name of a function or class"
            if name:
                what = f"has no {name!r}{did_you_mean(name, own)}"
            raise ValueError(f"{file} {what}; expected {file}:NAME with one of {', '.join(own) or 'none'}")
        self.source.demand("run the Python code in the file", file)
        self.hashes[file] = digest(text.encode())
        return file, name

    def load(self, kind: str, use: str) -> Any:
        """The class that `use` refers to, by executing its file; a function is made a tool.

        Raises `ValueError`.
        """
        reference = self.reference(use)
        assert reference is not None
        file, name = reference
        found = getattr(self._module(file), name, None)
        if kind == "tool" and callable(found) and not isinstance(found, type):
            from ..tools import tool

            try:
                found = tool(found)
            except TypeError as error:
                raise ValueError(str(error)) from None
        contracts = (CONTRACTS[kind], Toolset) if kind == "tool" else (CONTRACTS[kind],)
        if not (isinstance(found, type) and issubclass(found, contracts)):
            expected = contracts[0].__name__
            raise ValueError(f"{file}:{name} cannot be used as {kind}; expected a subclass of {expected}")
        return found

    def _module(self, file: str) -> ModuleType:
        if file not in self._executed:
            text = self.source.read(file)
            # Registered, because attrs, dataclasses and type hints look their module up by its name.
            module = ModuleType(f"pyscrai_scenario_{digest(text.encode())[:12]}")
            module.__file__ = file
            sys.modules[module.__name__] = module
            try:
                exec(compile(text, file, "exec"), module.__dict__)
            except Exception as error:  # a module may raise anything: report it as a failure of the module
                lines = [
                    frame.lineno
                    for frame in traceback.extract_tb(error.__traceback__)
                    if frame.filename == file
                ]
                line = f":{lines[0]}" if lines else ""
                raise ValueError(f"{file}{line}: it raised {type(error).__name__}: {error}") from error
            self._executed[file] = module
        return self._executed[file]
