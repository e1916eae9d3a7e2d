"""Assembles the tool calls of a streamed answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyscrai_core.vendors import tool_arguments

#: Fields of a tool call that must be sent back as they came: Gemini's signatures of its thoughts.
SENT_BACK = ("extra_content",)


class StreamedCalls:
    """Assembles the tool calls of a streamed answer of OpenAI's chat interface.

    Servers differ: some repeat the name in each piece, some give all calls the same index, the same id, or
    none, and some a new id to each piece.
    """

    def __init__(self) -> None:
        #: The calls in the form that they have without a stream.
        self.calls: list[dict[str, Any]] = []
        #: The last call with each index, and with each id.
        self._by_index: dict[Any, dict[str, Any]] = {}
        self._by_id: dict[Any, dict[str, Any]] = {}

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add a piece, which has `index`, `id` and `function` (`name`, `arguments`), or some of them."""
        call_id, index = piece.get("id"), piece.get("index")
        index = index if isinstance(index, int) else None
        call_id = call_id if isinstance(call_id, str | int) else None
        function = piece.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        call = self._find(call_id, index, name, arguments)
        if call is None:
            call = {"index": index, "id": "", "function": {"name": "", "arguments": ""}}
            self.calls.append(call)
            self._by_index[index] = call
        if call_id:
            self._by_id[call_id] = call
        known = call["function"]
        call["id"] = call["id"] or call_id or ""
        if name != known["name"]:
            known["name"] += name
        if arguments and known["arguments"].strip() == "{}":
            known["arguments"] = ""  # some gateways begin with an empty object
        known["arguments"] += arguments
        call |= {key: piece[key] for key in SENT_BACK if piece.get(key)}

    def _find(self, call_id: Any, index: Any, name: str, arguments: str) -> dict[str, Any] | None:
        """The call that a piece belongs to; None: it begins a new one."""
        if not self.calls or (index is not None and index not in self._by_index):
            return None
        known = self._by_id.get(call_id) if call_id else None
        same = known is not None and index in (None, known["index"])
        call = (
            known
            if known is not None and same
            else self.calls[-1]
            if index is None
            else self._by_index[index]
        )
        function = call["function"]
        # A new id alone begins nothing: a piece without a name goes on with the call.
        another = bool(not same and call_id and call["id"] and name)
        begins = bool(
            name and (arguments or name != function["name"]) and _is_complete(function["arguments"])
        )
        return None if another or begins else call


def _is_complete(arguments: str) -> bool:
    value = tool_arguments(arguments)
    return isinstance(value, dict) and value != {}
