"""What this distribution adds to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [
        Extension(
            "calculator", "pyscrai_toolbox.calculator:calculator", "the value of an arithmetic expression"
        ),
        Extension("dice", "pyscrai_toolbox.dice:dice", "throws dice, such as 2d6+1, with the run's seed"),
        Extension("files", "pyscrai_toolbox.files:Files", "reads the files of one folder"),
        Extension("notes", "pyscrai_toolbox.notes:Notes", "the agent's own notes, kept from turn to turn"),
        Extension("sample", "pyscrai_toolbox.sample:sample", "draws items at random, with the run's seed"),
        Extension(
            "world", "pyscrai_toolbox.world:World", "what the state of the world is, as the agent may know"
        ),
    ]
