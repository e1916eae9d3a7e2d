"""What was paid for is counted, whatever became of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyscrai_core
from pyscrai_core import Completion, Overloaded, Provider, Request, Usage


def test_an_answer_that_could_not_be_read_is_paid_for(host_with: Any, tmp_path: Path) -> None:
    """The provider says that there was an answer, and does not know what it used."""

    class Broken(Provider):
        tries = 0

        async def complete(self, request: Request, sink: Any = None) -> Completion:
            Broken.tries += 1
            if Broken.tries > 2:
                return Completion("Nine.", usage=Usage(50, 10))
            error = Overloaded("the stream broke")
            error.usage = Usage() if Broken.tries == 1 else None
            raise error

    path = tmp_path / "broken.json"
    path.write_text(
        """{"scenario": "broken", "providers": {"default": {"use": "broken", "max_tokens": 200}},
        "agents": {"A": {"persona": "A farmer."}}, "schedule": {"use": "round-robin", "rounds": 1}}"""
    )
    result = pyscrai_core.run(path, host=host_with(provider__broken=Broken), store=tmp_path / "runs.db")
    assert (result.status, result.usage.estimated, result.usage.output_tokens) == ("completed", True, 210)
    assert result.usage.input_tokens > 60
