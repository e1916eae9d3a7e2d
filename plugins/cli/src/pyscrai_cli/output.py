"""Words on the terminal: what every command prints with.

Results go to stdout, all else to stderr. Text that a model, a scenario or a plugin wrote is cleaned before
it is shown: it may hold what a terminal would obey.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import click

from pyscrai_core import Cost, PyscraiError, ScenarioError, Usage
from pyscrai_records.base.stdout import results_alone as stdout_for_results
from pyscrai_records.secret import redact, redact_bytes

#: Exit statuses by what a run came to.
EXIT = {"completed": 0, "failed": 1, "stopped": 3, "interrupted": 130, "running": 1, "paused": 1}
COLOURS = {
    "completed": "green",
    "failed": "red",
    "stopped": "yellow",
    "interrupted": "yellow",
    "running": "cyan",
    "paused": "cyan",
    "loaded": "green",
    "broken": "red",
    "disabled": "yellow",
}
#: Hexadecimal digits of a fingerprint where it is shown short.
SHORT = 12
#: Lines of one event after its first are set in, so that no text can pass for another agent's line.
INDENT = "  "

# Escape sequences (colours, cursor, titles, links), then what is left of control characters, and the marks
# that turn the direction of writing. A tab and a newline are text.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """`text` without anything that a terminal would obey; newlines stay."""
    text = text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def in_lines(text: str) -> str:
    """Cleaned text of several lines, those after the first set in."""
    return f"\n{INDENT}".join(line.strip() for line in clean(text).strip().split("\n"))


class Unwritable(PyscraiError):
    """What is printed cannot be written, because a disk is full for example."""


#: Where results go while stdout is kept for them alone; None: to `sys.stdout`.
_results: TextIO | None = None
#: Makes records of what goes to stderr; None: it is printed as it is.
_record: Callable[[str, str], str] | None = None


def stdout() -> TextIO:
    """Where results go."""
    return _results or sys.stdout


@contextmanager
def results_in(stream: TextIO) -> Iterator[None]:
    """Let results go to `stream`."""
    global _results
    before, _results = _results, stream
    try:
        yield
    finally:
        _results = before


@contextmanager
def results_alone() -> Iterator[None]:
    """Keep stdout for results: what a plugin or a library prints goes to stderr, that of C code too."""
    with stdout_for_results() as stream, results_in(stream):
        yield


def coloured(stream: TextIO) -> bool:
    """Whether a stream gets colours: as NO_COLOR or FORCE_COLOR say, else if its terminal has them."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return can_move(stream)


def can_move(stream: TextIO) -> bool:
    """Whether the cursor can be moved on `stream`: lines at the bottom of a terminal can change."""
    if not stream.isatty() or os.environ.get("TERM", "") in ("dumb", "unknown"):
        return False
    if os.name != "nt":
        return True
    from rich.console import detect_legacy_windows

    return not detect_legacy_windows()


def size_of(stream: TextIO) -> os.terminal_size:
    """The columns and lines of the terminal that `stream` is, as they are now."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):  # not a terminal, or not a file
        size = os.terminal_size((0, 0))
    # A terminal that does not know its size has 0 columns.
    return size if size.columns and size.lines else shutil.get_terminal_size()


@contextmanager
def writing(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(name, error) from error


def unwritable(name: str, error: OSError) -> Unwritable:
    """The error for what cannot be printed to `name`."""
    return Unwritable(
        f"{name}: it cannot be written ({error.strerror}); make room, or write to another place"
    )


def echo(text: str = "") -> None:
    """A line on stdout."""
    with writing("stdout"):
        _write(stdout(), text)


def note(text: str, level: str = "info") -> None:
    """A line on stderr, or a record of the `level`. If it cannot be written, the exit status alone tells."""
    note_line(text if _record is None else _record(level, click.unstyle(text)))


def note_line(text: str) -> None:
    """A line on stderr, whatever the format of the log is."""
    with suppress(OSError):
        _write(sys.stderr, text)


def record_with(form: Callable[[str, str], str] | None) -> None:
    """Let `form` make a line of each message's level and text from now on; None: they are lines already."""
    global _record
    _record = form


