"""Assembles a streamed answer."""

from __future__ import annotations

from typing import Any

from pyscrai_core.vendors import visible_text


class Stream:
    """Assembles the events of a stream into an answer in the form that it has without a stream.

    Events without an index belong to the block that began last.
    """

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}
        self._blocks: dict[Any, dict[str, Any]] = {}
        self._last: dict[str, Any] = {}
        self._complete = False

    @property
    def begun(self) -> bool:
        """Whether there was any part of an answer."""
        return bool(self.answer)

    def add(self, event: dict[str, Any]) -> str:
        """Add an event. Returns the text of the answer that it contains."""
        match event.get("type"):
            case "message_start":
                self.answer = event["message"]
            case "content_block_start":
                self._last = self._blocks[event.get("index")] = dict(event["content_block"])
                if not isinstance(self.answer.get("content"), list):
                    self.answer["content"] = []
                self.answer["content"].append(self._last)
            case "content_block_delta":
                return self._add_delta(self._blocks.get(event.get("index"), self._last), event["delta"])
            case "message_delta":
                self.answer |= event["delta"]
                before, counted = self.answer.get("usage") or {}, event.get("usage") or {}
                if isinstance(before, dict) and isinstance(counted, dict):
                    counted = {key: value for key, value in counted.items() if value is not None}
                    self.answer["usage"] = {**before, **counted}
            case "message_stop":
                self._complete = True
        return ""

    def _add_delta(self, block: dict[str, Any], delta: dict[str, Any]) -> str:
        match delta.get("type"):
            case "text_delta":
                block["text"] = block.get("text", "") + delta["text"]
                return visible_text(delta["text"])
            case "thinking_delta":
                block["thinking"] = block.get("thinking", "") + delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "input_json_delta" if delta["partial_json"]:
                before = block.get("input")
                block["input"] = (before if isinstance(before, str) else "") + delta["partial_json"]
        return ""

    def whole(self) -> dict[str, Any]:
        """The answer. Without a reason for its end, it is complete only if the server said so."""
        if not self.answer.get("stop_reason") and not self._complete:
            raise ValueError("the stream ended too early")
        return self.answer
