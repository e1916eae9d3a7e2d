"""Reads the replies of a scenario."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

from pyscrai_core import estimate_tokens


@frozen
class ToolUse:
    """A tool call in a reply."""

    name: str
    arguments: dict[str, Any]


@frozen
class Reply:
    """A reply.

    `tokens` is its estimated number of tokens. `then` is the next reply after the tools in `calls` answered.
    """

    text: str
    tokens: int
    calls: tuple[ToolUse, ...] = ()
    then: Reply | None = None


def plain(text: str) -> Reply:
    """A reply with only a text."""
    return Reply(text, estimate_tokens(text))


def json_text(value: Any, where: str) -> str:
    """`value` as JSON, with unchanged order of keys. Raises `ValueError`, which names `where`."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        # Values that JSON would change (a number as a key, a tuple) are not allowed.
        same = json.loads(text) == value
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where}: this is not JSON ({error}); use a text or plain data") from None
    if not same:
        raise ValueError(f"{where}: {value!r} is not JSON; use lists, and mappings with texts as keys")
    return text


def read_reply(value: Any, where: str, then: bool = False) -> Reply:
    """Read a reply: a text, a mapping with `tool_calls`, or any other value, which is sent as JSON.

    `then` is whether the reply may have the key `then`. Raises `ValueError`, which names `where`.
    """
    if value is None:
        raise ValueError(f"{where}: it is empty; use a text, a mapping or a list")
    if isinstance(value, dict) and "tool_calls" in value:
        return _read_tool_use(value, where, then)
    text = json_text(value, where)
    return plain(value if isinstance(value, str) else text)


def _read_tool_use(value: dict[str, Any], where: str, then: bool) -> Reply:
    for key in value:
        if key not in ("tool_calls", "text", "then"):
            raise ValueError(f"{where}: unknown key {key!r} beside tool_calls, expected text or then")
    text = value.get("text", "")
    if not isinstance(text, str):
        raise ValueError(f"{where}.text: expected a text, not {text!r}")
    uses = value["tool_calls"]
    if not isinstance(uses, list) or not uses:
        raise ValueError(f"{where}.tool_calls: expected a list of {{name, arguments}}, not {uses!r}")
    calls, written = [], [text]
    for index, use in enumerate(uses):
        place = f"{where}.tool_calls[{index}]"
        if not isinstance(use, dict) or not use.keys() <= {"name", "arguments"}:
            raise ValueError(f"{place}: expected {{name, arguments}}, not {use!r}")
        name, arguments = use.get("name"), use.get("arguments", {})
        if not isinstance(name, str) or not name:
            raise ValueError(f"{place}.name: expected the name of a tool, not {name!r}")
        if not isinstance(arguments, dict):
            raise ValueError(f"{place}.arguments: expected a mapping, not {arguments!r}")
        written += [name, json_text(arguments, f"{place}.arguments")]
        calls.append(ToolUse(name, arguments))
    following = None
    if "then" in value:
        if not then:
            raise ValueError(
                f"{where}.then: only `replies` can have `then`; use a pattern for the tool's result"
            )
        following = read_reply(value["then"], f"{where}.then", then=True)
    return Reply(text, estimate_tokens("".join(written)), tuple(calls), following)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def truncated(text: str) -> str:
    """The first half of a JSON text, or less, so that it is invalid JSON."""
    cut = text[: len(text) // 2]
    while cut and _is_json(cut):
        cut = cut[:-1]
    return cut


def is_truncated(text: str) -> bool:
    """Whether `text` begins like JSON but is invalid."""
    return text.startswith(("{", "[", '"')) and not _is_json(text)
