"""Trials on a cluster: the same report as in one process, lost workers, interruptions, bad clusters."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pyscrai_dask import cluster
from pyscrai_experiments.registry import registrations
from pyscrai_records.store.store import Store

from .conftest import Started, wait_for

Invoke = Callable[..., Result]


def use(executor: str) -> None:
    text = Path("exp.yaml").read_text().partition("executor:")[0]
    Path("exp.yaml").write_text(f"{text}executor: {executor}\n")


def requests() -> list[tuple[str, str]]:
    """Each request that the model got, with the process that sent it."""
    if not Path("requests.txt").exists():
        return []
    pairs = (line.split() for line in Path("requests.txt").read_text().splitlines())
    return [(pid, key) for pid, key in pairs]


def report(experiment: Invoke, store: str) -> str:
    done = experiment("report", "exp.yaml", "--store", store, "--format", "json")
    assert done.exit_code == 0, done.output
    return done.stdout


def completed(store: str) -> int:
    with Store.open(store, create=False) as opened:
        return len(opened.runs(labels={"experiment": "spread"}, status="completed"))


@pytest.fixture
def expected(files: Path, experiment: Invoke) -> str:
    """The report of the executor `local`."""
    assert experiment("run", "exp.yaml", "--trust", "--store", "local.db").exit_code == 0
    Path("requests.txt").rename("local-requests.txt")
    return report(experiment, "local.db")


def test_a_local_cluster_comes_to_the_same_report(expected: str, experiment: Invoke) -> None:
    use("{use: dask, workers: 2, chunk: 0.05}")
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["done"] == 24
    assert report(experiment, "dask.db") == expected
    # Answers are shared by the arms of a replicate: the same requests as in one process, each once.
    local = [line.split()[1] for line in Path("local-requests.txt").read_text().splitlines()]
    assert sorted(key for _, key in requests()) == sorted(local)
    assert str(os.getpid()) not in {pid for pid, _ in requests()}  # a slow worker may have got no trial
    again = experiment("run", "exp.yaml", "--trust", "--store", "dask.db", "--json")
    assert json.loads(again.stdout)["ran"] == 0
    with Store.open("dask.db", create=False) as store:
        # They are the experiment's own: nobody is asked for approval, and answers of them are taken over.
        assert store.connection.execute('SELECT COUNT(*) FROM "imports"').fetchone() == (0,)
        with Store.open("local.db", create=False) as other:
            manifests = [
                {run.id: run.manifest["folder"] for run in one.runs()}.values() for one in (store, other)
            ]
    assert set(manifests[0]) == set(manifests[1])


def test_a_lost_worker_is_made_up_for(expected: str, experiment: Invoke) -> None:
    use("{use: dask, workers: 2, chunk: 0.001}")
    command = [sys.executable, "-m", "pyscrai_cli.main", "experiment", "run", "exp.yaml", "--trust", "-q"]
    process = subprocess.Popen([*command, "--store", "dask.db"], stderr=subprocess.PIPE)
    # Some trials were delivered; then each worker waits for its model, and one of them is killed.
    wait_for(lambda: process.poll() is not None or (Path("dask.db").exists() and done_so_far() >= 4))
    Path("wait").touch()
    before = len(requests())
    wait_for(lambda: len(requests()) > before or process.poll() is not None)
    assert process.poll() is None
    with Store.open("dask.db", create=False) as store:
        delivered = {run.id for run in store.runs(labels={"experiment": "spread"}, status="completed")}
        kept = {call["answer"]["text"] for run in delivered for call in store.run(run).calls()}
    victim = requests()[-1][0]
    os.kill(int(victim), signal.SIGKILL)
    wait_for(lambda: not Path("/proc", victim).exists())
    made = len(requests())
    Path("wait").unlink()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert b"was lost" in errors
    assert completed("dask.db") == 24
    assert report(experiment, "dask.db") == expected
    with Store.open("dask.db", create=False) as store:
        assert delivered <= {run.id for run in store.runs()}
        assert len(store.runs()) == 24
    assert not kept & {key for _, key in requests()[made:]}, "what was delivered was asked for again"
    # Only what the killed worker had under way was asked twice: at most its two blocks of a trial each.
    twice = [key for key, count in Counter(key for _, key in requests()).items() if count > 1]
    assert len(twice) <= 8
    assert victim not in {pid for pid, _ in requests()[made:]}


def done_so_far() -> int:
    try:
        return completed("dask.db")
    except Exception:
        return 0


def test_what_was_interrupted_is_delivered_and_resumed(expected: str, experiment: Invoke) -> None:
    use("{use: dask, workers: 2}")
    Path("wait").touch()
    command = [sys.executable, "-m", "pyscrai_cli.main", "experiment", "run", "exp.yaml", "--trust", "-q"]
    process = subprocess.Popen(
        [*command, "--store", "dask.db"], start_new_session=True, stderr=subprocess.PIPE
    )
    assert process.stderr
    wait_for(lambda: len(requests()) == 8 or process.poll() is not None)
    # As Ctrl-C in a terminal: the workers get the signal too. The second one ends the calls of B.
    os.killpg(process.pid, signal.SIGINT)
    while b"stopping" not in process.stderr.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors.decode()
    Path("wait").unlink()
    with Store.open("dask.db", create=False) as store:
        begun = store.runs(labels={"experiment": "spread"})
        assert {run.status for run in begun} == {"interrupted"}
        assert len(begun) == 4
        kept = {call["answer"]["text"] for run in begun for call in run.calls() if call["answer"]}
    assert len(kept) == 4  # those of A
    made = len(requests())
    assert experiment("run", "exp.yaml", "--trust", "--store", "dask.db").exit_code == 0
    assert {run.id for run in begun} <= ids("dask.db")
    assert report(experiment, "dask.db") == expected
    assert not kept & {key for _, key in requests()[made:]}, "what was delivered was asked for again"


def ids(store: str) -> set[str]:
    with Store.open(store, create=False) as opened:
        return {run.id for run in opened.runs(status="completed")}


def test_a_trial_that_every_worker_is_lost_with_is_given_up(files: Path, experiment: Invoke) -> None:
    use("{use: dask, workers: 1}")
    Path("die").touch()
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db")
    assert done.exit_code == 1
    assert "3 workers in a row were lost with the trial of plain, replicate 1" in done.output
    assert completed("dask.db") == 0
    Path("die").unlink()
    assert experiment("run", "exp.yaml", "--trust", "--store", "dask.db").exit_code == 0
    assert completed("dask.db") == 24


# -- clusters that cannot be used --


def test_a_pause_holds_for_trials_under_way_on_workers(files: Path, experiment: Invoke) -> None:
    text = Path("talk.yaml").read_text().replace("rounds: 2", "rounds: 400")
    Path("talk.yaml").write_text(text)
    use("{use: dask, workers: 2}")
    command = [sys.executable, "-m", "pyscrai_cli.main", "experiment", "run", "exp.yaml", "--trust", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(requests()) > 20)
        paused = experiment("control", "exp.yaml", "pause")
        assert json.loads(paused.stdout)["paused"], paused.output

        def still() -> bool:
            before = len(requests())
            time.sleep(2)  # many steps, if there were any
            return len(requests()) == before

        wait_for(still)
        before = len(requests())
        assert experiment("control", "exp.yaml", "continue").exit_code == 0
        wait_for(lambda: len(requests()) > before)
    finally:
        process.kill()
        process.wait()


def test_an_address_that_nobody_answers(
    files: Path, experiment: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TIMEOUT", 1.0)
    use("{use: dask, address: 'tcp://127.0.0.1:1'}")
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db")
    assert done.exit_code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in done.output
    with Store.open("dask.db", create=False) as store:
        assert store.runs() == []
        assert registrations(store, "spread") == []


def test_an_address_needs_approval(files: Path, experiment: Invoke) -> None:
    text = Path("talk.yaml").read_text().replace("counting.py:Counting", "{use: scripted, replies: [Yes.]}")
    Path("talk.yaml").write_text(text)
    use("{use: dask, address: 'tcp://127.0.0.1:1'}")
    done = experiment("run", "exp.yaml", "--store", "dask.db")
    assert done.exit_code == 2
    assert "needs your approval" in done.output
    assert "execute what it sends back: tcp://127.0.0.1:1" in done.output


def test_a_scheduler_with_other_versions_on_its_worker(
    files: Path, experiment: Invoke, scheduler: str, dask: Started
) -> None:
    """A worker whose pyscrai-core is another is refused; a good one that comes instead is used."""
    other = files / "other" / "pyscrai_core-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.4\nName: pyscrai-core\nVersion: 9.9\n")
    options = ["worker", scheduler, "--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", "127.0.0.1"]
    stranger = dask(*options, env={"PYTHONPATH": str(other.parent)})
    use(f"{{use: dask, address: '{scheduler}'}}")
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db")
    assert done.exit_code == 2
    assert "pyscrai-core 9.9, here 0" in done.output
    assert "nothing was run" in done.output
    with Store.open("dask.db", create=False) as store:
        assert store.runs() == []
    assert requests() == []
    stranger.kill()
    stranger.wait()
    elsewhere = files / "elsewhere"
    elsewhere.mkdir()
    dask(*options, cwd=elsewhere)
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db")
    assert done.exit_code == 0, done.output
    assert completed("dask.db") == 24


def test_a_queue_that_is_not_there(files: Path, experiment: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    use("{use: dask, jobqueue: SLURMCluster, workers: 2, options: {cores: 1, memory: 1GB}}")
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db")
    assert done.exit_code == 2
    assert "submits jobs with sbatch, which is not there" in done.output


def test_a_queue_that_refuses_jobs(files: Path, experiment: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the queue is a real one, which refuses as SLURM's does."""
    command = files / "bin" / "sbatch"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    options = "{cores: 1, memory: 1GB, queue: nowhere, interface: lo}"
    use(f"{{use: dask, jobqueue: SLURMCluster, workers: 2, options: {options}}}")
    handler = signal.getsignal(signal.SIGINT)
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db")
    assert signal.getsignal(signal.SIGINT) is handler  # dask-jobqueue sets its own
    assert done.exit_code == 2
    assert "refused all jobs (sbatch: error: invalid partition specified: nowhere)" in done.output
    assert "Traceback" not in done.output
    with Store.open("dask.db", create=False) as store:
        assert store.runs() == []


