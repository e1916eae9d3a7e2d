"""Replies: from what a scenario writes to what a completion needs."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

from pyscrai_core import estimate_tokens


@frozen
class ToolUse:
    """A call of a tool that a reply asks for."""

    name: str
    arguments: dict[str, Any]


@frozen
class Reply:
    """An answer, ready to be sent.

    `tokens` is the estimate of its length; `then` is the reply that follows once the tools of `calls`
    have answered.
    """

    text: str
    tokens: int
    calls: tuple[ToolUse, ...] = ()
    then: Reply | None = None


def plain(text: str) -> Reply:
    """The reply that consists of `text`."""
    return Reply(text, estimate_tokens(text))


def json_text(value: Any, where: str) -> str:
    """`value` as JSON, keys in their written order; a `ValueError` that names `where` if it is not JSON."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        # What JSON would change on the way (a key that is a number, a tuple) is a mistake here.
        same = json.loads(text) == value
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where}: this is not JSON ({error}); write a text or plain data") from None
    if not same:
        raise ValueError(f"{where}: {value!r} is not JSON; write lists, and mappings with texts as keys")
    return text


def read_reply(value: Any, where: str, then: bool = False) -> Reply:
    """The reply that `value` stands for: a text is itself, `tool_calls` is a use of tools, the rest is JSON.

    `then` tells whether the reply may say what follows after its tools. Raises `ValueError`, which names
    the place `where`.
    """
    if value is None:
        raise ValueError(f"{where}: this is empty; write a text, a mapping or a list")
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
                f"{where}.then: only `replies` can say what follows; use a pattern on the tool's result"
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
    """The first half of a JSON text, or less, so that it is no longer JSON."""
    cut = text[: len(text) // 2]
    while cut and _is_json(cut):
        cut = cut[:-1]
    return cut


def is_cut(text: str) -> bool:
    """Whether `text` begins as JSON and does not end as JSON."""
    return text.startswith(("{", "[", '"')) and not _is_json(text)
