"""What this distribution adds to PyScrAI: commands of `pyscrai runs`."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_commands() -> list[Extension]:
    return [
        Extension(
            "runs verify", "pyscrai_bundles.commands:verify", "Check that runs and their store are whole."
        ),
        Extension(
            "runs export-bundle", "pyscrai_bundles.commands:export_bundle", "Write runs into one file."
        ),
        Extension(
            "runs import-bundle", "pyscrai_bundles.commands:import_bundle", "Read the runs of a bundle."
        ),
    ]
