"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [
        Extension(
            "actor",
            "pyscrai_cast.actor:Actor",
            "an agent that speaks and takes its declared actions",
        ),
        Extension(
            "narrator",
            "pyscrai_cast.narrator:Narrator",
            "describes the world and what happens in it, for everyone",
        ),
        Extension(
            "analyst",
            "pyscrai_cast.analyst:Analyst",
            "an observer that reports findings and scores to the researcher",
        ),
    ]
