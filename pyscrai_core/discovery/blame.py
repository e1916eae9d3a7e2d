"""Whose fault it is: the component whose code raised, or returned what its contract does not allow."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FrameType
from typing import Any

from pyscrai_answers.options import Scorer
from pyscrai_records.errors import TELL, ContractError
from pyscrai_records.secret import redact

from .. import contracts
from ..contracts import CONTRACTS, Component

#: The modules with the methods that plugins implement.
_CONTRACTS = frozenset((contracts.__name__, Scorer.__module__))


def raiser(error: BaseException) -> Component | None:
    """The component whose method raised `error`: the innermost one of its traceback."""
    found = None
    traceback = error.__traceback__
    while traceback is not None:
        found = _owner(traceback.tb_frame) or found
        traceback = traceback.tb_next
    return found


def _owner(frame: FrameType) -> Component | None:
    """The component whose method a frame executes."""
    if frame.f_code.co_argcount and (name := frame.f_code.co_varnames[0]) != "cls":
        owner = frame.f_locals.get(name)
        if isinstance(owner, Component):
            return owner
    return None


def executing(frame: FrameType | None) -> Component | None:
    """The component whose method is executed at `frame`: the innermost one of those that called it."""
    while frame is not None:
        if (found := _owner(frame)) is not None:
            return found
        frame = frame.f_back
    return None


def _awaiting(work: Any) -> Iterator[FrameType]:
    while work is not None:
        frame = getattr(work, "cr_frame", None) or getattr(work, "gi_frame", None)
        if frame is not None:
            yield frame
        work = getattr(work, "cr_await", None) or getattr(work, "gi_yieldfrom", None)


def waiting(work: Any) -> Component | None:
    """The component whose method a coroutine waits in: the innermost one."""
    found = None
    for frame in _awaiting(work):
        found = _owner(frame) or found
    return found


def origin(component: Component) -> str:
    """A component as messages name it, with the package that it came with."""
    if component.origin:
        return component.origin
    kinds = (kind for kind, contract in CONTRACTS.items() if isinstance(component, contract))
    name = getattr(component, "name", "") or type(component).__name__
    return f"{next(kinds, 'component')} {name!r} ({type(component).__module__})"


def describe(error: BaseException) -> str:
    """An error with the name of its class."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def raised(error: BaseException, otherwise: str) -> ContractError:
    """The failure that says who raised `error`: the component at fault, `otherwise` what is named here."""
    culprit = raiser(error)
    name = otherwise if culprit is None else origin(culprit)
    made = ContractError(redact(f"{name} raised {describe(error)}; {TELL}"))
    made.__cause__ = error
    return made


def wrong(component: Component, method: str, returned: Any, expected: str) -> ContractError:
    """The failure that says what a method returned, and what was expected."""
    what = f"{method} returned {type(returned).__name__}, expected {expected}"
    return ContractError(f"{origin(component)}: {what}; tell its author")


def awaitable(component: Component, method: str, returned: Any) -> Any:
    """What a method returned, which has to be awaited. Raises `ContractError` if it cannot be."""
    if not hasattr(returned, "__await__"):
        raise wrong(component, method, returned, f"to be awaited: write `async def {method}`")
    return returned


def check_methods(cls: type[Component]) -> None:
    """Raise `ContractError` for a plain method where the contract has an async one, or the reverse."""
    for contract in cls.__mro__:
        if contract.__module__ not in _CONTRACTS:
            continue
        for name, method in vars(contract).items():
            if name.startswith("_") or not inspect.isfunction(method):
                continue
            own = inspect.getattr_static(cls, name)
            own = inspect.unwrap(getattr(own, "__func__", own))
            if not callable(own):
                raise ContractError(f"`{name}` is no method, expected {_written(method)}; tell its author")
            if inspect.iscoroutinefunction(own) != inspect.iscoroutinefunction(method):
                raise ContractError(f"`{name}`: expected {_written(method)}; tell its author")


def _written(method: Any) -> str:
    given = inspect.signature(method)
    names = ", ".join(given.parameters)
    if inspect.iscoroutinefunction(method):
        return f"`async def {method.__name__}({names})`"
    generates = "AsyncIterator" in str(given.return_annotation)
    return f"`def {method.__name__}({names})` that is {'an async generator' if generates else 'not async'}"


def check_list(component: Component, method: str, returned: Any, kind: type, expected: str) -> None:
    """Raise `ContractError` if a method returned anything but a list or tuple of `kind`."""
    if not isinstance(returned, (list, tuple)):
        raise wrong(component, method, returned, expected)
    for one in returned if set(map(type, returned)) != {kind} else ():
        if not isinstance(one, kind):
            raise wrong(component, method, one, f"{expected}, each a {kind.__name__}")
