"""JSON whose parts share other parts is counted as it would be written, before anything writes it."""

from __future__ import annotations

from typing import Any

import pytest

from pyscrai_records.base.frozen import MAX_SCHEMA_PARTS, freeze_schema
from pyscrai_records.canonical import MAX_PARTS, check_json


def doubled(value: Any, times: int, key: str = "") -> Any:
    """A value of `times` objects, each of which holds the one before twice."""
    for _ in range(times):
        value = {key: [value, value]} if key else [value, value]
    return value


# Few enough that a version which does not count them ends.
def test_a_value_with_shared_parts_is_refused() -> None:
    with pytest.raises(
        ValueError, match=f"payload: there are more than {MAX_PARTS:,} values in it, .*smaller"
    ):
        check_json({"a": doubled([1], 20)}, "payload")
    fits = {"a": doubled([1], 15), "b": [0] * (MAX_PARTS // 2)}
    assert check_json(fits, "payload") is fits


def test_a_schema_with_shared_parts_is_refused() -> None:
    schema = doubled({"type": "string"}, 19, "anyOf")
    with pytest.raises(ValueError, match=f"the JSON Schema: there are more than {MAX_SCHEMA_PARTS:,} values"):
        freeze_schema(schema)
    schema = doubled({"type": "string"}, 10, "anyOf")
    assert freeze_schema(schema) == schema


def test_data_that_holds_itself_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = {"again": schema}
    with pytest.raises(ValueError, match="the JSON Schema: there are more than"):
        freeze_schema(schema)
    with pytest.raises(ValueError, match="nested more than 200 times"):
        check_json(schema)
