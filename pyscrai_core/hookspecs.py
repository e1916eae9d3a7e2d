"""Every hook. All have one shape: they take nothing and return a list of `Extension`.

A plugin is a module that is named by an entry point of the group `pyscrai`, imports only
`pyscrai_core`, states `pyscrai_api = 1`, and implements some of these hooks::

    from pyscrai_core import Extension, hookimpl

    pyscrai_api = 1

    @hookimpl
    def pyscrai_providers():
        return [Extension("echo", "my_plugin.echo:EchoProvider", "answers with the question")]

Each hook is called once, when a host loads the plugin. It must be quick and must not import what the
extensions need. One that raises, or returns something else, marks its plugin as broken: the host goes
on without the plugin, `pyscrai plugins` shows the cause, and asking for its extensions raises it.
An extension's name is unique among those of its hook.
"""

from __future__ import annotations

import pluggy

from .records import Extension

#: The name that marks hooks and their implementations, and the group of entry points.
PROJECT = "pyscrai"
#: The version of the contract that this kernel speaks; a plugin states the one it was written for.
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def pyscrai_providers() -> list[Extension]:
    """Model vendors and local models: classes that implement `Provider`. Named in `providers:`."""
    raise NotImplementedError


@hookspec
def pyscrai_engines() -> list[Extension]:
    """What plays an agent's turn: classes that implement `Engine`. Named in an agent's `engine:`."""
    raise NotImplementedError


@hookspec
def pyscrai_reasoning() -> list[Extension]:
    """Ways from a request to an answer: classes that implement `Reasoning`. Named in `reasoning:`."""
    raise NotImplementedError


@hookspec
def pyscrai_tools() -> list[Extension]:
    """What agents can call: classes that implement `Tool` or `Toolset`. Named in `tools:`."""
    raise NotImplementedError


@hookspec
def pyscrai_exporters() -> list[Extension]:
    """Formats: classes that implement `Exporter`. Named by `pyscrai export --format`."""
    raise NotImplementedError


@hookspec
def pyscrai_memories() -> list[Extension]:
    """What agents remember: classes that implement `Memory`. Named in an agent's `memory:`."""
    raise NotImplementedError


@hookspec
def pyscrai_schedules() -> list[Extension]:
    """Who acts next: classes that implement `Schedule`. Named in `schedule:`."""
    raise NotImplementedError


@hookspec
def pyscrai_observers() -> list[Extension]:
    """Sinks that watch runs: classes that implement `Observer`. Named in `observers` of `pyscrai.toml`."""
    raise NotImplementedError


@hookspec
def pyscrai_executors() -> list[Extension]:
    """Places where experiments run: classes that implement `Executor`."""
    raise NotImplementedError


@hookspec
def pyscrai_scenario_loaders() -> list[Extension]:
    """Further file formats. The name is the suffix (`toml`); the target a function from the file's path
    to the scenario as plain data, which raises `ScenarioError` for bad input."""
    raise NotImplementedError


@hookspec
def pyscrai_commands() -> list[Extension]:
    """Commands of `pyscrai`. The name is the command's; the target a `click.Command`.

    A name of two words is a command of a group: `runs verify` is the command `verify` of `pyscrai runs`.
    The plugin that offers `runs` makes the group; without that plugin, nothing can call the command.
    """
    raise NotImplementedError


#: What each hook offers, in the singular: the word that messages use.
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
}
