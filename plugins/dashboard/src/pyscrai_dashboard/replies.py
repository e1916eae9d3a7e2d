"""Answers of the server: JSON without secrets, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from pyscrai_records.secret import redact_bytes

#: The longest body of a POST, in bytes.
LONGEST_BODY = 4_000_000


class Refused(Exception):
    """A request that cannot be answered. The message says what is wrong and what to do."""

    def __init__(self, message: str, status: int = 400, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.more = dict(more or {})


def encode(value: Any) -> bytes:
    """JSON for the page: the one way in which data leave the server, so that no secret does.

    Numbers that are not finite become null.
    """
    return redact_bytes(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))


def reply(value: Any, status: int = 200) -> Response:
    return Response(
        encode(value), status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


def failure(error: Refused) -> Response:
    return reply({"error": str(error), **error.more}, error.status)


# -- what a request says --


def number(request: Request, name: str, default: int, low: int = 0, high: int = 2**53) -> int:
    """A whole number of the query. Raises `Refused`."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    if not text.isascii() or not text.lstrip("-").isdigit() or len(text) > 17 or not low <= int(text) <= high:
        raise Refused(f"{name}: expected a whole number from {low} to {high}, not {text!r:.60}")
    return int(text)


async def object_of(request: Request) -> dict[str, Any]:
    """The JSON object of a POST. Raises `Refused`."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LONGEST_BODY:
            raise Refused(f"body: it has more than {LONGEST_BODY:,} bytes; send less", 413)
    try:
        found = orjson.loads(bytes(content) or b"{}")
    except orjson.JSONDecodeError as error:
        raise Refused(f"body: it is not JSON ({error}); send a JSON object") from None
    if not isinstance(found, dict):
        raise Refused("body: it is no JSON object; send one such as {}")
    return found


async def body_of(request: Request, *known: str) -> dict[str, Any]:
    """The JSON object of a POST, which has only `known` keys. Raises `Refused`."""
    found = await object_of(request)
    for key in found:
        if key not in known:
            listed = ", ".join(known) or "none"
            raise Refused(f"body: the key {key!r:.60} is not known; expected keys: {listed}")
    return found


def typed(
    body: Mapping[str, Any], key: str, kind: type | tuple[type, ...], words: str, default: Any = None
) -> Any:
    """A value of a body, of a type that `words` name. A boolean is no number. Raises `Refused`."""
    value = body.get(key, default)
    if value is default:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Refused(f"{key}: expected {words}, not {value!r:.60}")
    return value
