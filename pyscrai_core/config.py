"""Settings: `pyscrai.toml`, overridden by the environment, overridden by the command's options.

::

    # pyscrai.toml, in the current folder or a folder above it
    store = "runs.db"                  # PYSCRAI_STORE, --store
    plugins = ["llamacpp", "cast"]     # load only these; PYSCRAI_PLUGINS=llamacpp,cast
    disable = ["tables"]               # do not load these; PYSCRAI_DISABLE
    observers = ["my-sink"]            # called for every run; PYSCRAI_OBSERVERS
                                       # with options: [{use = "my-sink", path = "runs.log"}]

    [providers.default]                # defaults for scenarios
    use = "llamacpp"
    model = "smollm2"

    [prices."my-model"]                # US dollars for a million tokens; overrides price lists
    input = 0.25
    output = 2.0
    cached = 0.025                     # if it differs from input; cache_write too
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from pyscrai_records.base.files import read_file
from pyscrai_records.base.first_use import tell_first_uses
from pyscrai_records.base.private import is_private
from pyscrai_records.base.suggest import unknown_key
from pyscrai_records.canonical import check_json
from pyscrai_records.errors import ConfigError
from pyscrai_records.records import Price

from .plugins import Host

FILE = "pyscrai.toml"
#: The default store, relative to the folder of `pyscrai.toml` or the current folder.
DEFAULT_STORE = ".pyscrai/runs.db"
_EXPECTED = {
    "store": "a path or URL",
    "providers": "tables, such as [providers.default]",
    "observers": 'a list of names, or of tables such as {use = "my-sink", path = "runs.log"}',
    "prices": 'tables, such as [prices."gpt-5-mini"]',
}


@frozen
class Settings:
    """The settings in force. `store` is a path or URL; `source` the file that was read, if any."""

    store: str
    plugins: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    #: Names, or tables with the name as `use`, and options.
    observers: tuple[str | dict[str, Any], ...] = ()
    providers: dict[str, dict[str, Any]] = field(factory=dict)
    prices: dict[str, Price] = field(factory=dict)
    source: Path | None = None
    #: A `pyscrai.toml` that is not used, because others could have written it.
    ignored: Path | None = None

    def host(self, *, extra: Sequence[object] = ()) -> Host:
        """Return a host with the plugins that these settings select, and `extra`."""
        return Host(plugins=self.plugins, disable=self.disable, extra=extra)


def load_settings(
    *,
    store: str | None = None,
    environment: Mapping[str, str] | None = None,
    start: Path | None = None,
    tell: bool = True,
) -> Settings:
    """Load the settings for the folder `start` (default: the current one). Raises `ConfigError`.

    With `tell`, a warning says which files that were found there take effect for the first time.
    """
    environment = os.environ if environment is None else environment
    start = (start or Path.cwd()).resolve()
    file = next((folder / FILE for folder in (start, *start.parents) if os.path.isfile(folder / FILE)), None)
    ignored = None
    if file and not (is_private(file.parent) and is_private(file)):
        file, ignored = None, file
    given = _read(file) if file else {}
    base = file.parent if file else start
    chosen = given.get("store")
    if chosen is not None and "://" not in chosen:
        chosen = str(base / Path(chosen).expanduser())
    listed = {
        key: _listed(environment.get(f"PYSCRAI_{key.upper()}"), given.get(key))
        for key in ("plugins", "disable", "observers")
    }
    settings = Settings(
        store=store or environment.get("PYSCRAI_STORE") or chosen or str(base / DEFAULT_STORE),
        plugins=listed["plugins"],
        disable=listed["disable"] or (),
        observers=listed["observers"] or (),
        providers=given.get("providers", {}),
        prices=given.get("prices", {}),
        source=file,
        ignored=ignored,
    )
    if tell:
        named = bool(store or environment.get("PYSCRAI_STORE")) or "://" in settings.store
        tell_first_uses(start, ignored, file, None if named else Path(settings.store))
    return settings


def _listed(variable: str | None, given: list[Any] | None) -> tuple[Any, ...] | None:
    if variable is not None:
        return tuple(part.strip() for part in variable.split(",") if part.strip())
    return None if given is None else tuple(given)


def _read(file: Path) -> dict[str, Any]:
    try:
        text = read_file(file).decode()
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: it is not TOML: {error}; correct the line") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: it is not UTF-8 text ({error.reason}); save it in UTF-8") from None
    except OSError as error:
        raise ConfigError(
            f"{file}: it cannot be read: {error.strerror}; check its permissions and the path"
        ) from None
    known = {option.name for option in attrs.fields(Settings)} - {"source", "ignored"}
    for key, value in given.items():
        where = f"{file}{_line(text, key)}"
        if key not in known:
            raise ConfigError(f"{where}: {unknown_key(key, known)}")
        if key == "store":
            fits = isinstance(value, str) and bool(value.strip())
        elif key in ("providers", "prices"):
            part_types = (dict, str) if key == "providers" else dict
            fits = isinstance(value, dict) and all(isinstance(part, part_types) for part in value.values())
        else:
            names = value if isinstance(value, list) else [None]
            if key == "observers":
                names = [part.get("use") if isinstance(part, dict) else part for part in names]
            fits = all(isinstance(name, str) and name for name in names)
        if not fits:
            expected = _EXPECTED.get(key, "a list of names")
            raise ConfigError(f"{where}: {key}: expected {expected}, got {value!r}")
    for name, options in given.get("providers", {}).items():
        if isinstance(options, str):  # a name is short for `{use = NAME}`
            given["providers"][name] = {"use": options}
        try:
            check_json(options, f"providers.{name}")
        except ValueError as error:  # TOML has dates, and numbers that are not finite
            raise ConfigError(f"{file}: {error}; expected text, numbers, true, false and lists") from None
    for model, price in given.get("prices", {}).items():
        line = _line(text, "prices", model) or _line(text, "prices")
        given["prices"][model] = _price(f'{file}{line}: prices."{model}"', price)
    return given


def _price(where: str, given: dict[str, Any]) -> Price:
    keys = [option.name for option in attrs.fields(Price)]
    for name, number in given.items():
        if name not in keys:
            raise ConfigError(f"{where}: {unknown_key(name, keys)}")
        if type(number) not in (int, float) or not 0 <= number < float("inf"):
            expected = "US dollars for a million tokens, 0 or more"
            raise ConfigError(f"{where}.{name}: expected {expected}, got {number!r}")
    for name in ("input", "output"):
        if name not in given:
            raise ConfigError(f"{where}: the key {name!r} is missing; expected input and output")
    return Price(**given)


def _line(text: str, *keys: str) -> str:
    """`:LINE` of a key of the top level, or of one below it; empty if it is not found."""
    path = r"[ \t]*\.[ \t]*".join(rf"[\"']?{re.escape(key)}[\"']?" for key in keys)
    found = re.search(rf"^[ \t]*\[{{0,2}}[ \t]*{path}[ \t]*[=.\]]", text, re.MULTILINE)
    return f":{text.count(chr(10), 0, found.start()) + 1}" if found else ""
