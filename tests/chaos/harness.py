"""Kill runs at random moments, resume them until they end, and compare them with the undisturbed run.

Every run is a process of its own, ended with SIGKILL: while it starts, amid calls, between them, at its very
end, and again while it is resumed. A witness (`scenarios/witness.py`) answers the calls and writes each of
them down outside of the store. Of every run it must hold:

- its canonical log, fingerprint and outcomes are those of the undisturbed run;
- after each kill the store is sound, and holds a beginning of that log and answers of that run alone;
- no call that was journaled is made again; one is made again only if it was in flight when the process
  was killed, and no more calls were in flight than the scenario makes at a time.

Run it with `nox -s chaos`, or `python tests/chaos/harness.py [--kills 240] [--seed N] [--scenario NAME]`. A
failure names its scenario, seed and chain of kills, and keeps its folder.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, field, frozen

from pyscrai_records.store.store import Store
from pyscrai_testing.servers import FaultServer

#: Each case: its scenario, the most calls that it makes at a time, and the options of its store's URL.
CASES = {
    "sequential": ("sequential", 1, ""),
    "simultaneous": ("simultaneous", 6, ""),
    "reactive": ("reactive", 4, ""),
    "moderated": ("moderated", 1, ""),
    "reasoning": ("reasoning", 1, ""),
    "votes": ("votes", 8, ""),
    "tools": ("tools", 1, ""),
    "outside": ("outside", 3, ""),
    "priced": ("priced", 1, ""),
    "sequential-full": ("sequential", 1, "?synchronous=full"),
    "votes-full": ("votes", 8, "?synchronous=full"),
}
#: Processes at the same time, and seconds after which one that should have ended counts as hung.
JOBS, HANGS = 2, 180.0
Tell = Callable[[str], None]


@frozen
class Seen:
    """What a store held: whether it was sound, the run's status, its answers by call, its log, its result."""

    sound: str = "ok"
    status: str = ""
    journal: dict[str, str] = field(factory=dict)
    log: tuple[str, ...] = ()
    result: tuple[str, str] = ("", "")

    @classmethod
    def at(cls, store: Path) -> Seen:
        """Look at a store, which may be missing or only half made."""
        if not store.exists():
            return cls()
        database = sqlite3.connect(store)
        (sound,) = database.execute("PRAGMA quick_check(1)").fetchone()
        made = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone()
        begun = made and database.execute("SELECT 1 FROM runs").fetchone()
        database.close()
        if not begun:
            return cls(sound)
        with Store.open(store, create=False) as opened:
            run = opened.run("last")
            journal = {
                key: json.dumps(call["answer"])
                for call in run.calls()
                if call["status"] in ("answered", "failed") and (key := key_of(call))
            }
            log = tuple(event.line().decode() for event in run.events())
            return cls(sound, run.status, journal, log, (run.fingerprint, json.dumps(run.outcomes)))


def key_of(call: dict[str, Any]) -> str:
    """What the witness calls a call: by its position, or by what its answer shows; empty: it saw none."""
    answer = call["answer"]
    if call["kind"] == "embed":
        return f"embed|{answer[0]}|{len(answer)}"
    if call["kind"] == "tool":
        return str(answer["result"]["key"]) if answer else ""
    return f"{call['agent']}|{call['step']}|{call['path']}" if call["kind"] == "complete" else ""


