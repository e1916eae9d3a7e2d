"""Prompts: Jinja2 in a sandbox with bounded work, strict about names, with nothing random in it.

Templates come from plugins and scenarios. Text from models is only ever a value in them, never compiled.
"""

from __future__ import annotations

import functools
import importlib.resources
import marshal
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from pyscrai_records.base.suggest import did_you_mean
from pyscrai_records.base.syntax import LOCK
from pyscrai_records.canonical import digest
from pyscrai_records.errors import ContractError

from .misfit import Misfit

if TYPE_CHECKING:
    from jinja2.environment import Template

    from .sandbox import Budget
    from .shapes import Shape

#: The longest template, in characters.
MAX_SOURCE = 200_000
_ABSENT = object()


@frozen
class Prompt:
    """A template with its origin.

    `names` are the variables that whoever renders it provides; a template that uses another is refused
    when the scenario is loaded. `samples` has for each of them what stands for its values: what a template
    reads or compares is held against it when the scenario is loaded, and every value when it is rendered.
    As the type of an option, it takes the path of a file in the scenario's folder; give the option a default
    with `Prompt.packaged`, and it lends the file its `names` and `samples`.
    """

    text: str
    origin: str
    names: frozenset[str] = frozenset()
    samples: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)

    @classmethod
    def packaged(cls, package: str, name: str, names: Iterable[str] | Mapping[str, Any]) -> Prompt:
        """The file `name` beside the modules of `package`, a plugin's own.

        `names` are those of its variables, best with plain data that stands for their values: `0` for any
        number, `""` for any string, `[{"name": ""}]` for a list of mappings with this key, `{}` for any
        mapping, None for anything.
        """
        text = (importlib.resources.files(package) / name).read_text(encoding="utf-8")
        samples = names if isinstance(names, Mapping) else {}
        return cls(text, f"{package}/{name}", frozenset(names), samples)

    def lend(self, other: Prompt) -> Prompt:
        """`other`, which replaces this prompt, with its variables."""
        return evolve(other, names=self.names, samples=self.samples)

    @functools.cached_property
    def _shapes(self) -> Mapping[str, Any]:  # of shapes, a class that cattrs must not need
        from .shapes import shape_of

        return {name: shape_of(value) for name, value in self.samples.items()}

    @functools.cached_property
    def _checks(self) -> list[tuple[str, Any, Collection[type]]]:
        """The variables that are checked: their shapes, and the types of which every value fits."""
        shapes = self._shapes.items()
        return [(name, shape, shape.fitting_types()) for name, shape in shapes if not shape.fits_all]

    @property
    def sha256(self) -> str:
        """The hash that the manifest records."""
        return digest(self.text.encode())

    def check(self) -> None:
        """Raise `Misfit` for bad syntax, an unknown name, filter or test, or a private attribute."""
        if mistake := _mistake(self.text, self.names):
            raise self._misfit(*mistake)

    def find_unknown(self, shapes: Mapping[str, Shape]) -> Iterator[str]:
        """What the prompt reads of its variables, or does with them, and that cannot be.

        `shapes` are those of states, of which its `samples` say less.
        """
        from .template_values import find_wrong

        found = find_wrong(self.text, {**self._shapes, **shapes}, shapes)
        return (str(self._misfit(line, what)) for line, what in found)

    def render(self, **values: Any) -> str:
        """The prompt's text. Raises `ContractError` if a value that it needs is missing or does not fit."""
        for name, shape, fitting in self._checks:
            value = values.get(name, _ABSENT)
            if value is _ABSENT or type(value) in fitting:
                continue
            if wrong := shape.find_unfit(value, name):
                what = f"the variable {wrong}; correct what the plugin passes, or its `samples`"
                raise ContractError(f"{self.origin}: {what}")
        read = {name: values[name] for name in _variables(self.text) if name in values}
        functions = [(name, value) for name, value in read.items() if isinstance(value, FunctionType)]
        for name, _ in functions:
            del read[name]
        try:
            plain = marshal.dumps(read, 2)
        except ValueError:  # it is no plain data, such as an event
            return self._render(values)
        return _rendered(self, plain, *functions)

    def _render(self, values: Mapping[str, Any]) -> str:
        try:
            return self._fill(values)
        except Misfit as error:
            raise ContractError(f"{error}; correct the template") from error

    def _fill(self, values: Mapping[str, Any], work: Budget | None = None) -> str:
        """The prompt's text, made within the budget `work` (None: one of its own). Raises `Misfit`."""
        from jinja2 import TemplateError

        from .sandbox import rendered

        try:
            return rendered(_template(self.text), values, work).strip()
        except (TemplateError, Misfit) as error:
            what, line = str(error), _line(error)
        except RecursionError as error:
            what, line = "it calls itself too deeply, or its values are nested too deeply", _line(error)
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, AssertionError) as error:
            # What Python itself says of values that do not fit, or of a filter's arguments.
            what, line = f"{type(error).__name__}: {error}", _line(error)
        raise self._misfit(line, what)

    def _misfit(self, line: int, what: str) -> Misfit:
        """What is wrong in a line (0: not known). Without an origin, it is a string of a scenario."""
        if self.origin:
            return Misfit(f"{self.origin}:{line}: {what}" if line else f"{self.origin}: {what}")
        return Misfit(f"line {line} of it: {what}" if line > 1 else what)


