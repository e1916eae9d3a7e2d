"""Prompts: Jinja2 in an immutable sandbox, strict about names, with nothing random in it.

Templates come from plugins and scenarios. Text from models is only ever a value in them, never compiled.
"""

from __future__ import annotations

import difflib
import functools
import importlib.resources
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..records import digest

if TYPE_CHECKING:
    from jinja2.environment import Environment, Template

#: The filters of Jinja2 that a template may use. Not among them: what is random, what reaches for
#: attributes by name, and what has no use in a prompt.
FILTERS = (
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby",
    "indent", "int", "items", "join", "last", "length", "list", "lower", "max", "min", "reject",
    "rejectattr", "replace", "reverse", "round", "select", "selectattr", "slice", "sort", "string", "sum",
    "title", "tojson", "trim", "truncate", "unique", "upper", "wordcount", "wordwrap",
)  # fmt: skip
#: The most that `range` counts in a template.
MAX_RANGE = 10_000
#: The most that one prompt may come to, in characters.
MAX_LENGTH = 2_000_000


class PromptError(ValueError):
    """A template is wrong; `line` is where, counted from 1 (0: not known)."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


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
        """Raise `PromptError` for bad syntax, an unknown name or filter, or a private attribute."""
        _check(self.text, self.names)

    def render(self, **values: Any) -> str:
        """The prompt's words. Raises `PromptError` if a value that it needs is missing."""
        return _render(self.text, self.origin, values)


def render_text(text: str, values: Mapping[str, Any], origin: str) -> str:
    """Render a string of a scenario, such as a persona with variables. Raises `PromptError`."""
    _check(text, frozenset(values))
    return _render(text, origin, values)


def _render(text: str, origin: str, values: Mapping[str, Any]) -> str:
    from jinja2 import TemplateError

    try:
        rendered = _template(text).render(values)
    except TemplateError as error:
        raise PromptError(f"{origin}: {error.message}", getattr(error, "lineno", 0) or 0) from None
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise PromptError(f"{origin}: {type(error).__name__}: {error}") from None
    if len(rendered) > MAX_LENGTH:
        raise PromptError(
            f"{origin}: the prompt has {len(rendered)} characters, at most {MAX_LENGTH} are allowed"
        )
    return rendered.strip()


@functools.lru_cache(maxsize=512)
def _template(text: str) -> Template:
    return _environment().from_string(text)


@functools.cache
def _environment() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        def getattr(self, obj: Any, attribute: str) -> Any:
            # Keys before attributes: `state.items` is the key.
            if isinstance(obj, Mapping) and attribute in obj:
                return obj[attribute]
            return super().getattr(obj, attribute)

    environment = Sandbox(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
    )
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    environment.globals = {"range": _bounded_range}
    return environment


def _bounded_range(*bounds: int) -> range:
    counted = range(*bounds)
    if len(counted) > MAX_RANGE:
        raise ValueError(f"range of {len(counted)}, at most {MAX_RANGE} is allowed")
    return counted


def _check(text: str, names: frozenset[str]) -> None:
    from jinja2 import TemplateSyntaxError, meta, nodes

    environment = _environment()
    try:
        tree = environment.parse(text)
    except TemplateSyntaxError as error:
        raise PromptError(error.message or "bad syntax", error.lineno) from None
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise PromptError("a template may not load another; put all of it into one file", node.lineno)
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            raise PromptError(f"the attribute {attribute.attr!r} is private", attribute.lineno)
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and str(item.arg.value).startswith("_"):
            raise PromptError(f"the attribute {item.arg.value!r} is private", item.lineno)
    for used in tree.find_all(nodes.Filter):
        if used.name not in FILTERS:
            raise PromptError(
                f"the filter {used.name!r} is not allowed{guess(used.name, FILTERS)}", used.lineno
            )
    known = names | set(environment.globals)
    for name in sorted(meta.find_undeclared_variables(tree) - known):
        lines = [node.lineno for node in tree.find_all(nodes.Name) if node.name == name]
        raise PromptError(
            f"the name {name!r} is not defined{guess(name, known)}; known here: {', '.join(sorted(known))}",
            min(lines, default=0),
        )
    try:
        environment.from_string(text)
    except TemplateSyntaxError as error:  # what only the compiler finds
        raise PromptError(error.message or "bad syntax", error.lineno) from None


def guess(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` if one of `known` is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, [*known], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