@define
class Place:
    """A folder in which a case is executed, process by process: how each ended, and what was seen then."""

    folder: Path
    case: str
    server: str
    store: Path = field(init=False)
    ends: list[str] = field(factory=list)
    seen: list[Seen] = field(factory=list)
    spawned: float = 0.0
    #: When each process was killed, in seconds since 1970, by its number.
    killed: dict[int, float] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        shutil.copytree(Path(__file__).parent / "scenarios", self.folder)
        (self.folder / "witness").touch()
        file = self.folder / f"{CASES[self.case][0]}.yaml"
        file.write_text(file.read_text().replace("SERVER", f"{self.server}/{self.folder.name}"))
        self.store = self.folder / "store" / "runs.db"
        self.store.parent.mkdir()

    @property
    def begun(self) -> bool:
        """Whether there is a run, which can be resumed."""
        return bool(self.seen and self.seen[-1].status)

    def start(self, random: Random, largest: int = resource.RLIM_INFINITY) -> subprocess.Popen[bytes]:
        """A process that runs the scenario, or resumes it; no file of it may exceed `largest` bytes."""
        scenario, _, options = CASES[self.case]
        work = ["resume", "last"] if self.begun else ["run", f"{scenario}.yaml", "--trust"]
        store = f"sqlite:///{self.store}{options}"
        given = {
            "CHAOS_WITNESS": str(self.folder / "witness"),
            "CHAOS_PROCESS": str(len(self.seen)),
            "PYTHONHASHSEED": str(random.randrange(2**32)),
        }
        self.spawned = time.time()
        with (self.folder / f"stderr-{len(self.seen)}").open("w") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", "pyscrai_cli.main", *work, "--store", store, "--quiet"],
                cwd=self.folder,
                env={**os.environ, **given},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
            )

    def wait(self, process: subprocess.Popen[bytes]) -> str:
        """Wait until a process ends that nobody kills; what it wrote to stderr."""
        try:
            process.wait(HANGS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said = (self.folder / f"stderr-{len(self.seen)}").read_text().strip()
        self.ended(f"status {process.returncode}" if process.returncode else "")
        return said

    def kill(self, process: subprocess.Popen[bytes]) -> bool:
        """Kill a process now; False if it had ended by itself."""
        self.killed[len(self.seen)] = time.time()
        process.kill()
        return process.wait() < 0

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process ends; raise `AssertionError` if it fails."""
        said = self.wait(process)
        assert not self.ends[-1], f"process {len(self.seen) - 1}: {self.ends[-1]}: {said[-2000:]}"

    def ended(self, how: str) -> None:
        """Look at what a process left: at a copy, since whoever opens a store mends it."""
        copy = self.folder / "copy" / "runs.db"
        shutil.rmtree(copy.parent, ignore_errors=True)
        copy.parent.mkdir()
        for file in (self.store, self.store.with_name("runs.db-wal")):
            if file.exists():
                shutil.copy(file, copy.parent)
        self.ends.append(how)
        self.seen.append(Seen.at(copy))

    def marks(self, what: str) -> Iterator[tuple[int, float, str]]:
        """The witness's lines about `what` (`start`, `end`, `tick`): process, time, and key of the call."""
        for line in (self.folder / "witness").read_text().splitlines():
            kind, process, at, key = line.split("\t")
            if kind == what:
                yield int(process), float(at), key


@frozen
class Whole:
    """The undisturbed run, the keys of its calls, and how many seconds its start and all of it took."""

    seen: Seen
    keys: tuple[str, ...]
    starting: float
    seconds: float

    @classmethod
    def of(cls, place: Place) -> Whole:
        place.finish(place.start(Random(0)))
        seconds = time.time() - place.spawned
        marks, seen = list(place.marks("start")), place.seen[-1]
        keys = tuple(key for _, _, key in marks)
        assert (seen.status, seen.sound) == ("completed", "ok")
        assert [json.loads(line)["seq"] for line in seen.log] == list(range(1, len(seen.log) + 1))
        assert sorted(keys) == sorted(seen.journal), "the witness and the journal differ"
        return cls(seen, keys, marks[0][1] - place.spawned, seconds)


#: What is counted; the last four must be 0. `paid late`: an answer was asked for again that had come more
#: than LATE seconds before the kill.
COLUMNS = (
    *("runs", "kills", "starting", "amid calls", "ending", "of resumes"),
    *("in flight", "asked again", "paid late", "though journaled", "events lost", "events doubled"),
)
LATE = 0.05
Tally = Counter[str]


def table(tallies: dict[str, Tally]) -> str:
    """The counts of each case and of all, aligned."""
    lines = ["  ".join([f"{'scenario':15}", *COLUMNS])]
    for name, tally in {**tallies, "all": sum(tallies.values(), Tally())}.items():
        lines.append("  ".join([f"{name:15}", *(f"{tally[column]:{len(column)}}" for column in COLUMNS)]))
    return "\n".join(lines)


def judge(whole: Whole, place: Place) -> tuple[Tally, list[str]]:
    """Count what came of the processes of a place, of which the last went to the end; and what is wrong."""
    tally, wrong, final = Tally(runs=1), [], place.seen[-1]
    started: list[list[str]] = [[] for _ in place.seen]
    for process, _, key in place.marks("start"):
        started[process].append(key)
    answered = {(process, key): at for process, at, key in place.marks("end")}
    asked: set[str] = set()
    before = Seen()
    for number, (keys, seen, end) in enumerate(zip(started, place.seen, place.ends, strict=True)):
        twice = [key for index, key in enumerate(keys) if key in before.journal or key in keys[:index]]
        flying = set(keys) - seen.journal.keys()
        changed = [key for key in seen.journal if seen.journal[key] != whole.seen.journal.get(key)]
        unlike = _differs(whole.seen.log[: len(seen.log)], seen.log)
        for what, found in {
            "calls were made again though journaled, or doubled": twice,
            "more calls were in flight than can be": len(flying) > CASES[place.case][1] and sorted(flying),
            "answers were lost": sorted(before.journal.keys() - seen.journal.keys()),
            "answers are of another run": changed,
            "the store is damaged": seen.sound != "ok" and seen.sound,
            "what is there is no beginning of the log": unlike,
        }.items():
            if found:
                wrong.append(f"process {number} ({end or 'to the end'}): {what}: {found}")
        if end.startswith("killed"):
            came = place.killed[number] - LATE
            late = [key for key in flying if answered.get((number, key), came) < came]
            if late:
                wrong.append(f"process {number} ({end}): answers had come, and were not journaled: {late}")
            tally["paid late"] += len(late)
            left = set(whole.keys) - seen.journal.keys()
            phase = "starting" if not keys else "amid calls" if left else "ending"
            tally.update({"kills": 1, phase: 1, "in flight": len(flying), "of resumes": bool(before.status)})
        tally.update({"asked again": len(asked.intersection(keys)), "though journaled": len(twice)})
        asked.update(keys)
        before = seen
    tally["events lost"] = len(set(whole.seen.log) - set(final.log))
    tally["events doubled"] = len(final.log) - len(set(final.log) & set(whole.seen.log))
    if final != whole.seen:
        unlike = _differs(whole.seen.log, final.log) or f"{final.result} instead of {whole.seen.result}"
        wrong.append(f"it ended otherwise: {final.status}, {len(final.journal)} calls, {unlike}")
    if asked != set(whole.keys):
        wrong.append(f"other calls were made: {sorted(asked ^ set(whole.keys))}")
    return tally, wrong


def _differs(whole: Sequence[str], other: Sequence[str]) -> str:
    """The first difference of two logs; empty if there is none."""
    for number, (left, right) in enumerate(zip(whole, other, strict=False), 1):
        if left != right:
            return f"event {number} differs:\n    {left}\n    {right}"
    return "" if len(whole) == len(other) else f"{len(other)} events instead of {len(whole)}"


@frozen
class Moment:
    """When to kill: seconds after the process is `spawned`, its store `created`, its `first` or its last call
    `answered`.
    """

    after: str
    seconds: float

    @classmethod
    def drawn(cls, random: Random, whole: Whole, place: Place) -> Moment:
        """Uniform over the time that the process should take; now and then near to what is short."""
        lot = random.random()
        if lot < 0.1 and not place.begun:
            return cls("created", random.uniform(0, 0.03))
        if lot < 0.2:
            return cls("first", random.uniform(0, 0.8))
        if lot > 0.85:
            return cls("answered", random.uniform(0, 0.06))
        left = 1 - len(place.seen[-1].journal) / len(whole.keys) if place.seen else 1
        return cls("spawned", random.uniform(0, whole.starting + left * (whole.seconds - whole.starting)))

    def kill(self, process: subprocess.Popen[bytes], place: Place, last: str) -> bool:
        """Kill the process at this moment, where `last` is the key of the call; False if it ended before."""
        came = 0.0
        while not came or time.monotonic() - came < self.seconds:
            if process.poll() is not None:
                return False
            if not came and self._came(place, last):
                came = time.monotonic()
            time.sleep(0.0005)
        return place.kill(process)

    def _came(self, place: Place, last: str) -> bool:
        if self.after == "created":
            return place.store.exists()
        if self.after == "spawned":
            return True
        begin, end = ("end\t", f"\t{last}\n")
        if self.after == "first":
            begin, end = f"end\t{len(place.seen)}\t", "\n"
        with (place.folder / "witness").open() as file:  # its last line may not be complete yet
            return any(line.startswith(begin) and line.endswith(end) for line in file)


def chain(whole: Whole, place: Place, random: Random) -> None:
    """Run, kill, resume, kill…, and resume to the end."""
    for _ in range(random.choice([1, 1, 2, 2, 3, 5])):
        moment = Moment.drawn(random, whole, place)
        process = place.start(random)
        if not moment.kill(process, place, whole.keys[-1]):
            return place.finish(process)
        place.ended(f"killed {moment.seconds:.3f} s after it was {moment.after}")
        if place.seen[-1].status == "completed":
            return None
    return place.finish(place.start(random))


def torture(case: str, kills: int, seed: int, root: Path, server: str, tell: Tell) -> tuple[Tally, list[str]]:
    """Chains of a case until there were so many kills; what came of them, and what is wrong."""
    tally, number = Tally(), 0
    failures: list[str] = []
    try:
        whole = Whole.of(Place(root / f"{case}-whole", case, server))
    except AssertionError as error:
        return tally, [f"{case}, undisturbed: {error}"]
    while tally["kills"] < kills and len(failures) < 3:
        place = Place(root / f"{case}-{number}", case, server)
        try:
            chain(whole, place, Random(f"{seed} {case} {number}"))
            one, wrong = judge(whole, place)
        except AssertionError as error:
            one, wrong = Tally(), [str(error)]
        tally.update(one)
        kills_here = sum(end.startswith("killed") for end in place.ends)
        tell(f"{case}, chain {number}: {'FAILED' if wrong else 'the same'} after kills: {kills_here}")
        if wrong:
            where = f"--scenario {case} --seed {seed}, chain {number}, kept in {place.folder}"
            failures.append("\n  ".join([where, *place.ends, *wrong]))
        else:
            shutil.rmtree(place.folder)
        number += 1
    return tally, failures


@contextmanager
def grounds() -> Iterator[tuple[Path, str]]:
    """A folder for places, and the address of the API of the scenario `outside`, a witness like the other."""
    root = Path(tempfile.mkdtemp(prefix="chaos-"))

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        _, place, town = path.partition("?")[0].split("/")
        key, process = f"weather|{town}", path.rpartition("=")[2]
        with (root / place / "witness").open("ab", buffering=0) as file:
            for what in ("start", "end"):
                file.write(f"{what}\t{process}\t{time.time():.6f}\t{key}\n".encode())
        return 200, {}, json.dumps({"key": key, "sky": "rain" if len(town) % 2 else "sun"}).encode()

    with FaultServer(answer=answer, latency=0.003) as server:
        yield root, server.url
    if not any(root.glob("*-[0-9]*")):  # what failed is kept
        shutil.rmtree(root)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=240, help="how many processes to kill, in all")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument(
        "--scenario", action="append", choices=CASES, help="only this one; may be given again"
    )
    parser.add_argument("--disk-full", action="store_true", help="fill the disk, instead of killing")
    parser.add_argument("--locked", type=float, metavar="S", help="lock the store for S seconds, instead")
    parser.add_argument(
        "--maintenance",
        type=int,
        metavar="N",
        help="kill import, rm, gc and migrations, N times each",
    )
    given = parser.parse_args()
    cases, began = given.scenario or [*CASES], time.monotonic()

    def tell(words: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {words}", flush=True)

    with grounds() as (root, server):
        if given.maintenance:
            import maintenance

            failures = maintenance.all_of(root, given.maintenance, given.seed, tell)
        elif given.disk_full or given.locked is not None:
            import faults

            failures = faults.all_of(root, server, tell, given.disk_full, given.locked)
        else:
            shares = [len(range(index, given.kills, len(cases))) for index in range(len(cases))]
            with ThreadPoolExecutor(JOBS) as pool:
                work = [
                    pool.submit(torture, case, share, given.seed, root, server, tell)
                    for case, share in zip(cases, shares, strict=True)
                ]
                done = [each.result() for each in work]
            print("\n" + table(dict(zip(cases, (tally for tally, _ in done), strict=True))))
            failures = [failure for _, found in done for failure in found]
    print("\n" + "\n\n".join(["FAILED:", *failures] if failures else ["nothing was lost"]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
