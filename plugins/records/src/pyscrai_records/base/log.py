"""The library's logger: loguru's, with secrets removed, and without objects that a handler would look into.

loguru's handlers print the values of a traceback's variables, unless they are told not to. So an exception is
logged as text, in the record's `extra["traceback"]`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ParamSpec, TypeVar

import loguru

from ..secret import redact
from .own_code import is_own

P = ParamSpec("P")
R = TypeVar("R")


def _redact(record: Any) -> None:
    record["message"] = redact(record["message"])
    # If a handler fails, loguru shows that, and Python with it the error that is being handled.
    for error in _chain(sys.exception()):
        error.args = tuple(map(_cleaned, error.args))


logger = loguru.logger.patch(_redact)


def quieten() -> None:
    """Keep our lines out of a notebook, unless its author wants them.

    They are wanted with a handler of one's own (`loguru.logger.add(sys.stderr)`), or with `PYSCRAI_LOG=1`.
    The lines of other libraries are shown as before.
    """
    if "ipykernel" in sys.modules and not os.environ.get("PYSCRAI_LOG"):
        with contextlib.suppress(ValueError):  # loguru's own handler was removed: its author wants something
            loguru.logger.remove(0)
            loguru.logger.add(sys.stderr, filter=_is_others)


def _is_others(record: Any) -> bool:
    return not str(record["name"]).startswith("pyscrai_")


quieten()


def report(level: str, error: BaseException, message: str, *values: Any) -> None:
    """Log `message`, formatted with `values`, and the traceback of `error`."""
    text = redact("".join(traceback.format_exception(error)))
    logger.opt(depth=1).bind(traceback=text).log(level, message, *values)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _cleaned(part: Any) -> Any:
    if isinstance(part, str):
        return redact(part)
    try:
        shown = repr(part)
    except Exception:  # noqa: BLE001  a plugin's object may raise anything, and then shows nothing
        return part
    return part if (text := redact(shown)) == shown else text


def cleaned(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """The same function; what it raises is shown to a caller, and shows no key."""

    @functools.wraps(function)
    async def work(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except Exception as error:  # whatever it is, a caller who shows it must not show a key
            clean(error)
            raise

    return work


def clean(error: BaseException | None) -> None:
    """Remove secrets from an error that a caller is about to see, and from those that it came from.

    Tools also show the variables of the frames that an error left, keys among them, also those of a module.
    So the local ones are cleared, and where plugins have a part in it, the traceback becomes a note, as text.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)] if error else []
    foreign = error and (error.__cause__ or not all(map(is_own, frames)))
    if error and foreign:
        error.add_note(redact("".join(traceback.format_exception(error))).rstrip())
    for one in _chain(error):
        traceback.clear_frames(one.__traceback__)
        if foreign:
            one.__traceback__ = None
        one.args = tuple(map(_cleaned, one.args))
