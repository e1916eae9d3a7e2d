"""What this distribution offers to PyScrAI."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_tools() -> list[Extension]:
    return [
        Extension("calculator", "pyscrai_toolbox.calculator:calculator", "computes an arithmetic expression"),
        Extension("dice", "pyscrai_toolbox.dice:dice", "rolls dice, such as 2d6+1, with the run's seed"),
        Extension("files", "pyscrai_toolbox.files:Files", "reads the files of one folder"),
        Extension("notes", "pyscrai_toolbox.notes:Notes", "keeps private notes of the agent"),
        Extension("sample", "pyscrai_toolbox.sample:sample", "chooses random items, with the run's seed"),
        Extension(
            "world", "pyscrai_toolbox.world:World", "looks up the state of the world, as the agent may see it"
        ),
    ]
