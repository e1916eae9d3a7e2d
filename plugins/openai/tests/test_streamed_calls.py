"""Tool calls that come in pieces, as many servers send them."""

from __future__ import annotations

from typing import Any

import pytest

from pyscrai_openai.streamed_calls import StreamedCalls

APPLES, PEARS = '{"of":"apples"}', '{"of":"pears"}'


def piece(index: Any, call_id: Any, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"index": index, "id": call_id, "function": function}


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(0, "c", "stock", APPLES), piece(1, "c", "stock", PEARS)],
        [
            *(piece(0, "c", "stock", APPLES[:5]), piece(1, "c", "stock", PEARS[:5])),
            *(
                piece(0, "c", None, APPLES[5:]),
                piece(1, "c", None, PEARS[5:]),
            ),
        ],
        [
            *(
                piece(0, "a1", "stock", ""),
                piece(0, "a2", None, APPLES[:9]),
                piece(0, "a3", None, APPLES[9:]),
            ),
            *(piece(1, "b1", "stock", PEARS),),
        ],
        [piece(0, "a", "stock", APPLES), piece(0, "b", "stock", PEARS)],
        [piece(None, "a", "stock", APPLES), piece(None, "b", "stock", PEARS)],
        [
            *(piece(None, "a", "stock", APPLES[:5]), piece(None, "b", "stock", PEARS[:5])),
            *(
                piece(None, "a", None, APPLES[5:]),
                piece(None, "b", None, PEARS[5:]),
            ),
        ],
        [piece(0, None, "stock", APPLES), piece(0, None, "stock", PEARS)],
        [  # some gateways begin with an empty object
            *(piece(0, "a", "stock", "{}"), piece(0, "a", None, APPLES[:5]), piece(0, "a", None, APPLES[5:])),
            *(piece(1, "b", "stock", "{}"), piece(1, "b", "stock", PEARS)),
        ],
        [piece(None, "c", "stock", APPLES), piece(None, "c", "stock", PEARS)],
        [
            *(piece(None, "c", "stock", APPLES[:5]), piece(None, "c", "stock", APPLES[5:])),
            *(piece(None, "c", "stock", PEARS[:5]), piece(None, "c", "stock", PEARS[5:])),
        ],
    ],
)
def test_calls_stay_apart_and_whole(pieces: list[dict[str, Any]]) -> None:
    calls = StreamedCalls()
    for one in pieces:
        calls.add(one)
    assert [call["function"] for call in calls.calls] == [
        {"name": "stock", "arguments": APPLES},
        {"name": "stock", "arguments": PEARS},
    ]