@pytest.mark.skipif(
    shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True).returncode != 0,
    reason="SLURM does not run here",
)
def test_jobs_of_slurm_come_to_the_same_report(expected: str, experiment: Invoke) -> None:
    options = "{cores: 1, memory: 1GB, interface: lo}"
    use(f"{{use: dask, jobqueue: SLURMCluster, workers: 2, chunk: 0.05, options: {options}}}")
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db")
    assert done.exit_code == 0, done.output
    assert completed("dask.db") == 24
    assert report(experiment, "dask.db") == expected


@pytest.mark.parametrize(
    "executor, words",
    [
        ("{use: dask, adress: x}", "unknown key 'adress'; did you mean 'address'?"),
        ("{use: dask, address: 'localhost'}", "expected tcp://HOST:PORT"),
        ("{use: dask, address: 'tcp://a:1', workers: 2}", "workers: the cluster at `address` has workers"),
        ("{use: dask, workers: 0}", "more than 0"),
        ("{use: dask, options: {cores: 1}}", "options: they are those of a `jobqueue`"),
        ("{use: dask, jobqueue: SLURMCluster}", "workers: it is missing"),
        ("{use: dask, jobqueue: SLURMCLuster, workers: 2}", "did you mean 'SLURMCluster'?"),
        (
            "{use: dask, jobqueue: SLURMCluster, workers: 2, options: {walltme: x}}",
            "did you mean 'walltime'?",
        ),
    ],
)
def test_options_that_cannot_be(files: Path, experiment: Invoke, executor: str, words: str) -> None:
    use(executor)
    done = experiment("run", "exp.yaml", "--trust", "--store", "dask.db")
    assert done.exit_code == 2
    assert "exp.yaml:" in done.output
    assert words in done.output
    assert not Path("dask.db").exists()


