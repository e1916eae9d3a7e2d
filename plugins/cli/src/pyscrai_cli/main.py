"""The command `pyscrai`, and what becomes of the errors of the commands in it.

Commands return their exit status: 0 completed, 1 failed, 2 bad input, 3 stopped by a budget, 130 interrupted.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any, NoReturn

import click

from pyscrai_core import BudgetSpent, InputError, PyscraiError
from pyscrai_records.base.private import umask

from . import output
from .group import OfferedCommands, built_in


class Commands(OfferedCommands):
    """All commands; ends the process with the exit status of the one that was used."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        **extra: Any,
    ) -> NoReturn:
        if sys.stderr is None:  # it was closed, and must not become the number of a file that is opened
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        if sys.stdout is None:
            output.fail("stdout: it is closed; to see nothing, write to /dev/null")
            os._exit(2)
        # Click's own handlers would print in its words and exit with its statuses.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        try:
            given = list(args if args is not None else sys.argv[1:])
            alone = output.results_alone() if self._only_results(given) else nullcontext()
            if "_PYSCRAI_COMPLETE" in os.environ:
                from . import shells

                shells.register()
            with output.writing("stdout"), alone:
                status = super().main(args, prog_name, complete_var, **{**extra, "standalone_mode": False})
        except output.Unwritable as error:  # where click prints, its help for example
            output.fail(str(error))
            output.mute()
            status = 1
        except BrokenPipeError:
            output.mute()
            status = 0
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
        status = status if type(status) is int else 0
        watching = sys.modules.get("pyscrai_records.base.time_limit")
        if watching is not None and watching.left_behind():  # Python would wait for it
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(status)
        if "--json" in given and sys.stdout is sys.__stdout__:
            atexit.register(_end_results)  # called before what plugins have registered
        sys.exit(status)

    def _only_results(self, args: Sequence[str]) -> bool:
        """Whether stdout is for results alone: with --json, for our own commands. Others print as they do."""
        words = [word for word in args if not word.startswith("-")]
        ours = {offer.name for offer in built_in().offers("command")}
        # `runs` has commands of other plugins.
        name = " ".join(words[:2] if words[:1] == ["runs"] else words[:1])
        return "--json" in args and name in ours

    def invoke(self, ctx: click.Context) -> Any:
        debug = ctx.params["debug"]
        try:
            os.umask(umask())  # what is written is the person's own: exports, logs, bundles
            _start_log(ctx, debug)
            status = super().invoke(ctx)
            with output.writing("stdout"):
                output.stdout().flush()
            return status
        except BrokenPipeError:
            # Whoever reads has seen enough, as `head` does: that is no failure.
            output.mute()
            return 0
        except output.Unwritable as error:
            return _unwritable(error)
        except PyscraiError as error:
            _traceback(error, debug)
            output.fail_with(error)
            return 2 if isinstance(error, InputError) else 3 if isinstance(error, BudgetSpent) else 1
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # noqa: BLE001 - a bug, ours or a plugin's: said in one line, without a traceback
            if isinstance(error, OSError) and _printed(error):
                return _unwritable(output.unwritable("stdout", error))
            _traceback(error, debug)
            if isinstance(error, PermissionError) and error.filename:
                output.fail(f"{output.path(str(error.filename))}: it is not yours to use; name another path")
                return 2
            words = " ".join(f"{type(error).__name__}: {error}".split())
            if _is_of_database(error):
                output.fail(
                    f"the store is damaged, or was changed ({words}); restore it from a copy, and see what "
                    "else is wrong: pyscrai runs verify"
                )
                return 1
            remedy = "" if debug else "; for the traceback: pyscrai --debug …, or PYSCRAI_DEBUG=1"
            output.fail(f"{words} (this is a bug{remedy})")
            return 1


def _end_results() -> None:
    """Let nothing follow on the results in stdout: what plugins print when Python ends goes to stderr."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        os.dup2(2, 1)
    sys.stdout = sys.stderr


def _print_version(context: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        from pyscrai_core import __version__

        click.echo(f"pyscrai {__version__}")
        context.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: pyscrai demo",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.option(
    "--debug", is_flag=True, envvar="PYSCRAI_DEBUG", help="Show tracebacks.  [also: PYSCRAI_DEBUG=1]"
)
def cli(debug: bool) -> None:
    """Language-model agents in scenarios, with results that hold up.

    RUN is a run's id, the beginning of one, or `last` (the default).
    """


def main(args: Sequence[str] | None = None) -> None:
    """The entry point; ends the process."""
    cli.main(args=args, prog_name="pyscrai")


def _unwritable(error: output.Unwritable) -> int:
    output.fail(str(error))
    output.mute()
    return 1


def _is_of_database(error: BaseException) -> bool:
    """Whether the database failed: a store that is damaged can make it do so wherever it is read."""
    return any(
        kind.__name__ == "DatabaseError" and kind.__module__ in ("sqlite3", "peewee")
        for kind in type(error).__mro__
    )


def _printed(error: BaseException) -> bool:
    """Whether it is printing that failed: the commands of other plugins print with click alone."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_code is click.echo.__code__


def _traceback(error: BaseException, debug: bool) -> None:
    if debug:
        import traceback

        output.note("".join(traceback.format_exception(error)).rstrip())


def _start_log(context: click.Context, debug: bool) -> None:
    from .logs import Log

    context.obj = Log.from_environment(debug)
    context.obj.to_stderr()


if __name__ == "__main__":
    main()
