"""The calls of a run: what was asked, and the answer as it came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from pyscrai_core import StoreError
from pyscrai_records.store.checksums import read_body
from pyscrai_records.store.store import Store

from .events import one, shortened
from .reading import find
from .replies import Refused

COLUMNS = (
    "number", "agent", "step", "path", "kind", "target", "provider", "model", "status", "error", "detail",
    "started", "seconds", "queued", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens",
    "estimated", "cost", "finish_reason", "reused", "seed", "attempts", "answer", "request",
)  # fmt: skip
PLAIN = ("number", "agent", "step", "path", "kind", "target", "model", "status", "error")
_LISTED = ",".join(f'"calls"."{name}"' for name in COLUMNS)
#: A call of a tool, or a question to a person, is kept like a message.
SELECT = f"""SELECT {_LISTED}, CASE WHEN "kind" IN ('tool','ask') THEN "messages"."body" END
    FROM "calls" LEFT JOIN "messages" ON "messages"."digest"="calls"."request" WHERE "run"=?"""


def listed(
    store: Store, run: str, wanted: dict[str, Any], limit: int, before: int | None = None
) -> dict[str, Any]:
    """The latest calls with these values, newest first, up to `limit` of them with numbers below `before`.

    Raises `Refused` if there is no such run.
    """
    find(store, run)
    conditions = ""
    values: list[Any] = [run]
    for column, value in wanted.items():
        if column == "provider":
            conditions += ' AND ("provider"=? OR ("provider"=\'\' AND "target"=?))'
            values.append(value)
        else:
            conditions += f' AND "{column}"=?'
        values.append(value)
    if before is not None:
        conditions += ' AND "number"<?'
        values.append(before)
    query = f'{SELECT}{conditions} ORDER BY "number" DESC LIMIT ?'
    rows = store.connection.execute(query, [*values, limit + 1]).fetchall()
    found = [_call(row) for row in rows[:limit]]
    return {"calls": found, "next": found[-1]["number"] if len(rows) > limit else None}


def behind(store: Store, run: str, seq: int) -> dict[str, Any]:
    """The calls that were made in the step by the source of an event, in their order."""
    event = one(store, run, seq, ())
    query = f'{SELECT} AND "agent"=? AND "step"=? ORDER BY "number"'
    rows = store.connection.execute(query, (run, event["source"], event["step"]))
    return {"calls": [_call(row) for row in rows]}


def whole(store: Store, run: str, number: int) -> dict[str, Any]:
    """A call with exactly what was sent, and the answer as it was journaled. Raises `Refused`."""
    row = store.connection.execute(f'{SELECT} AND "number"=?', (run, number)).fetchone()
    if row is None:
        raise Refused(f"call {number}: run {run} has no such call", 404)
    call = _call(row, whole=True)
    values = dict(zip(COLUMNS, row, strict=False))
    recorded = find(store, run)
    call |= {
        "messages": [], "schema": None, "tools": [], "sampling": {}, "asked": None,
        "raw": orjson.loads(values["answer"]) if values["answer"] else None,
        "attempts": orjson.loads(values["attempts"]), "seed": values["seed"],
    }  # fmt: skip
    try:
        if values["kind"] == "complete":
            frame = recorded.frame(number)
            messages = recorded.messages(number)
            call |= {
                "messages": [{**one.to_dict(), "tokens": one.tokens} for one in messages],
                **{key: frame[key] for key in ("schema", "tools", "sampling")},
            }
        elif values["kind"] not in ("now", "input"):
            call["asked"] = recorded.body(number)
    except (StoreError, LookupError) as error:
        # An older or damaged store: what is there is shown, with what is missing.
        call["missing"] = str(error)
    return call


def _call(row: Sequence[Any], whole: bool = False) -> dict[str, Any]:
    call = dict(zip(COLUMNS, row, strict=False))
    answer: Any = orjson.loads(call["answer"]) if call["answer"] else None
    asked = read_body(bytes(row[-1])) if row[-1] is not None else None
    completed = call["kind"] == "complete" and isinstance(answer, dict)
    keep: Callable[[Any], Any] = (lambda value: value) if whole else shortened
    return {
        **{key: call[key] for key in PLAIN},
        "turn": call["path"].partition("/")[0],
        "provider": call["provider"] or call["target"],
        "detail": keep(call["detail"]),
        "started": call["started"],
        "latency": call["seconds"],
        "queued": call["queued"],
        "usage": {
            "input": call["input_tokens"], "output": call["output_tokens"], "cached": call["cached_tokens"],
            "cache_write": call["cache_write_tokens"], "estimated": bool(call["estimated"]),
            "unknown": completed and not (call["input_tokens"] or call["output_tokens"] or call["reused"]),
        },
        "dollars": call["cost"],
        "reused": call["reused"],
        "finish_reason": call["finish_reason"],
        "truncated": call["finish_reason"] == "length",
        "attempts": len(orjson.loads(call["attempts"])),
        "text": keep(answer["text"]) if completed else None,
        "thinking": keep("\n\n".join(part["text"] for part in answer["thinking"])) if completed else "",
        "tool_calls": keep(answer["tool_calls"]) if completed else [],
        "tool": _tool(call, asked, answer, keep) if call["kind"] == "tool" else None,
        "answer": None if completed or call["kind"] == "tool" else keep(answer),
    }  # fmt: skip


def _tool(call: dict[str, Any], asked: Any, answer: Any, keep: Any) -> dict[str, Any]:
    """A tool's call: its name, what it was given, and what it gave or how it failed."""
    given = asked if isinstance(asked, dict) else {}
    result, error = answer, call["detail"] or None
    if isinstance(answer, dict) and answer.keys() == {"drafts", "result"}:
        result = answer["result"]
    return {
        "name": given.get("tool", call["target"]), "arguments": keep(given.get("arguments")),
        "result": keep(result), "error": error,
    }  # fmt: skip
