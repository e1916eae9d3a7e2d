# mypy: disable-error-code="empty-body"
"""All hooks. A hook takes no arguments and returns a list of `Extension`.

A plugin is a module that an entry point of the group `pyscrai` names. It imports only `pyscrai_core`, sets
`pyscrai_api = 1`, and implements some of these hooks::

    from pyscrai_core import Extension, hookimpl

    pyscrai_api = 1

    @hookimpl
    def pyscrai_providers():
        return [Extension("echo", "my_plugin.echo:EchoProvider", "answers with the question")]

Each hook is called once, when a host loads the plugin. It must be quick and must not import what the
extensions need. If a hook raises, or returns something else, its plugin is broken: the host continues without
it, `pyscrai plugins` shows the cause, and using one of its extensions raises `ExtensionError` with that
cause. An extension's name must be unique among those of its hook.
"""

from __future__ import annotations

import pluggy

from pyscrai_records.records import Extension

#: The name that marks hooks and their implementations, and the group of entry points.
PROJECT = "pyscrai"
#: The version of the contract that this kernel supports. A plugin sets the one that it was written for.
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def pyscrai_providers() -> list[Extension]:
    """Model vendors and local models: classes that implement `Provider`. Named in `providers:`."""


@hookspec
def pyscrai_engines() -> list[Extension]:
    """Engines, which play an agent's turn: classes that implement `Engine`. Named in an agent's `engine:`."""


@hookspec
def pyscrai_reasoning() -> list[Extension]:
    """Reasoning strategies: classes that implement `Reasoning`. Named in an agent's `reasoning:`."""


@hookspec
def pyscrai_tools() -> list[Extension]:
    """Tools that agents can call: classes that implement `Tool` or `Toolset`. Named in `tools:`."""


@hookspec
def pyscrai_exporters() -> list[Extension]:
    """Export formats: classes that implement `Exporter`. Named by `pyscrai export --format`."""


@hookspec
def pyscrai_memories() -> list[Extension]:
    """Memories of agents: classes that implement `Memory`. Named in an agent's `memory:`."""


@hookspec
def pyscrai_schedules() -> list[Extension]:
    """Schedules, which choose who acts next: classes that implement `Schedule`. Named in `schedule:`."""


@hookspec
def pyscrai_observers() -> list[Extension]:
    """Observers of runs: classes that implement `Observer`. Named in `observers` of `pyscrai.toml`."""


@hookspec
def pyscrai_executors() -> list[Extension]:
    """Executors of experiments: classes that implement `Executor`."""


@hookspec
def pyscrai_scenario_loaders() -> list[Extension]:
    """Further file formats for scenarios.

    The name is the file's suffix (`toml`). The target is a function that takes the file's path and returns
    the scenario as plain data. It raises `ScenarioError` for bad input.
    """


@hookspec
def pyscrai_commands() -> list[Extension]:
    """Commands of `pyscrai`. The name is the command's name, and the target is a `click.Command`.

    A name of two words is a subcommand: `runs verify` is the command `verify` of `pyscrai runs`. It is only
    available if a plugin offers `runs`.
    """


@hookspec
def pyscrai_outcomes() -> list[Extension]:
    """Further outcomes of stored runs, computed on demand: `NAME.PATH` in an experiment.

    The target is a function of runs, paths and the open store. It returns a mapping from paths to plain JSON,
    by the run's id. Without runs, and with None as store, it only raises `ValueError` for an impossible path.

    The target may have a method `reliability` with the same arguments. It returns, by path, how reliable the
    values are, as plain JSON: `name` (such as "Krippendorff's alpha"), `estimate`, `low`, `high` (None if
    there is none), `items` (how many it rests on) and `notes` (texts, which a report shows as warnings).
    """


@hookspec
def pyscrai_displays() -> list[Extension]:
    """How Python shows things. The target is a function of a log, a result, or runs, such as `to_pandas`."""


@hookspec
def pyscrai_panels() -> list[Extension]:
    """Panels of the dashboard, for runs or experiments. The summary is the title.

    The target is a mapping. `for` is `run` or `experiment`. `data` is a function of the open store and the
    run's id or the experiment's name; it returns plain JSON. `files` is the folder of a module `panel.js`,
    which exports `render(element, given)`; `given` has the run or experiment, and `api`. `act`, if there is
    one, is a function of the same and of an order, a JSON object; it may change something, returns plain
    JSON, and raises `InputError`. It is not called by a dashboard that is read-only.
    """


#: What each hook offers, in the singular, as messages name it.
KINDS: dict[str, str] = {
    "pyscrai_providers": "provider",
    "pyscrai_engines": "engine",
    "pyscrai_reasoning": "reasoning",
    "pyscrai_tools": "tool",
    "pyscrai_exporters": "exporter",
    "pyscrai_memories": "memory",
    "pyscrai_schedules": "schedule",
    "pyscrai_observers": "observer",
    "pyscrai_executors": "executor",
    "pyscrai_scenario_loaders": "scenario loader",
    "pyscrai_commands": "command",
    "pyscrai_outcomes": "outcome",
    "pyscrai_displays": "display",
    "pyscrai_panels": "panel",
}