def _write(stream: TextIO, text: str) -> None:
    # Not `click.echo`, which would write past the status line of a terminal.
    # An error of a plugin may hold what it sent.
    stream.write(redact(text if coloured(stream) else click.unstyle(text)) + "\n")
    stream.flush()


def fail(message: str, label: str = "error") -> None:
    """A message on stderr; a label that is not `error` is less alarming."""
    with suppress(OSError, AttributeError):  # full, or closed
        stdout().flush()
    if _record is not None:
        note(clean(message), label if label in ("error", "warning") else "info")
        return
    colour = "red" if label == "error" else "yellow"
    note(f"{click.style(label + ':', fg=colour, bold=True)} {clean(message)}")


def fail_with(error: PyscraiError) -> None:
    """An error of ours on stderr, each mistake of a scenario on a line of its own."""
    for one in error.mistakes if isinstance(error, ScenarioError) else (error,):
        fail(str(one))


def print_json(value: Any) -> None:
    """One JSON value on stdout, in UTF-8 whatever the terminal speaks."""
    import orjson

    write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def write_bytes(data: bytes) -> None:
    """Bytes on stdout, behind what was printed before."""
    with writing("stdout"):
        stdout().flush()
        buffer = getattr(stdout(), "buffer", None)
        if buffer is None:  # text is collected for a pager
            stdout().write(redact_bytes(data).decode())
            return
        buffer.write(redact_bytes(data))
        buffer.flush()


def mute() -> None:
    """Send what is still printed nowhere: the reader of stdout is gone, or its disk is full."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, stdout().fileno())
    os.close(nowhere)


def status(word: str) -> str:
    """A status word in its colour."""
    return click.style(word, fg=COLOURS.get(word))


def heading(text: str) -> None:
    echo(click.style(text, bold=True))


def pairs(items: Iterable[tuple[str, str]], indent: str = "") -> None:
    """Names and values, one pair a line, the values aligned."""
    from rich.cells import cell_len

    listed = [(clean(name), value) for name, value in items]
    width = max((cell_len(name) for name, _ in listed), default=0)
    for name, value in listed:
        padding = " " * (width - cell_len(name))
        hanging = "\n" + " " * (len(indent) + width + 2)
        echo(f"{indent}{click.style(name, dim=True)}{padding}  {value.replace(chr(10), hanging)}".rstrip())


def table(head: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Rows in columns; a column whose cells are all numbers is set to the right.

    On a terminal that is too narrow for all columns, each row is a paragraph with the names of its cells.
    """
    # Measured without the colours that `click.style` adds.
    wide = [[_width(cell) for cell in row] for row in (head, *rows)]
    widths = [max(column) for column in zip(*wide, strict=True)]
    columns = size_of(stdout()).columns if stdout().isatty() else 0
    if columns and len(indent) + sum(widths) + 2 * (len(widths) - 1) > columns:
        for row in rows:
            _paragraph(head, row, indent, columns)
        return
    right = [
        bool(rows) and all(re.fullmatch(r"[\d,.]*", click.unstyle(row[index])) for row in rows)
        for index in range(len(head))
    ]
    for number, row in enumerate(([click.style(cell, dim=True) for cell in head], *rows)):
        cells = []
        for index, cell in enumerate(row):
            padding = " " * (widths[index] - wide[number][index])
            cells.append(padding + cell if right[index] else cell + padding)
        echo((indent + "  ".join(cells)).rstrip())


def _paragraph(head: Sequence[str], row: Sequence[str], indent: str, columns: int) -> None:
    """A row of a table in lines of so many columns: its first cell, then the others that are not empty."""
    named = [
        f"{click.style(name, dim=True)} {cell}" if name else cell
        for name, cell in zip(head[1:], row[1:], strict=True)
        if click.unstyle(cell) not in ("", "-")
    ]
    line = indent + (row[0] or head[0])
    for cell in named:
        if _width(line) + 2 + _width(cell) > columns:
            echo(line)
            line = f"{indent}  {cell}"
        else:
            line += f"  {cell}"
    echo(line)


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(click.unstyle(text))


def shown(value: Any) -> str:
    """A JSON value in one line: a string by its words, the rest as JSON."""
    import orjson

    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return " ".join(clean(text).split())


