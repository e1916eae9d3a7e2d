"""Sends requests with limits on hosts, time, size and attempts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
from attrs import field, frozen, validators

from pyscrai_core import SecretName, ToolFailed, Url, read_secret
from pyscrai_core.vendors import retry_after

from .transport import Transport

MAX_REDIRECTS = 5
#: Transient errors, and the statuses of servers that are busy. These requests are retried.
FAULTS = (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError, TimeoutError)
BUSY = (429, 502, 503, 504)
#: The maximum `Retry-After`, in seconds.
MAX_WAIT = 20.0


@frozen
class Secret:
    """The value of the environment variable `secret`, after a `prefix` such as `"Bearer "`."""

    secret: SecretName
    prefix: str = ""


@frozen(kw_only=True)
class ClientConfig:
    """The common options of `http` and `openapi`: fields of every request, and limits."""

    headers: dict[str, str | Secret] = field(factory=dict)
    query: dict[str, str | Secret] = field(factory=dict)
    hosts: tuple[Url, ...] = ()
    private: bool = False
    bytes: int = field(default=1_000_000, validator=validators.ge(1))
    seconds: float = field(default=20, validator=validators.gt(0))
    tries: int = field(default=3, validator=validators.ge(1))


def check_address(url: str, where: str) -> None:
    """Raise `ValueError` if the host is none, or contains a placeholder, a user name or a password."""
    parts = urlsplit(url)
    if not parts.netloc or set("{}@") & set(parts.netloc) or parts.fragment:
        raise ValueError(f"{where}: expected a host without placeholders and password; keys go to `headers`")
    try:
        httpx2.URL(url.partition("{")[0])
    except httpx2.InvalidURL as error:
        raise ValueError(f"{where}: {error}; correct the address") from None


class Client:
    """Sends requests of the tool `who` to the host of `url`. Must be closed."""

    def __init__(self, who: str, url: str, config: ClientConfig) -> None:
        def resolve(value: str | Secret) -> str:
            purpose = f"the tool {who} at {urlsplit(url).hostname}"
            return value if isinstance(value, str) else value.prefix + read_secret(value.secret, purpose)

        self._config = config
        self._headers = {name: resolve(value) for name, value in config.headers.items()}
        self._query = [(name, resolve(value)) for name, value in config.query.items()]
        self._allowed = {_origin(httpx2.URL(one.partition("{")[0])) for one in (url, *config.hosts)}
        self._http = httpx2.AsyncClient(
            transport=Transport(config.private),
            headers={"Accept": "application/json, text/*;q=0.9, */*;q=0.5", "User-Agent": "pyscrai-http"},
            # Cookies for one agent must not be sent with requests of another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=httpx2.Timeout(config.seconds, connect=min(5.0, config.seconds)),
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, repeatable: bool
    ) -> Any:
        """The answer's JSON or text. Raises `ToolFailed` if there is none, or if its status is an error."""
        if self._query:
            url += ("&" if "?" in url else "?") + urlencode(self._query)
        headers, wait = {**headers, **self._headers}, 0.25
        for left in range(self._config.tries if repeatable else 1, 0, -1):
            wait, asked = wait * 2, None
            try:
                request = self._http.build_request(method, url, headers=headers, content=body)
                response, content = await self._attempt(request)
            except FAULTS as error:
                problem = f"{str(error) or 'it took too long'} ({type(error).__name__})"
            else:
                if response.status_code < 300:
                    return _value(response, content)
                beginning = " ".join(_text(response, content[:600]).split())[:300]
                problem = f"status {response.status_code}: {beginning}".removesuffix(": ")
                asked = retry_after(response.headers)
                if response.status_code not in BUSY or (asked or 0) > MAX_WAIT:
                    break
            if left > 1:
                await asyncio.sleep(wait if asked is None else asked)
        raise ToolFailed(problem)

    async def _attempt(self, request: httpx2.Request) -> tuple[httpx2.Response, bytes]:
        async with asyncio.timeout(self._config.seconds):
            for _ in range(MAX_REDIRECTS + 1):
                response = await self._http.send(request, stream=True, follow_redirects=False)
                try:
                    if response.next_request is None:
                        return response, await self._read(response)
                finally:
                    await response.aclose()
                before, request = _origin(request.url), response.next_request
                if _origin(request.url) not in self._allowed:
                    raise ToolFailed(f"it redirects to {request.url.host}, which is not allowed")
                if _origin(request.url) != before:
                    for name in self._headers:  # headers are only for the configured host
                        request.headers.pop(name, None)
        raise ToolFailed(f"more than {MAX_REDIRECTS} consecutive redirects")

    async def _read(self, response: httpx2.Response) -> bytes:
        limit, content = self._config.bytes, bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > limit:
                raise ToolFailed(f"the answer has more than {limit:,} bytes; request less")
        return bytes(content)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _text(response: httpx2.Response, content: bytes) -> str:
    try:
        return content.decode(response.charset_encoding or "utf-8", "replace")
    except (LookupError, ValueError):  # the encoding is unknown, or not for text
        return content.decode(errors="replace")


def _value(response: httpx2.Response, content: bytes) -> Any:
    if not content:
        return {"status": response.status_code}
    text = _text(response, content)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.endswith(("/json", "+json")):
        return text
    try:
        return json.loads(text, parse_int=_whole, parse_constant=str)
    except ValueError as error:
        raise ToolFailed(f"the answer is declared as JSON, but is not valid ({error})") from None


def _whole(text: str) -> int | str:
    """An integer that JSON represents exactly. Others, such as long identifiers, become text."""
    return int(text) if len(text) <= 17 and abs(int(text)) < 2**53 else text
