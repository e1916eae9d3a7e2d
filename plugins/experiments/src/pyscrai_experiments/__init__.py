"""Experiments for PyScrAI: many runs of a scenario, paired by seed, and compared.

::

    import pyscrai_experiments

    result = pyscrai_experiments.run("markup.yaml")
    result.status, result.content["claim"]
    result.to_pandas()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Result, arun, report, run

__all__ = ["Result", "arun", "report", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(".api", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