def show_outcomes(values: dict[str, Any]) -> None:
    """The outcomes of a run, aligned, if there are any."""
    if values:
        heading("outcomes")
        pairs(((name, shown(value)) for name, value in values.items()), indent="  ")


def summary(
    run: str,
    run_status: str,
    fingerprint: str,
    *,
    steps: int,
    events: int,
    calls: str,
    usage: Usage,
    cost: Cost,
    outcomes: dict[str, Any],
    more: Sequence[tuple[str, str]] = (),
) -> None:
    """What a run came to, between two empty lines."""
    echo()
    pairs(
        [
            ("run", f"{click.style(run, bold=True)}  {status(run_status)}"),
            ("fingerprint", fingerprint[:SHORT] or "none yet"),
            ("size", f"{counted(steps, 'step')}, {counted(events, 'event')}, {calls}"),
            ("tokens", tokens(usage.to_dict())),
            ("cost", money(cost)),
            *more,
        ]
    )
    show_outcomes(outcomes)
    echo()


def money(cost: Cost) -> str:
    """`$0`, `$0.0123`, `unknown`, or `$0.0123 and 2 calls of unknown price`."""
    digits = 0 if not cost.dollars else 4 if cost.dollars < 1 else 2
    known = f"${cost.dollars:,.{digits}f}"
    if not cost.unpriced:
        return known
    return f"{known} and {counted(cost.unpriced, 'call')} of unknown price" if cost.dollars else "unknown"


def tokens(usage: dict[str, int | bool]) -> str:
    """`1,234 in (81 % cached), 56 out`."""
    cached = f" ({share(usage)} cached)" if usage["cached_tokens"] else ""
    estimated = " (partly estimated: not reported by the vendor)" if usage["estimated"] else ""
    return f"{usage['input_tokens']:,} in{cached}, {usage['output_tokens']:,} out{estimated}"


def share(usage: dict[str, int | bool]) -> str:
    """The share of the input tokens that came from the vendor's cache: `81 %`."""
    return f"{usage['cached_tokens'] / usage['input_tokens']:.0%}".replace("%", " %")


def counted(number: int, thing: str) -> str:
    """`1 call`, `1,200 calls`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def truncated(number: int) -> str:
    """`2 answers were cut off at max_tokens`."""
    return f"{counted(number, 'answer')} {'was' if number == 1 else 'were'} cut off at max_tokens"


def duration(seconds: float) -> str:
    """`4.2 s`, `3:05`, `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(seconds: float) -> str:
    """A time of day as the person's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def path(name: str) -> str:
    """A path as a person at this place would write it."""
    try:
        relative = os.path.relpath(name)
    except ValueError:  # on another drive
        return clean(name)
    return clean(name if relative.startswith("..") else relative)


class Hints:
    """Commands to try next, for one run in one store."""

    def __init__(self, store: str | None) -> None:
        self._store = f" --store {shlex.quote(store)}" if store else ""

    def command(self, name: str, run: str, rest: str = "") -> str:
        return f"pyscrai {name} {run}{' ' if rest else ''}{rest}{self._store}"

    def filled(self, text: str, run: str) -> str:
        """An error with the run's own commands in place of those with RUN."""
        return re.sub(r"pyscrai (\w+) RUN\b", rf"pyscrai \1 {run}{self._store}", text)

    def resume(self, run: str, error: str) -> str:
        """How to continue with a run; one that spent a budget needs a larger one."""
        spent = re.search(r"--set (\S+)=…", error)
        undecided = "--on-uncertain retry|skip" if "--on-uncertain" in error else ""
        return self.command("resume", run, spent[0] if spent else undecided)

    def next(self, run: str, run_status: str, error: str) -> list[tuple[str, str]]:
        """What a person would do with a run in this state, each with the command."""
        if run_status == "completed":
            return [
                ("inspect", self.command("show", run)),
                ("verify", self.command("replay", run)),
                ("change", self.command("fork", run, "--at SEQ --set PATH=VALUE")),
            ]
        return [("continue", self.resume(run, error)), ("inspect", self.command("show", run))]
