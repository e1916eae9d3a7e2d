"""Prompts: Jinja2 in a sandbox with bounded work, strict about names, with nothing random in it.

Templates come from plugins and scenarios. Text from models is only ever a value in them, never compiled.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..canonical import digest
from ..errors import ContractError
from ..suggest import did_you_mean
from .misfit import Misfit

if TYPE_CHECKING:
    from jinja2.environment import Template

    from .sandbox import Work

#: The longest template, in characters.
MAX_SOURCE = 200_000


@frozen
class Prompt:
    """A template with its origin.

    `names` are the variables that whoever renders it provides; a template that uses another is refused
    when the scenario is loaded. As the type of an option, it takes the path of a file in the scenario's
    folder; give the option a default with `Prompt.packaged`, and it lends the file its `names`.
    """

    text: str
    origin: str
    names: frozenset[str] = frozenset()

    @classmethod
    def packaged(cls, package: str, name: str, names: Iterable[str]) -> Prompt:
        """The file `name` beside the modules of `package`, a plugin's own."""
        text = (importlib.resources.files(package) / name).read_text(encoding="utf-8")
        return cls(text, f"{package}/{name}", frozenset(names))

    @property
    def sha256(self) -> str:
        """The hash that the manifest records."""
        return digest(self.text.encode())

    def check(self) -> None:
        """Raise `Misfit` for bad syntax, an unknown name, filter or test, or a private attribute."""
        _check(self.text, self.names, self.origin)

    def render(self, **values: Any) -> str:
        """The prompt's text. Raises `ContractError` if a value that it needs is missing or does not fit."""
        try:
            return _render(self.text, self.origin, values)
        except Misfit as error:
            raise ContractError(f"{error}; correct the template") from error


class Filling:
    """Renders the strings of one scenario, such as personas with variables, within one budget for all."""

    #: How many times the budget of a single prompt they may need together.
    TIMES = 10

    def __init__(self) -> None:
        self._work: Work | None = None

    def render(self, text: str, values: Mapping[str, Any]) -> str:
        """`text` with `values` filled in. Raises `Misfit`."""
        from .sandbox import Work

        if self._work is None:
            self._work = Work(self.TIMES)
        _check(text, frozenset(values), "")
        return _render(text, "", values, self._work)


def _render(text: str, origin: str, values: Mapping[str, Any], work: Work | None = None) -> str:
    from jinja2 import TemplateError

    from .sandbox import rendered

    try:
        return rendered(_template(text), values, work).strip()
    except TemplateError as error:
        what, line = str(error), _line(error)
    except RecursionError as error:
        what, line = "it calls itself too deeply, or its values are nested too deeply", _line(error)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, AssertionError) as error:
        # What Python itself says of values that do not fit, or of a filter's arguments.
        what, line = f"{type(error).__name__}: {error}", _line(error)
    raise _misfit(origin, line, what)


def _misfit(origin: str, line: int, what: str) -> Misfit:
    """What is wrong in a line of the template `origin` ("": a string of a scenario; line 0: not known)."""
    if origin:
        return Misfit(f"{origin}:{line}: {what}" if line else f"{origin}: {what}")
    return Misfit(f"line {line} of it: {what}" if line > 1 else what)


def _line(error: BaseException) -> int:
    """The line of a template in which an error was raised while it was rendered (0: not known)."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":  # which Jinja2 gives the template's own lines
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


@functools.lru_cache(maxsize=512)
def _template(text: str) -> Template:
    from .sandbox import SANDBOX

    return SANDBOX.from_string(text)


def _check(text: str, names: frozenset[str], origin: str) -> None:
    if mistake := _mistake(text, names):
        raise _misfit(origin, *mistake)


@functools.lru_cache(maxsize=512)
def _mistake(text: str, names: frozenset[str]) -> tuple[int, str] | None:
    """The first mistake that can be seen without rendering, with its line."""
    from jinja2 import TemplateSyntaxError

    if len(text) > MAX_SOURCE:
        return 0, f"the template is longer than {MAX_SOURCE:,} characters; make it shorter"
    try:
        return next(_mistakes(text, names), None)
    except TemplateSyntaxError as error:
        return error.lineno, error.message or "bad syntax"
    except ValueError:  # all that Jinja2 lets through
        return 0, "a number has too many digits; write a smaller one"
    except (SyntaxError, RecursionError, MemoryError):  # from Python's own compiler
        return 0, "it is nested too deeply; make it simpler"


def _mistakes(text: str, names: frozenset[str]) -> Iterator[tuple[int, str]]:
    from jinja2 import meta, nodes

    from .sandbox import FILTERS, SANDBOX, TESTS

    tree = SANDBOX.parse(text)
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)):
        yield node.lineno, "a template may not load another; put all of it into one file"
    for node in tree.find_all(nodes.ScopedEvalContextModifier):
        yield node.lineno, "a prompt is plain text; leave out `autoescape`"
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            yield loop.lineno, "a loop may not be recursive; write a macro"
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            yield attribute.lineno, f"the attribute {attribute.attr!r} is private"
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and str(item.arg.value).startswith("_"):
            yield item.lineno, f"the attribute {item.arg.value!r} is private"
    for kind, allowed, word in ((nodes.Filter, FILTERS, "filter"), (nodes.Test, TESTS, "test")):
        for used in tree.find_all(kind):
            if used.name not in allowed and not used.name.startswith("@"):
                what = f"the {word} {used.name!r} is not available{did_you_mean(used.name, allowed)}"
                yield used.lineno, f"{what}; there are {', '.join(allowed)}"
    known = names | set(SANDBOX.globals)
    undeclared = meta.find_undeclared_variables(tree)
    # Jinja2 itself always knows `self`, which is of no use in a template that has no parts.
    undeclared |= {node.name for node in tree.find_all(nodes.Name) if node.name == "self"}
    for name in sorted(undeclared - known):
        lines = [node.lineno for node in tree.find_all(nodes.Name) if node.name == name]
        what = f"the name {name!r} is not defined{did_you_mean(name, known)}"
        yield min(lines, default=0), f"{what}; known here: {', '.join(sorted(known))}"
    _template(text)  # some mistakes are found by a compiler only: Jinja2's or Python's
