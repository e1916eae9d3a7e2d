"""What this distribution adds to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_engines() -> list[Extension]:
    return [
        Extension(
            "actor",
            "pyscrai_cast.actor:Actor",
            "plays a person: speaks, and takes its declared actions",
        ),
        Extension(
            "narrator",
            "pyscrai_cast.narrator:Narrator",
            "sets the scene and carries it, for everyone to hear",
        ),
        Extension(
            "analyst",
            "pyscrai_cast.analyst:Analyst",
            "watches, and writes findings and scores for the researcher",
        ),
    ]
