"""Groups of commands that plugins offer: `pyscrai` itself, and those in it, such as `pyscrai runs`.

A command is imported when it is used, so that help comes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from pyscrai_core import InputError
from pyscrai_records.base.stdout import results_alone as stdout_for_results
from pyscrai_records.base.suggest import did_you_mean

from . import output, plugin

if TYPE_CHECKING:
    from pyscrai_core.config import Settings
    from pyscrai_core.plugins import Host


class OfferedCommands(click.Group):
    """A group of the commands that plugins offer: the built-in ones first, then those of other plugins.

    The extensions' names begin with `prefix`: the group `runs` has the prefix `"runs "`, and the extension
    `runs rm` is its command `rm`. A built-in command goes before another plugin's of the same name.
    """

    def __init__(self, *arguments: Any, prefix: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._built_in(), *self._added(all_plugins()[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._built_in():
            host = built_in()  # no other plugin is needed, and wrong settings do not matter
        else:
            host, problem = all_plugins()
            if problem:
                raise click.UsageError(f"no such command {cmd_name!r}. {problem}")
            if cmd_name not in self._added(host):
                return None
        name = self.prefix + cmd_name
        with stdout_for_results():
            command = host.load("command", name)
        if not isinstance(command, click.Command):
            offer = host.offer("command", name)
            raise click.UsageError(
                f"command {name!r}: {offer.plugin} ({offer.distribution} {offer.version}) offers "
                f"an object of the class {type(command).__name__}, not a click.Command: tell its author"
            )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand:
            raise click.UsageError(self._missing(args[0]), ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From what the extensions say of themselves: no command is imported for it.
        with formatter.section("Commands"):
            formatter.write_dl(list(self._built_in().items()))
        host, problem = all_plugins()
        if added := self._added(host):
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, output.clean(summary)) for name, summary in added.items()])
        broken = [plugin.name for plugin in host.plugins if plugin.status == "broken"]
        if problem := problem or (
            f"Broken plugins: {', '.join(broken)}; see: pyscrai plugins" if broken else ""
        ):
            formatter.write_paragraph()
            formatter.write_text(output.clean(problem))

    def _missing(self, name: str) -> str:
        from pyscrai_core.plugins import known_plugins

        host, _ = all_plugins()
        message = f"no such command {name!r}"
        if guess := did_you_mean(name, [*self._built_in(), *self._added(host)]):
            return message + guess
        if distribution := known_plugins().get(("command", self.prefix + name)):
            message += f"; install it with: pip install {distribution}"
        # Nobody knows what a broken plugin would have offered.
        broken = [f"{plugin}: {plugin.error}" for plugin in host.plugins if plugin.status == "broken"]
        return f"{message}; broken plugins: {'; '.join(broken)}" if broken else message

    def _built_in(self) -> dict[str, str]:
        """The group's commands of this distribution, with their summaries, in their order."""
        (ours,) = built_in().plugins
        return self._among((offer.name, offer.extension.summary) for offer in ours.extensions)

    def _added(self, host: Host) -> dict[str, str]:
        """The group's commands of other plugins, by name, with their summaries."""
        offered = self._among((offer.name, offer.extension.summary) for offer in host.offers("command"))
        return {name: summary for name, summary in offered.items() if name not in self._built_in()}

    def _among(self, commands: Iterable[tuple[str, str]]) -> dict[str, str]:
        start = len(self.prefix)
        return {
            name[start:]: summary
            for name, summary in commands
            if name.startswith(self.prefix) and " " not in name[start:]
        }


@cache
def built_in() -> Host:
    """A host with the commands of this distribution alone."""
    from pyscrai_core.plugins import Host

    return Host(installed=False, extra=[plugin])


def host_of(settings: Settings) -> Host:
    """The plugins that the settings choose. They cannot leave the built-in commands out."""
    return settings.host(extra=[plugin])


def all_plugins() -> tuple[Host, str]:
    """The plugins in this folder. If its settings are wrong: the built-in commands, and what is wrong.

    What they print goes to stderr: it is no part of what the command prints.
    """
    from pyscrai_core.config import load_settings

    try:
        with stdout_for_results():
            return host_of(load_settings(tell=False)), ""
    except InputError as error:
        return built_in(), f"No commands of plugins: {error}"
