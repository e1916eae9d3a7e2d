"""The log: what the kernel, plugins and runs tell of themselves, as lines of text or JSON.

Warnings and errors go to stderr in any case. The whole log goes to `--log-file`; without one, and with
`--log-format json`, to stderr.
"""

from __future__ import annotations

import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, get_args

from loguru import logger

from pyscrai_core import CallRecord, ConfigError, Event, RunResult, RunStatus
from pyscrai_core.contracts import NoConfig, Observer
from pyscrai_records.base.files import append_file
from pyscrai_records.secret import redact

from . import output

Format: TypeAlias = Literal["text", "json"]
VARIABLE = "PYSCRAI_LOG_FORMAT"
#: What comes first in a record, where it is known.
BOUND = ("run", "step", "agent")


class Log:
    """Where the log of this process goes, and in which format.

    form
        as the person chose it; None: text on stderr, JSON in a file
    """

    def __init__(self, debug: bool, form: Format | None) -> None:
        self.form = form
        self._debug = debug
        self._observers: list[Observer] | None = None

    @classmethod
    def from_environment(cls, debug: bool) -> Log:
        """Raises `ConfigError` if the environment variable names no format."""
        given = os.environ.get(VARIABLE) or None
        if given not in (None, *get_args(Format)):
            raise ConfigError(
                f"{VARIABLE}={given}: it is no format; expected {' or '.join(get_args(Format))}"
            )
        return cls(debug, given)  # type: ignore[arg-type]

    def to_stderr(self) -> None:
        """Warnings and errors in one line each; loguru's own sink goes."""
        logger.remove()
        output.record_with(_message if self.form == "json" else None)
        # What a plugin raised is logged with its traceback, also where the run's own error says it.
        logger.add(
            self._show,
            level="INFO" if self._debug else "WARNING",
            filter=lambda record: record["level"].no >= 30 or "traceback" in record["extra"],
            format="{message}",
            diagnose=False,
        )

    def observers(self, file: Path | None) -> list[Observer]:
        """What logs runs to `file`, or to stderr. Raises `ConfigError` if the file cannot be written."""
        if self._observers is None:
            self._observers = self._begin(file)
        return self._observers

    def _begin(self, file: Path | None) -> list[Observer]:
        if file is None:
            if self.form != "json":
                return []
            logger.remove()
            logger.add(
                self._show, level="DEBUG" if self._debug else "INFO", format="{message}", diagnose=False
            )
            return [RunLog()]
        try:
            # Opened here, so that what is written can be cleaned of secrets, tracebacks too.
            lines = _Lines(file, append_file(file), as_text if self.form == "text" else as_json)
        except OSError as error:
            raise ConfigError(
                f"--log-file {file}: it cannot be written ({error.strerror}); choose another place"
            ) from None
        logger.add(lines.write, level="DEBUG", format="{message}", diagnose=False)
        return [RunLog()]

    def _show(self, message: Any) -> None:
        record = message.record
        if self.form == "json":
            output.note_line(as_json(record))
            return
        output.fail(" ".join(record["message"].split()), label=record["level"].name.lower())
        if self._debug and (told := record["extra"].get("traceback")):
            output.note(told.rstrip())


def as_json(record: Any) -> str:
    """A record as one JSON object: `time`, `level`, `message`, `run`, `step`, `agent`, and other facts."""
    import orjson

    facts = {name: record["extra"][name] for name in BOUND if name in record["extra"]}
    begin = {"time": record["time"].isoformat(), "level": record["level"].name, "message": record["message"]}
    whole = {**begin, **facts, **record["extra"], **_raised(record)}
    return orjson.dumps(whole, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def as_text(record: Any) -> str:
    """A record in one line to read."""
    extra = {**record["extra"], **_raised(record)}
    told = extra.pop("traceback", "")
    facts = "".join(f" {name}={output.shown(_plain(value))}" for name, value in extra.items() if value != "")
    line = (
        f"{record['time']:%Y-%m-%d %H:%M:%S.%f} {record['level'].name:<7} {output.shown(record['message'])}"
    )
    return f"{line}{facts}" + (f"\n{told.rstrip()}" if told else "")


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, dict, list, type(None))) else repr(value)


def _raised(record: Any) -> dict[str, str]:
    """The traceback of what was logged as an exception. The variables in it stay out: they may be secrets."""
    error = record["exception"]
    return {"traceback": "".join(traceback.format_exception(error.value))} if error else {}


def _message(level: str, text: str) -> str:
    """A message of the command itself, in the form of a record."""
    import orjson

    now = datetime.now(UTC).astimezone().isoformat()
    return orjson.dumps({"time": now, "level": level.upper(), "message": text}).decode()


class _Lines:
    """A file that no secret reaches. If it cannot be written, that is said once, and the run continues."""

    def __init__(self, path: Path, file: IO[bytes], form: Any) -> None:
        self._path = path
        self._file = file
        self._form = form
        self._full = False

    def write(self, message: Any) -> None:
        if self._full:
            return
        try:
            self._file.write(redact(self._form(message.record) + "\n").encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._full = True
            what = f"--log-file {self._path}: it cannot be written ({error.strerror})"
            output.fail(f"{what}; make room: nothing more is logged", label="warning")


class RunLog(Observer):
    """What happens in a run as records of the log: facts and numbers, none of the words."""

    def __init__(self) -> None:
        super().__init__(NoConfig())
        self._logger: Any = logger

    def on_run(self, run: str, status: RunStatus, result: RunResult | None) -> None:
        self._logger = logger.bind(run=run)
        facts = {**(result.to_dict() if result else {}), "status": status}
        for words in ("outcomes", "measures", "tables"):
            facts.pop(words, None)
        self._logger.bind(**facts).info("run {}", status)

    def on_event(self, event: Event) -> None:
        agent = {} if event.source.startswith("@") else {"agent": event.source}
        facts = {"step": event.step, **agent, "seq": event.seq, "kind": event.kind, "source": event.source}
        self._logger.bind(**facts).debug("event {}", event.seq)

    def on_call(self, call: CallRecord) -> None:
        self._logger.bind(
            step=call.position.step,
            agent=call.position.agent,
            path=call.position.path,
            kind=call.kind,
            target=call.target,
            model=call.model,
            journaled=call.journaled,
            seconds=call.seconds,
            usage=call.usage.to_dict(),
            cost=call.cost,
            error=call.error,
            wait=call.wait,
        ).log("INFO" if call.status in ("failed", "waiting", "retrying") else "DEBUG", "call {}", call.status)