def test_a_worker_begins_others_while_a_long_trial_runs(files: Path, experiment: Invoke) -> None:
    use("{use: dask, workers: 1, chunk: 0.1}")
    text = Path("exp.yaml").read_text().replace("concurrency: 4", "concurrency: 2")
    Path("exp.yaml").write_text(text)
    Path("counting.py").write_text(
        Path("counting.py")
        .read_text()
        .replace('Path(FOLDER + "/wait").exists()', 'Path(FOLDER + "/wait").exists() and first(request, key)')
        + "\n\ndef first(request, key):\n"
        "    path = Path(FOLDER + '/wait')\n"
        "    path.write_text(path.read_text() or key)\n"
        "    return path.read_text() == key\n"
    )
    Path("wait").touch()
    command = [sys.executable, "-m", "pyscrai_cli.main", "experiment", "run", "exp.yaml", "--trust", "-q"]
    process = subprocess.Popen([*command, "--store", "dask.db"], stderr=subprocess.PIPE)
    try:
        # One trial waits for its model. All other replicates are run and delivered beside it, by one worker.
        wait_for(lambda: process.poll() is not None or done_so_far() >= 22)
        assert process.poll() is None
        assert Path("wait").read_text()
    finally:
        Path("wait").unlink()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert completed("dask.db") == 24
    # The worker removed what it had delivered, and asked for nothing twice.
    assert len(requests()) == len(set(requests()))
