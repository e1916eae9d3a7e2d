"""The arguments of tool calls, in the forms in which servers give them."""

from __future__ import annotations

from typing import Any

from pyscrai_records.base.strict_json import load_json


def tool_arguments(arguments: Any) -> Any:
    """The arguments of a tool call, decoded if they are the text of a JSON object; else as they came.

    A text may be encoded twice, as the text of a JSON string.
    """
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    if not arguments.strip():
        return {}
    try:
        value = load_json(arguments)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(value, str):
        inner = tool_arguments(value)
        return inner if isinstance(inner, dict) else arguments
    return value if isinstance(value, dict) else arguments
