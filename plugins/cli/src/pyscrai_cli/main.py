"""The command `pyscrai`: which commands there are, and what becomes of their errors.

A command's module is imported when the command is used, so that help comes at once. Commands return their
exit status: 0 completed, 1 failed, 2 bad input, 3 stopped by a budget, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pyscrai_core import __version__
from pyscrai_core.errors import BudgetSpent, InputError, PyscraiError

from . import output

if TYPE_CHECKING:
    from pyscrai_core.plugins import Host

#: Each command: its module and attribute, and the line that `pyscrai --help` shows.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("run:demo", "Run a small scenario on a local model: no key, no server."),
    "run": ("run:run", "Run a scenario."),
    "validate": ("validate:validate", "Check a scenario; execute and write nothing."),
    "prompt": ("prompt:prompt", "Show what a model would be asked, or was."),
    "runs": ("runs:runs", "List the runs; remove, check, send or receive some."),
    "show": ("runs:show", "Summarize a run."),
    "log": ("runs:log", "Print a run's log, one JSON object a line."),
    "resume": ("resume:resume", "Go on with an unfinished run; nothing is paid for twice."),
    "fork": ("resume:fork", "Make a moment of a run the start of a different story."),
    "pause": ("inputs:pause", "Let a run stand still before its next step."),
    "inject": ("inputs:inject", "Add an event to an unfinished run."),
    "replay": ("resume:replay", "Execute a run again from its record alone, and compare."),
    "export": ("runs:export", "Write a run in some format."),
    "plugins": ("plugins:plugins", "List the plugins and what they offer."),
    "doctor": ("plugins:doctor", "Tell what is installed, usable and configured."),
}


class Commands(click.Group):
    """The group of all commands: those of the table, then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        host, _ = _host()
        return [*COMMANDS, *(name for name, _ in _offered(host))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command = getattr(import_module(f".{module}", __package__), attribute)
        else:
            host, problem = _host()
            if problem:
                raise click.UsageError(f"no such command {cmd_name!r}. {problem}")
            if cmd_name not in {offer.name for offer in host.offers("command")} if host else True:
                return None
            assert host is not None
            command = host.load("command", cmd_name)
            if not isinstance(command, click.Command):
                offer = host.offer("command", cmd_name)
                raise click.UsageError(
                    f"command {cmd_name!r}: {offer.plugin} ({offer.distribution} {offer.version}) offers "
                    f"an object of the class {type(command).__name__}, not a click.Command: tell its author"
                )
        return command  # type: ignore[no-any-return]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand:
            raise click.UsageError(_missing(args[0]), ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the table alone: nothing is imported for it.
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])
        host, problem = _host()
        if offered := _offered(host):
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, output.clean(summary)) for name, summary in offered])
        if host is not None:
            broken = [plugin.name for plugin in host.plugins if plugin.status == "broken"]
            problem = f"Broken plugins: {', '.join(broken)}; see: pyscrai plugins" if broken else ""
        if problem:
            formatter.write_paragraph()
            formatter.write_text(output.clean(problem))

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        **extra: Any,
    ) -> NoReturn:
        # Click's own handlers would print in its words and exit with its statuses.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            status = super().main(args, prog_name, complete_var, **{**extra, "standalone_mode": False})
        except (click.Abort, KeyboardInterrupt):
            output.note("interrupted")
            status = 130
        except click.exceptions.NoArgsIsHelpError as error:
            output.note(error.format_message())
            status = 2
        except click.ClickException as error:
            if isinstance(error, click.UsageError) and error.ctx is not None:
                output.note(error.ctx.get_usage())
                output.note(f"Try '{error.ctx.command_path} --help' for help.\n")
            output.fail(error.format_message())
            status = 2
        sys.exit(status if type(status) is int else 0)

    def invoke(self, ctx: click.Context) -> Any:
        debug = ctx.params["debug"]
        try:
            _log_to_stderr(debug)
            status = super().invoke(ctx)
            sys.stdout.flush()
            return status
        except BrokenPipeError:
            # Whoever reads has seen enough, as `head` does: that is no failure.
            output.mute()
            return 0
        except PyscraiError as error:
            _traceback(error, debug)
            output.fail_with(error)
            return 2 if isinstance(error, InputError) else 3 if isinstance(error, BudgetSpent) else 1
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # noqa: BLE001 - a bug, ours or a plugin's: said in one line, without a traceback
            _traceback(error, debug)
            words = " ".join(f"{type(error).__name__}: {error}".split())
            remedy = "" if debug else "; for the traceback: pyscrai --debug …, or PYSCRAI_DEBUG=1"
            output.fail(f"{words} (this is a bug{remedy})")
            return 1


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: pyscrai demo",
)
@click.version_option(__version__, message="pyscrai %(version)s")
@click.option(
    "--debug", is_flag=True, envvar="PYSCRAI_DEBUG", help="Show tracebacks.  [also: PYSCRAI_DEBUG=1]"
)
def cli(debug: bool) -> None:
    """Language-model agents in scenarios, with results that hold up.

    RUN, where a command takes one, is a run's id, the beginning of one, or `last` (the default).
    """


def main(args: Sequence[str] | None = None) -> None:
    """The entry point; ends the process."""
    cli.main(args=args, prog_name="pyscrai")


def _host() -> tuple[Host | None, str]:
    """The plugins, and what is wrong with the settings if there is none."""
    from pyscrai_core.config import load_settings

    try:
        return load_settings().host(), ""
    except InputError as error:
        return None, f"No commands of plugins: {error}"


def _offered(host: Host | None) -> list[tuple[str, str]]:
    """The commands of plugins, by name, with their summaries. The table's own names are taken."""
    offers = {offer.name: offer.extension.summary for offer in host.offers("command")} if host else {}
    return [(name, summary) for name, summary in offers.items() if name not in COMMANDS]


def _missing(name: str) -> str:
    import difflib

    host, _ = _host()
    known = [*COMMANDS, *(other for other, _ in _offered(host))]
    close = difflib.get_close_matches(name, known, n=1)
    message = f"no such command {name!r}"
    if close:
        return f"{message} (did you mean {close[0]!r}?)"
    broken = [plugin for plugin in host.plugins if plugin.status == "broken"] if host else []
    if broken:  # nobody knows what they would have offered
        message += "; broken plugins: " + "; ".join(f"{plugin}: {plugin.error}" for plugin in broken)
    return message


def _traceback(error: BaseException, debug: bool) -> None:
    if debug:
        import traceback

        output.note("".join(traceback.format_exception(error)).rstrip())


def _log_to_stderr(debug: bool) -> None:
    """Warnings and errors of the kernel in one line each; loguru's own sink goes."""
    from loguru import logger

    def show(message: Any) -> None:
        record = message.record
        words = record["message"]
        if record["exception"] is not None:
            error = record["exception"].value
            words += f": {type(error).__name__}: {error}"
        output.fail(" ".join(words.split()), label=record["level"].name.lower())
        if debug and record["exception"] is not None:
            _traceback(record["exception"].value, debug)

    logger.remove()
    logger.add(show, level="WARNING", format="{message}", diagnose=False)


if __name__ == "__main__":
    main()
