"""Write the golden stores anew: `python tests/golden/write.py`.

Later versions have to replay these stores byte for byte (`tests/test_golden.py`). Write them anew only when a
change of what is recorded is meant.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from pyscrai_core import RunResult, api

HERE = Path(__file__).parent.resolve()
#: The manifests name the scenario's folder, so it is the same on every machine.
FOLDER = Path("/tmp/pyscrai-golden")


def tools(store: str) -> list[RunResult]:
    return [
        api.run("tools.yaml", store=store, trust=True),
        # One that is not finished: its budget is spent in the middle of a turn.
        api.run("tools.yaml", store=store, trust=True, set={"limits.calls": 13}),
    ]


def fork(store: str) -> list[RunResult]:
    stopped = api.run("fork.yaml", store=store)
    given: dict[str, Any] = {"store": store, "author": "researcher"}
    api.inject(stopped.run, event="news", payload={"text": "A storm is coming."}, audience="team", **given)
    api.inject(
        stopped.run, event="change", payload={"path": "weather", "op": "set", "value": "storm"}, **given
    )
    parent = api.resume(stopped.run, set={"limits.calls": 500}, store=store)
    changes: dict[str, Any] = {
        "world.state.apples": 6,
        "agents.Mara.persona": "You are shy.",
        "agents.Mara.state.basket": 3,
        "agents.Jon.memory": {"use": "window", "tokens": 80},
        "agents.Voice.words": 20,
    }
    at = next(event.seq for event in parent.events if event.step == 3)
    changed = api.fork(parent.run, at=at, set=changes, seed=99, store=store)
    at = next(event.seq for event in changed.events if event.step == 5)
    again = api.fork(changed.run, at=at, set={"agents.Jon.words": 5, "schedule.rounds": 8}, store=store)
    same = api.fork(parent.run, at=1, store=store)
    assert same.fingerprint == parent.fingerprint
    return [parent, changed, again, same]


def population(store: str) -> list[RunResult]:
    first = api.run("population.yaml", store=store, trust=True)
    return [
        first,
        api.run("population.yaml", store=store, trust=True, seed=22, set={"agents.Voter.count": 5}),
    ]


def answers(store: str) -> list[RunResult]:
    given: dict[str, Any] = {"store": store, "trust": True}
    return [
        api.run("answers.yaml", **given),
        # The answers of Stubborn can be read now, and do not fit.
        api.run("answers.yaml", **given, set={"agents.Stubborn.tools": []}),
        # Without `on_error: skip` the run fails.
        api.run("answers.yaml", **given, set={"agents.Stubborn.on_error": "fail"}),
    ]


def human(store: str) -> list[RunResult]:
    return [api.run("human.yaml", store=store, ask=person())]


def person() -> Any:
    """Asks a person who answers what is written here, and is silent where nothing is."""
    answers = {
        "Mara": iter(
            ["/offer 25", "/help", "/offer 12", "/to Jon: Ten, because it is you.", None, "/offer 8"]
        ),
        "Ben": iter([None, "Good morning!", "/nod", ""]),
    }

    async def ask(agent: str, question: str) -> str:
        answer = next(answers[agent])
        if answer is None:
            await asyncio.sleep(60)
        return answer or ""

    return ask


def expected(result: RunResult) -> dict[str, Any]:
    return {
        "run": result.run,
        "status": result.status,
        "fingerprint": result.fingerprint,
        "events": len(result.events),
        "outcomes": result.outcomes,
    }


def close(store: Path) -> None:
    """Make the store one file that says nothing of this machine."""
    with closing(sqlite3.connect(store)) as database:
        database.execute(
            "UPDATE runs SET owner = ?", [json.dumps({"pid": 1, "host": "golden", "since": 0.0})]
        )
        database.commit()
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
    shutil.copy(store, HERE)


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(HERE / "scenarios", FOLDER)
    os.chdir(FOLDER)
    written = {}
    for make in (tools, fork, population, answers, human):
        store = FOLDER / f"{make.__name__}.db"
        results = make(str(store))
        close(store)
        written[store.name] = [expected(result) for result in results]
        for result in results:
            print(store.name, result.run, result.status, len(result.events), result.outcomes, result.error)
    text = json.dumps(written, indent=2, ensure_ascii=False)
    (HERE / "expected.json").write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
