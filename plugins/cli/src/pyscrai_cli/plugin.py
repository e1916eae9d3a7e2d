"""What this distribution adds to PyScrAI: the built-in commands, in the order of `pyscrai --help`."""

from pyscrai_core import Extension, hookimpl

pyscrai_api = 1


@hookimpl
def pyscrai_commands() -> list[Extension]:
    return [
        Extension(
            "demo", "pyscrai_cli.run:demo", "Run a small scenario on a local model: no key, no server."
        ),
        Extension("run", "pyscrai_cli.run:run", "Run a scenario."),
        Extension(
            "validate", "pyscrai_cli.validate:validate", "Check a scenario. Nothing is executed or written."
        ),
        Extension("prompt", "pyscrai_cli.prompt:prompt", "Show the prompts that a model would get, or got."),
        Extension("runs", "pyscrai_cli.runs:runs", "List the runs, or manage them with a subcommand."),
        Extension(
            "runs rm", "pyscrai_cli.maintenance:rm", "Remove runs, with all that was recorded of them."
        ),
        Extension("runs gc", "pyscrai_cli.maintenance:gc", "Remove the messages that no run needs any more."),
        Extension("show", "pyscrai_cli.runs:show", "Summarize a run."),
        Extension("watch", "pyscrai_cli.watch:watch", "Watch a run that another process executes."),
        Extension("log", "pyscrai_cli.log:log", "Print a run's log, one JSON object a line."),
        Extension("diff", "pyscrai_cli.diff:diff", "Compare two runs: where their logs part."),
        Extension(
            "resume",
            "pyscrai_cli.resume:resume",
            "Resume an unfinished run. Recorded answers are not requested again.",
        ),
        Extension("fork", "pyscrai_cli.resume:fork", "Fork a run at an event, with changes."),
        Extension("pause", "pyscrai_cli.inputs:pause", "Pause a run before its next step."),
        Extension("inject", "pyscrai_cli.inputs:inject", "Add an event to an unfinished run."),
        Extension(
            "replay",
            "pyscrai_cli.resume:replay",
            "Execute a run again from its record alone, and compare.",
        ),
        Extension("export", "pyscrai_cli.export:export", "Write runs in some format."),
        Extension("plugins", "pyscrai_cli.plugins:plugins", "List the plugins and what they offer."),
        Extension("doctor", "pyscrai_cli.plugins:doctor", "Report what is installed, usable and configured."),
    ]
