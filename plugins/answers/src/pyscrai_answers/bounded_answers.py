"""Answers over HTTP that are no larger than they may be, and come from nobody else."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from pyscrai_records.errors import AnswerRejected, Overloaded, RequestRejected
from pyscrai_records.records import Usage

#: The size of the largest answer of a model that is read, unless a scenario says otherwise.
MAX_ANSWER_BYTES = 4_000_000
#: How many bytes are decompressed at once.
_PIECE = 65_536


def bound_answers(stream_type: type[Any], limit: int) -> Callable[[Any], Awaitable[None]]:
    """An event hook for an httpx client: no request is sent on to where a server redirects to, and responses
    have at most `limit` bytes after decompression.

    `stream_type` is the library's `AsyncByteStream`. Have the client accept `gzip` alone. Reading a larger
    response raises `AnswerRejected`. The response's `stream.tail` has the last bytes that were read.
    """

    def too_large() -> AnswerRejected:
        error = AnswerRejected(
            f"the answer has more than {limit:,} bytes; if it is meant to be so long, raise the provider's "
            "option `max_answer_bytes`"
        )
        error.usage = Usage()  # it was paid for, and nobody knows how much
        return error

    class BoundedStream(stream_type):  # type: ignore[misc]
        def __init__(self, stream: Any, compressed: bool, answered: bool) -> None:
            self._stream, self._compressed, self._answered = stream, compressed, answered
            self.tail = b""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size, unzip = 0, zlib.decompressobj(wbits=47)
            async for part in self._stream:
                for piece in _decompress(unzip, part, self._answered) if self._compressed else (part,):
                    size += len(piece)
                    if size > limit:
                        raise too_large()
                    self.tail = (self.tail + piece)[-64:]
                    yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def hook(response: Any) -> None:
        if 300 <= response.status_code < 400:
            place = response.headers.get("location", "")
            raise RequestRejected(
                f"{response.request.url.host} redirects to {place[:200]!r}, and nothing is sent there; "
                "if that server is meant, name it in `base_url`"
            )
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            raise Overloaded(f"the answer is compressed as {encoding[:40]!r}, expected gzip or nothing")
        response.stream = BoundedStream(
            response.stream, encoding.endswith("gzip"), response.status_code == 200
        )
        for header in ("content-encoding", "content-length"):
            response.headers.pop(header, None)

    return hook


def _decompress(unzip: Any, data: bytes, answered: bool) -> Iterator[bytes]:
    try:
        while data:
            yield unzip.decompress(data, _PIECE)
            data = unzip.unconsumed_tail
    except zlib.error:
        damaged = Overloaded("the answer's compression is damaged; try again")
        if answered:
            damaged.usage = Usage()  # it was paid for, and nobody knows how much
        raise damaged from None
