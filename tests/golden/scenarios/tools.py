"""Tools and an engine of the scenario's own: what reaches outside and what does not, and what fails."""

from pathlib import Path
from typing import Annotated, Literal

from attrs import frozen

from pyscrai_core import Engine, NoConfig, Tool, ToolFailed, Toolset, Turn, tool

#: Each call that reaches outside leaves a line here; a replay leaves none.
OUTSIDE = Path("outside.txt")


def _outside(what: str) -> None:
    with OUTSIDE.open("a") as file:
        file.write(f"{what}\n")


@tool(external=False)
def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


@tool(external=False)
def throw(turn: Turn, sides: int = 6) -> int:
    """Throw a die."""
    return turn.random.randint(1, sides)


def stock(of: Literal["apples", "pears"], day: Annotated[int, "counted from 1"] = 1) -> dict:
    """How many are left on a day."""
    _outside(f"stock {of} {day}")
    return {"of": of, "left": 40 - day, "price": 1.5}


@tool
async def announce(turn: Turn, text: str, to: str) -> str:
    """Tell somebody, and write it into the public state."""
    _outside(f"announce {text}")
    turn.say(text, to=to)
    turn.change("announced", 1, "add")
    return f"{turn.agent.name} told {to}"


@tool(repeatable=False)
def order(apples: int) -> str:
    """Order apples."""
    _outside(f"order {apples}")
    return "ordered"


def broken(depth: int = 1) -> int:
    """Fail, in two ways."""
    _outside(f"broken {depth}")
    if depth > 1:
        raise ToolFailed(f"the shelf {depth} is locked")
    raise RuntimeError("no such luck: ü")


class Book(Tool):
    """A tool of the set `Shelf`."""

    description = "Read a book."
    parameters = {"type": "object", "properties": {"page": {"type": "integer"}}, "required": ["page"]}

    def __init__(self, name: str) -> None:
        super().__init__(NoConfig())
        self.name = name

    async def call(self, arguments: dict, turn: Turn) -> str:
        _outside(f"{self.name} {arguments['page']}")
        return f"{self.name}, page {arguments['page']}"


class Shelf(Toolset):
    """An external set: which books there are is asked outside."""

    @frozen
    class Config:
        books: list[str] = ["atlas"]

    async def list(self) -> list[Tool]:
        _outside("list")
        return [Book(name) for name in self.config.books]


class Clerk(Engine):
    """Looks at the clock, and uses tools side by side, one of which does not exist."""

    emits = {"report": {"type": "object"}}

    async def run(self, turn: Turn) -> None:
        async def use(branch: Turn, name: str, **arguments: object) -> str:
            try:
                return str(await branch.call_tool(name, arguments))
            except ToolFailed as error:
                return f"failed: {error}"

        results = await turn.gather(
            lambda branch: use(branch, "stock", of="pears", day=turn.number),
            lambda branch: use(branch, "throw"),
            lambda branch: use(branch, "order", apples=turn.number),
            lambda branch: use(branch, "stock", of="plums"),
            lambda branch: use(branch, "nothing"),
        )
        turn.emit(
            "report", {"results": results, "at": turn.now(), "drawn": turn.random.random()}, audience="Mara"
        )