class Filling:
    """Renders the strings of one scenario, such as personas with variables, within one budget for all."""

    #: How many times the budget of a single prompt they may need together.
    TIMES = 10

    @functools.cached_property
    def _work(self) -> Budget:
        from .sandbox import Budget

        return Budget(self.TIMES)

    def render(self, text: str, values: Mapping[str, Any]) -> str:
        """`text` with `values` filled in. Raises `Misfit`."""
        prompt = Prompt(text, "", frozenset(values))
        prompt.check()
        return prompt._fill(values, self._work)


def _line(error: BaseException) -> int:
    """The line of a template in which an error was raised while it was rendered (0: not known)."""
    frames = traceback.walk_tb(error.__traceback__)
    # Jinja2 gives this name to the code of a template, whose lines are those of its text.
    lines = [line for frame, line in frames if frame.f_code.co_filename == "<template>"]
    return lines[-1] if lines else 0


@functools.lru_cache(maxsize=256)
def _rendered(prompt: Prompt, plain: bytes, *functions: tuple[str, Any]) -> str:
    """A prompt's text with `plain` values, marshalled, and functions by their names: agents repeat them."""
    return prompt._render({**marshal.loads(plain), **dict(functions)})


@functools.lru_cache(maxsize=512)
def _variables(text: str) -> Collection[str]:
    """The names of a template's variables, and of what it calls."""
    from jinja2 import TemplateError, meta

    from .sandbox import SANDBOX

    try:
        return meta.find_undeclared_variables(SANDBOX.parse(text))
    except TemplateError:  # rendering tells what is wrong
        return ()


@functools.lru_cache(maxsize=512)
def _template(text: str) -> Template:
    from .sandbox import SANDBOX

    with LOCK:
        return SANDBOX.from_string(text)


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
    for node in tree.find_all(nodes.Node):
        match node:
            case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends() | nodes.Block():
                yield node.lineno, "a template may not load another; put all of it into one file"
            case nodes.ScopedEvalContextModifier():
                yield node.lineno, "a prompt is plain text; leave out `autoescape`"
            case nodes.For(recursive=True):
                yield node.lineno, "a loop may not be recursive; write a macro"
            case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=name)):
                if str(name).startswith("_"):
                    yield node.lineno, f"the attribute {name!r} is private"
            case nodes.Filter(name=name) | nodes.Test(name=name):
                word, allowed = ("filter", FILTERS) if isinstance(node, nodes.Filter) else ("test", TESTS)
                if name not in allowed and not name.startswith("@"):
                    what = f"the {word} {name!r} is not available{did_you_mean(name, allowed)}"
                    yield node.lineno, f"{what}; there are {', '.join(allowed)}"
    known = names | set(SANDBOX.globals)
    undeclared = meta.find_undeclared_variables(tree)
    # Jinja2 itself always knows `self`, which is of no use in a template that has no parts.
    undeclared |= {node.name for node in tree.find_all(nodes.Name) if node.name == "self"}
    for name in sorted(undeclared - known):
        lines = [node.lineno for node in tree.find_all(nodes.Name) if node.name == name]
        what = f"the name {name!r} is not defined{did_you_mean(name, known)}"
        yield min(lines, default=0), f"{what}; known here: {', '.join(sorted(known))}"
    _template(text)  # some mistakes are found by a compiler only: Jinja2's or Python's
