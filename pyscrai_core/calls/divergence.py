"""What an execution asked and what was recorded, side by side for a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from pyscrai_records.errors import StoreError
from pyscrai_records.messages import Message, Text, part_to_dict
from pyscrai_records.store.runs import RecordedRun

from ..plugins import Host
from ..scenario.manifest import Manifest

#: The most lines of a difference, and the most characters of a line.
LINES, WIDTH = 40, 300


def diff(old: Sequence[str], new: Sequence[str]) -> str:
    """The lines that differ, with one around them; `-` as recorded, `+` as it is now."""
    found = list(difflib.unified_diff(old, new, "recorded", "this execution", n=1, lineterm=""))
    shown = [line if len(line) <= WIDTH else f"{line[:WIDTH]}…" for line in found[:LINES]]
    if len(found) > LINES:
        shown.append(f"… and {len(found) - LINES} lines more")
    return "\n".join(shown) or "(it differs in what is not shown here)"


def render_completion(messages: Sequence[Message], frame: Mapping[str, Any]) -> list[str]:
    """A completion's request in lines: its frame (provider, schema, tools, sampling), then its messages."""
    lines = [line for key, value in frame.items() if value for line in _value(key, value)]
    for number, message in enumerate(messages, 1):
        lines.append(f"message {number}, {message.role}:")
        for part in message.parts:
            text = part.text if isinstance(part, Text) else _pretty(part_to_dict(part))
            lines.extend(f"  {line}" for line in text.splitlines())
    return lines


def render_body(body: Any) -> list[str]:
    """The request of another kind of call, in lines."""
    return _pretty(body).splitlines()


def render_recorded(run: RecordedRun, number: int, kind: str) -> list[str]:
    """What the journaled call `number` asked, in lines."""
    try:
        if kind == "complete":
            return render_completion(run.messages(number), run.frame(number))
        return render_body(run.body(number))
    except StoreError:  # an older version did not keep what was asked of tools
        return ["(what was asked is not kept)"]


def _value(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, (dict, list)):
        yield f"{key}:"
        yield from (f"  {line}" for line in _pretty(value).splitlines())
    else:
        yield f"{key}: {value}"


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()


def other_versions(recorded: RecordedRun, host: Host) -> str:
    """A line with the plugins that have other versions than when the run was executed last; empty if none."""
    now = {plugin.name: plugin.version for plugin in host.plugins if plugin.status == "loaded"}
    others = [
        f"{plugin['distribution']} was {plugin['version']} and is {now.get(plugin['name'], 'not there')}"
        for plugin in Manifest.from_dict(recorded.manifest).last_plugins
        if now.get(plugin["name"]) != plugin["version"]
    ]
    return f"\nother versions since: {', '.join(others)}" if others else ""
