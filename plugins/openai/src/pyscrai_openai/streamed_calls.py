"""Assembles the tool calls of a streamed answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyscrai_core.vendors import tool_arguments


class StreamedCalls:
    """Assembles the tool calls of a streamed answer of OpenAI's chat interface.

    Servers differ: some repeat the name in each piece, some give all calls the same index, or none.
    """

    def __init__(self) -> None:
        #: The calls in the form that they have without a stream.
        self.calls: list[dict[str, Any]] = []
        self._indexes: list[Any] = []

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a piece, which has `index`, `id` and `function` (`name`, `arguments`), or some of them."""
        call_id, index = piece.get("id"), piece.get("index")
        function = piece.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        call = self._find(call_id, index, name, arguments)
        if call is None:
            call = {"id": "", "function": {"name": "", "arguments": ""}}
            self.calls.append(call)
            self._indexes.append(index)
        known = call["function"]
        call["id"] = call["id"] or call_id or ""
        if name != known["name"]:
            known["name"] += name
        known["arguments"] += arguments

    def _find(self, call_id: Any, index: Any, name: str, arguments: str) -> dict[str, Any] | None:
        """The call that a piece belongs to; None: it begins a new one."""
        call: dict[str, Any]
        for call in reversed(self.calls):
            if call_id and call["id"] == call_id:
                return call
        same = [call for call, known in zip(self.calls, self._indexes, strict=True) if index in (None, known)]
        if not same:
            return None
        last: dict[str, Any] = same[-1]
        function = last["function"]
        another = bool(call_id and last["id"])
        begins = bool(
            name and (arguments or name != function["name"]) and _is_complete(function["arguments"])
        )
        return None if another or begins else last


def _is_complete(arguments: str) -> bool:
    return bool(arguments) and isinstance(tool_arguments(arguments), dict)
