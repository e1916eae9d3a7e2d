"""Messages of requests and answers."""

from __future__ import annotations

import pytest

from pyscrai_records.canonical import canonical, digest
from pyscrai_records.messages import Message, Text, Thinking, ToolCall


@pytest.mark.parametrize(
    "message",
    [
        Message.user(""),
        Message.system('Say "no" \\ \n\t\x01 é \u2028 😀'),
        Message("assistant", (Text("a"), Text("b"))),
        Message("assistant", (ToolCall("1", "weigh", {"of": "apples"}),)),
        Message("assistant", (Thinking("hm"),)),
        Message("tool", ()),
    ],
)
def test_its_canonical_form_is_that_of_its_data(message: Message) -> None:
    assert message.to_json() == canonical(message.to_dict())
    assert message.digest == digest(message.to_json())
