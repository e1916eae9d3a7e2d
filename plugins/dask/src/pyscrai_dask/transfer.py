"""What travels between the experiment and a worker: chunks of trials, and runs as bundles."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from attrs import frozen
from pyscrai_transfer.bundle import Bundle, export_bundle

from pyscrai_core import PyscraiError, Trial, TrialResult
from pyscrai_core.store.maintenance import remove_runs
from pyscrai_core.store.store import Store


@frozen
class Part:
    """What is left of a block, and whether some of it was run already."""

    trials: tuple[Trial, ...]
    begun: bool


@frozen
class Chunk:
    """What a worker is to run: parts of blocks, and the runs that these resume or take answers from.

    After `seconds` it begins no further trial.
    """

    parts: tuple[Part, ...]
    runs: bytes
    at_once: int
    seconds: float


@frozen
class Delivery:
    """What a worker sends back: the runs, and the results, each with the number of its part.

    `error` is why it could not go on.
    """

    results: tuple[tuple[int, TrialResult], ...]
    runs: bytes
    error: PyscraiError | None = None


def pack(store: Store, runs: Collection[str]) -> bytes:
    """Runs of a store, as a bundle; empty if there are none. Raises `StoreError`."""
    if not runs:
        return b""
    with tempfile.TemporaryDirectory(prefix="pyscrai-") as folder:
        path = Path(folder) / "runs.pyscrai"
        export_bundle(store, sorted(runs), path, own=True)
        return path.read_bytes()


def unpack(store: Store, runs: bytes, *, replaced: Sequence[str] = ()) -> None:
    """Write the runs of a bundle into a store: all of them, or none. Those that are `replaced` go before."""
    if not runs:
        return
    with tempfile.TemporaryDirectory(prefix="pyscrai-") as folder:
        path = Path(folder) / "runs.pyscrai"
        path.write_bytes(runs)
        with Bundle(path, own=True) as bundle, store.transaction():
            remove_runs(store, replaced)
            bundle.write(store)
