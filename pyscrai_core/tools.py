"""Tools from Python functions: the type hints become the schema, the docstring the description."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
import threading
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NotRequired, get_origin, overload

import attrs

from pyscrai_records.canonical import check_json

from .contracts import Tool
from .turn import Turn


@attrs.frozen
class Form:
    """The JSON form of a hint; `read` converts a JSON value to the one that the hint promises."""

    schema: dict[str, Any]
    read: Callable[[Any], Any]

    def fits(self, value: Any) -> bool:
        from jsonschema import Draft202012Validator  # loading it takes long, and only unions need it

        return Draft202012Validator(self.schema).is_valid(value)


#: Of each parameter its hint and its default; `REQUIRED` if it has none.
Fields = Mapping[str, tuple[Any, Any]]

REQUIRED = inspect.Parameter.empty
_JSON = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_EXPECTED = (
    "has no form in JSON; expected str, int, float, bool, None, Literal, an Enum, list[…], tuple[…, ...], "
    'dict[str, …], a union of these, Annotated[…, "words"], a TypedDict, a dataclass or an attrs class'
)


class FunctionTool(Tool):
    """What `tool` makes. `function` is the function itself, to be called and tested like any other."""

    function: ClassVar[Callable[..., Any]]
    _read: ClassVar[Callable[..., Any]]
    _turns: ClassVar[tuple[str, ...]]

    async def call(self, arguments: dict[str, Any], turn: Turn) -> Any:
        given = {**self._read(arguments), **dict.fromkeys(self._turns, turn)}
        if self.external and not self._turns and not inspect.iscoroutinefunction(self.function):
            # It may wait for something outside, while the loop has other agents to serve.
            return await _in_thread(partial(self.function, **given))
        answer = self.function(**given)
        return await answer if inspect.isawaitable(answer) else answer


async def _in_thread(work: Callable[[], Any]) -> Any:
    """The result of `work` from a thread of its own, which does not keep the process alive if it hangs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(set_it: Callable[[Any], None], value: Any) -> None:
        if not done.done():  # nobody waits any more after a timeout
            set_it(value)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            told = (done.set_exception, error)
        else:
            told = (done.set_result, result)
        with suppress(RuntimeError):  # the loop is closed: the run is over
            loop.call_soon_threadsafe(tell, *told)

    threading.Thread(target=run, name="pyscrai-tool", daemon=True).start()
    return await done


@overload
def tool(function: Callable[..., Any], /) -> type[FunctionTool]: ...
@overload
def tool(
    *, name: str = "", external: bool = True, repeatable: bool = True
) -> Callable[[Callable[..., Any]], type[FunctionTool]]: ...
def tool(function: Any = None, /, *, name: str = "", external: bool = True, repeatable: bool = True) -> Any:
    """Make a function a tool: a subclass of `Tool`, for a plugin to offer.

    ::

        @tool(external=False)
        def area(width: float, height: Annotated[float, "in metres"] = 1.0) -> float:
            '''The area of a rectangle.'''
            return width * height

    The docstring becomes the description, and the words in an `Annotated` a parameter's. A parameter with
    the hint `Turn` gets the turn, and no model sees it. The function may be `async`; it returns plain JSON.
    An external one (the default) is journaled and not called again when the run is executed again; without
    `async` and a turn it runs in a thread. With `external=False` it acts through the turn alone and is
    called again. `repeatable=False` says that calling twice does harm. `name` replaces the function's own.
    Raises `TypeError` without a docstring, or for a parameter that has no form in JSON.
    """
    make = partial(_make, name=name, external=external, repeatable=repeatable)
    return make if function is None else make(function)


def _make(function: Callable[..., Any], name: str, **flags: bool) -> type[FunctionTool]:
    # What is set on the function itself, as on a class, is meant as well.
    flags = {flag: getattr(function, flag, value) for flag, value in flags.items()}
    name, where = name or function.__name__, f"tool {name or function.__name__}, parameter "
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise TypeError(f"tool {name}: vendors take 1 to 64 of A-Z, a-z, 0-9, _ and - as a name; set name=…")
    if not (description := inspect.getdoc(function)):
        raise TypeError(f"tool {name}: it has no docstring; write what it does, for the model to read")
    fields = _fields(function, where)
    turns = tuple(key for key, (hint, _) in fields.items() if hint is Turn)
    form = _object(dict, {key: fields[key] for key in fields if key not in turns}, where, ())
    body = {
        "__module__": function.__module__, "__qualname__": function.__qualname__, "__doc__": description,
        "name": name, "description": description, "parameters": form.schema, "_turns": turns,
        "function": staticmethod(function), "_read": staticmethod(form.read), **flags,
    }  # fmt: skip
    return type(function.__name__, (FunctionTool,), body)


