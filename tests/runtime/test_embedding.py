"""A program that embeds the library: whatever it logs, catches or prints shows no key."""

from __future__ import annotations

import io
import traceback
from typing import Any

import pytest
from attrs import field, frozen
from loguru import logger

from pyscrai_core import Completion, Engine, Memory, Observer, Provider, Tool, read_secret

KEY = "sk-embedding-0123456789abcdef"
#: What a plugin keeps in its module.
HEADERS: dict[str, str] = {}


class Leaks:
    """Raises with the key in the message, and in variables of function and module, where it is told to."""

    at = ""

    async def leak(self, here: str) -> None:
        if self.at == here:
            header = "Bearer " + read_secret("MY_KEY", "this test")
            HEADERS["Authorization"] = header
            raise RuntimeError("cannot use " + HEADERS["Authorization"], HEADERS)


class Model(Leaks, Provider):
    capabilities = frozenset({"tools"})

    async def aopen(self) -> None:
        await self.leak("aopen")

    async def aclose(self) -> None:
        await self.leak("aclose")

    async def complete(self, request: Any, sink: Any = None) -> Completion:
        await self.leak("complete")
        return Completion("x")


class Look(Leaks, Tool):
    name = "look"

    async def call(self, arguments: Any, turn: Any) -> Any:
        await self.leak("call")


class Notes(Leaks, Memory):
    async def observe(self, events: Any, turn: Any) -> None:
        await self.leak("observe")

    async def recall(self, turn: Any) -> Any:
        await self.leak("recall")
        return []


class Acts(Leaks, Engine):
    async def run(self, turn: Any) -> None:
        await self.leak("run")
        await turn.recall()
        turn.say((await turn.think("x")).text)
        await turn.call_tool("look", {})


def convert(value: Any) -> Any:
    """What refuses an option with a key in its message, and in its variables."""
    if Leaks.at == "config":
        header = "Bearer " + read_secret("MY_KEY", "this test")
        raise ValueError(f"cannot use {header}")
    return value


class Refuses(Engine):
    @frozen
    class Config:
        option: Any = field(default=1, converter=convert)

    async def run(self, turn: Any) -> None:
        turn.say("x")


class Watches(Leaks, Observer):
    def on_event(self, event: Any) -> None:
        if self.at == "on_event":
            raise RuntimeError(f"cannot use {read_secret('MY_KEY', 'this test')}")


def fail(line: str) -> None:
    raise OSError("the disk is full")


@pytest.mark.parametrize("more", [None, fail])
@pytest.mark.parametrize("at", ["aopen", "aclose", "complete", "call", "recall", "run", "on_event", "config"])
def test_no_key_is_shown_by_handlers_that_show_everything(
    at: str, more: Any, play: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setattr(Leaks, "at", at)
    shown = io.StringIO()
    # Like the handler that loguru begins with.
    handlers = [logger.add(shown, level=0, diagnose=True, backtrace=True, colorize=False)]
    if more is not None:  # loguru tells of it, and Python of what was handled meanwhile
        handlers.append(logger.add(more, level=0))
    try:
        result = play(
            {
                "providers": {"default": {"use": "model", "retry": {"tries": 1}}},
                "agents": {
                    "A": {"engine": "acts", "memory": "notes", "tools": ["look"]},
                    "B": {"engine": "refuses"},
                },
                "schedule": {"use": "round-robin", "rounds": 1},
            },
            provider__model=Model, engine__acts=Acts, engine__refuses=Refuses,
            memory__notes=Notes, tool__look=Look,
            observers=[Watches(None)],
        )  # fmt: skip
        shown.write(repr(result))
    except Exception as error:
        logger.exception("it failed")
        shown.write("".join(traceback.format_exception(error)))
        shown.write("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
    finally:
        for handler in handlers:
            logger.remove(handler)
    out, err = capfd.readouterr()
    everything = shown.getvalue() + out + err
    assert "[MY_KEY]" in everything
    assert KEY not in everything
