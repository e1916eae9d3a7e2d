"""The cluster: one that is there, one of this machine, or jobs that a queue starts."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import logging
import os
import re
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import cache
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.security import Security
from distributed.utils import silence_logging_cmgr
from distributed.versions import get_versions
from loguru import logger

from pyscrai_core import ConfigError
from pyscrai_records.base.suggest import unknown_key

#: Seconds until a scheduler has to answer, and until it has to have a worker.
TIMEOUT = 10.0
#: Versions that have to be the same, beside Python's and those of PyScrAI's distributions.
SAME = ("cloudpickle", "dask", "distributed")
#: What Dask measures many times a second for its dashboard, which a cluster of our own does not have.
UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.gil.enabled": False,
}
#: With this variable, Python imports nothing of the current folder.
SAFE_PATH = "PYTHONSAFEPATH"
#: Options of a queue's cluster that are set here.
OURS = ("self", "asynchronous", "job_cls", "loop", "n_workers", "name", "scheduler")


@asynccontextmanager
async def connect(address: str, security: Security | None = None) -> AsyncIterator[Client]:
    """A client of the scheduler at an address. Raises `ConfigError`."""
    start = "start it with `dask scheduler`, or correct `address`"
    try:
        async with asyncio.timeout(TIMEOUT + 2):
            client = await Client(  # type: ignore[no-untyped-call]
                address, asynchronous=True, timeout=TIMEOUT, set_as_default=False, security=security
            )
    except (OSError, TimeoutError, ValueError) as error:
        why = str(error) or "it did not answer"
        raise ConfigError(f"executor: no Dask scheduler answers at {address} ({why}); {start}") from error
    with ExitStack() as silent:
        # What Dask logs of a lost connection is told as an error or a warning of the experiment.
        for name in ("distributed", "distributed.client", "distributed.batched"):
            silent.enter_context(silence_logging_cmgr(logging.CRITICAL, root=name))
        try:
            yield client
        finally:
            with suppress(OSError, TimeoutError):
                await client.close()


@asynccontextmanager
async def local(workers: int) -> AsyncIterator[Client]:
    """A cluster of processes of this machine, which listens on loopback alone.

    Who can talk to a scheduler can execute code on it. Other users of this machine cannot: the connections
    need a certificate, which is made for this cluster and stays in the memory of its processes.
    """
    security = Security.temporary()  # type: ignore[no-untyped-call]
    with (
        tempfile.TemporaryDirectory(prefix="pyscrai-dask-", ignore_cleanup_errors=True) as folder,
        _nothing_imported_from_here() as environment,
    ):
        with warnings.catch_warnings(), dask.config.set(UNWATCHED):
            warnings.simplefilter("ignore")  # of ports that others use
            cluster = await LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", asynchronous=True,
                dashboard_address=None, memory_limit=0, local_directory=folder, silence_logs=logging.CRITICAL,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                worker_dashboard_address=None, security=security, env=environment,
            )  # fmt: skip
        async with cluster, connect(cluster.scheduler_address, security) as client:
            yield client


@contextmanager
def _nothing_imported_from_here() -> Iterator[dict[str, str]]:
    """Let new processes import nothing of the current folder, which may be a stranger's.

    Gives an environment for them, with which what they start in turn imports as before.
    """
    before = os.environ.get(SAFE_PATH, "")
    os.environ[SAFE_PATH] = "1"
    try:
        yield {SAFE_PATH: before}
    finally:
        os.environ[SAFE_PATH] = before


@asynccontextmanager
async def queued(
    jobqueue: str, options: Mapping[str, Any], workers: int, refused: list[str]
) -> AsyncIterator[Client]:
    """Workers that are jobs of a queue, such as SLURM's; `refused` gets what it says of jobs it refuses."""
    cls = queue_class(jobqueue)
    # Without it, dask-jobqueue would wait for jobs that nobody submitted.
    submit = (getattr(cls.job_cls, "submit_command", None) or "").partition(" ")[0]
    if submit and not shutil.which(submit):
        raise ConfigError(
            f"executor: {jobqueue} submits jobs with {submit}, which is not there; run the experiment on a "
            "machine that can submit jobs, or leave `jobqueue` out"
        )

    class Job(cls.job_cls):  # type: ignore[misc, name-defined]
        """A job whose refusal is kept. Dask would only log it, and wait for the worker."""

        async def _submit_job(self, script: str) -> Any:
            try:
                return await super()._submit_job(script)
            except RuntimeError as error:
                refused.append(_said(str(error)))
                logger.warning("the queue refused a job: {}", refused[-1])
                return None

        def _job_id_from_submit_output(self, out: Any) -> Any:
            return "" if out is None else super()._job_id_from_submit_output(out)

    try:
        cluster = await cls(**options, n_workers=workers, job_cls=Job, asynchronous=True)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"executor: {jobqueue} could not be used ({error}); see the documentation of dask-jobqueue"
        ) from error
    async with cluster, connect(cluster.scheduler_address) as client:
        yield client