def _fields(callee: Any, where: str) -> Fields:
    """The parameters of a function or of a class's constructor, or the keys of a TypedDict."""
    try:
        hints = typing.get_type_hints(callee, include_extras=True)
    except NameError as error:
        remedy = "import it where the module runs, outside of `if TYPE_CHECKING`"
        raise TypeError(f"{where}hints: {error.name!r} is not known; {remedy}") from None
    if typing.is_typeddict(callee):
        # Not `__required_keys__` alone: where hints are texts, it has not seen `NotRequired`.
        needed = {key for key in callee.__required_keys__ if get_origin(hints[key]) is not NotRequired}
        return {key: (hint, REQUIRED if key in needed else ...) for key, hint in hints.items()}
    fields = {}
    for name, parameter in inspect.signature(callee).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{where}{parameter}: arguments come by name; write them without *, ** and /")
        if name not in hints:
            raise TypeError(f"{where}{name}: it has no type hint; write one, such as `{name}: str`")
        fields[name] = (hints[name], parameter.default)
    return fields


def _object(make: Callable[..., Any], fields: Fields, where: str, within: tuple[Any, ...]) -> Form:
    forms = {name: _form(hint, where + name, within) for name, (hint, _) in fields.items()}
    properties = {name: form.schema for name, form in forms.items()}
    for name, (_, default) in fields.items():
        value = default.value if isinstance(default, Enum) and default is not attrs.NOTHING else default
        with suppress(ValueError):  # there is none, or one that only Python knows
            properties[name] = {**properties[name], "default": check_json(value)}
    required = [name for name, (_, default) in fields.items() if default is REQUIRED]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def read(value: Any) -> Any:
        return make(**{name: forms[name].read(part) for name, part in value.items()})

    return Form(schema, read)


def _form(hint: Any, where: str, within: tuple[Any, ...]) -> Form:
    """The form of a hint; `within` are the classes that it stands in."""
    kind, inner = get_origin(hint), typing.get_args(hint)
    if kind in (Annotated, typing.Required, NotRequired):
        form = _form(inner[0], where, within)
        texts = [text for text in inner[1:] if isinstance(text, str)]
        described = {"description": " ".join(texts)} if texts else {}
        return attrs.evolve(form, schema={**form.schema, **described})
    if hint is Any:
        return Form({}, _same)
    if hint is None or (isinstance(hint, type) and hint in _JSON):
        read = hint if hint in (int, float) else _same
        return Form({"type": _JSON[hint or type(None)]}, read)
    if kind is Literal:
        return _choice(inner, where, lambda value: next(one for one in inner if one == value))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice(tuple(one.value for one in hint), where, hint)
    if kind in (typing.Union, types.UnionType):
        forms = [_form(one, where, within) for one in inner]
        return Form(
            {"anyOf": [form.schema for form in forms]},
            lambda value: next(form for form in forms if form.fits(value)).read(value),
        )
    if hint in (list, tuple) or kind is list or (kind is tuple and inner[1:] == (...,)):
        part = _form(inner[0] if inner else Any, where, within)
        return Form(
            {"type": "array", "items": part.schema},
            lambda value: (kind or hint)(map(part.read, value)),
        )
    if hint is dict or (kind is dict and inner[0] is str):
        part = _form(inner[1] if inner else Any, where, within)
        return Form(
            {"type": "object", "additionalProperties": part.schema},
            lambda value: {key: part.read(one) for key, one in value.items()},
        )
    if typing.is_typeddict(hint) or dataclasses.is_dataclass(hint) or attrs.has(hint):
        if hint in within:
            raise TypeError(f"{where}: {hint.__name__} contains itself; write its parts as another type")
        return _object(hint, _fields(hint, f"{where}."), f"{where}.", (*within, hint))
    raise TypeError(f"{where}: {inspect.formatannotation(hint)} {_EXPECTED}")


def _same(value: Any) -> Any:
    return value


def _choice(values: tuple[Any, ...], where: str, read: Callable[[Any], Any]) -> Form:
    if strangers := [value for value in values if type(value) not in _JSON]:
        raise TypeError(f"{where}: {strangers[0]!r} {_EXPECTED}")
    kinds = {_JSON[type(value)] for value in values}
    schema = {**({"type": kinds.pop()} if len(kinds) == 1 else {}), "enum": list(values)}
    return Form(schema, read)
