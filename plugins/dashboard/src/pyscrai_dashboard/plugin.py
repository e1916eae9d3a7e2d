"""What this distribution adds to PyScrAI: the command `dashboard`."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_commands() -> list[Extension]:
    return [
        Extension(
            "dashboard",
            "pyscrai_dashboard.command:dashboard",
            "Watch and control runs and experiments in the browser.",
        )
    ]