def _said(text: str) -> str:
    """What a command that submits jobs said, of dask-jobqueue's text about it, in one line."""
    said = text.partition("stderr:")[2] or text
    return "; ".join(line.strip() for line in said.splitlines() if line.strip())[:600]


def queue_class(name: str) -> Any:
    """A class of dask-jobqueue by its name. Raises `ValueError`."""
    try:
        with _signals_kept():
            import dask_jobqueue
            from dask_jobqueue.core import JobQueueCluster
    except ImportError:
        raise ValueError(
            "jobqueue: dask-jobqueue is not installed; install it with: pip install 'pyscrai-dask[jobqueue]'"
        ) from None
    known = {
        one: cls
        for one, cls in vars(dask_jobqueue).items()
        if inspect.isclass(cls) and issubclass(cls, JobQueueCluster)
        and cls is not JobQueueCluster
    }  # fmt: skip
    if name not in known:
        raise ValueError(f"jobqueue: {unknown_key(name, known)}")
    return known[name]


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handler of Ctrl-C: dask-jobqueue sets its own when it is imported, which ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def check_queue(jobqueue: str, options: Mapping[str, Any]) -> None:
    """Raise `ValueError` for a class or an option that dask-jobqueue does not have."""
    cls = queue_class(jobqueue)
    known = {
        name
        for one in (*cls.__mro__, *cls.job_cls.__mro__)
        if "__init__" in vars(one) and one is not object
        for name, parameter in inspect.signature(one.__init__).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name not in OURS
    }
    for name in options:
        if name not in known:
            raise ValueError(f"options: {unknown_key(name, known)}")


async def call(client: Client, operation: str, **arguments: Any) -> Any:
    """Call the scheduler. Raises `OSError` if it is gone."""
    if client.scheduler is None:
        raise OSError("the connection was closed")
    return await getattr(client.scheduler, operation)(**arguments)


# -- versions --


@cache
def compared(distributions: frozenset[str]) -> dict[str, str]:
    """The versions that count: of these distributions, of all of PyScrAI that are here, and of Dask."""
    installed = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"] or "").lower(): one.version
        for one in importlib.metadata.distributions()
    }
    wanted = {re.sub(r"[-_.]+", "-", name).lower() for name in (*distributions, *SAME)}
    chosen = {name for name in installed if name in wanted or re.match("pyscrai(-|$)", name)}
    return {name: installed[name] for name in sorted(chosen)}


async def differences(client: Client, distributions: frozenset[str]) -> dict[str, list[str]]:
    """What each worker has in other versions than this process, a line each, by the workers' addresses."""
    # Dask answers that itself, so that a worker without this distribution can be asked too.
    here = dict(compared(distributions))
    asked = {"op": "versions", "packages": list(here)}
    workers = await call(client, "broadcast", msg=asked, on_error="ignore")
    here["python"] = get_versions()["packages"]["python"]
    found: dict[str, list[str]] = {}
    for address, there in workers.items():
        has = there["packages"]
        found[address] = [
            f"{name} {has.get(name) or 'is missing'}, here {version}"
            for name, version in here.items()
            if has.get(name) != version
        ]
    return found
