"""Running an experiment from its file on: reading, checking, approving, performing."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from pyscrai_core import api
from pyscrai_core.config import Settings
from pyscrai_core.plugins import Host
from pyscrai_core.runtime.session import end_process
from pyscrai_core.scenario.trust import Gate

from .experiment import Experiment
from .perform import Summary, executor_of, perform
from .prepare import Prepared, prepare


def ready(experiment: Experiment, settings: Settings, gate: Gate, host: Host | None = None) -> Prepared:
    """Check an experiment and have it approved; nothing is run or written. Raises `InputError`."""
    host = host or settings.host()
    executor_of(experiment, host)
    prepared = prepare(experiment, settings, host)
    prepared.approve(gate)
    return prepared


async def arun_experiment(
    experiment: Experiment,
    settings: Settings,
    gate: Gate,
    *,
    host: Host | None = None,
    alone: bool = False,
    **options: Any,
) -> Summary:
    """Run what is left of an experiment; `options` are those of `perform`. `alone`: in a process for that."""
    host = host or settings.host()
    prepared = ready(experiment, settings, gate, host)
    with api.open_session(settings, gate, host=host) as session:
        session = evolve(session, leave=end_process) if alone else session
        return await perform(prepared, session, settings, **options)
