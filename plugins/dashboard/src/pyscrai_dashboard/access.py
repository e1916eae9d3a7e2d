"""Who may ask: the checks in front of every request, and the headers of every answer.

A page of another site must not reach the server through the person's browser. So the name by which the server
was asked is checked (a name of a stranger's that leads here: DNS rebinding), and so is whose page sends a
POST. Whoever asks from another machine needs the token, and so does another user of this one.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .replies import Refused, failure

COOKIE = "pyscrai_dashboard"
#: Where the state of a request has the `Peer` that sent it.
PEER = "peer"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server at `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def new_token() -> str:
    return secrets.token_urlsafe(32)


class Access:
    """Middleware: lets a request through, or refuses it.

    names
        the names and addresses by which the server may be asked, without the port; None: any, which is only
        safe with a token
    token
        what every request has to show, in a cookie or as `Authorization: Bearer`; None: nothing
    own_user
        only programs of the user who runs the server may ask; they are on this machine
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Iterable[str] | None = LOCAL_NAMES,
        token: str | None = None,
        own_user: bool = False,
    ) -> None:
        self._app = app
        self._names = None if names is None else {name.lower() for name in names}
        self._token = token
        self._own_user = own_user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no websockets here

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # Files belong to the version that is installed now: a browser asks each time.
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        try:
            answer = self._check(scope)
        except Refused as refusal:
            answer = failure(refusal)
        await (answer or self._app)(scope, receive, guarded)

    def _check(self, scope: Scope) -> Response | None:
        """None for a request that may pass; else the answer. Raises `Refused`."""
        headers = Headers(scope=scope)
        self._check_host(headers.get("host", ""))
        if scope["method"] not in ("GET", "HEAD"):
            self._check_sender(scope, headers)
        if self._own_user and scope["state"][PEER].user != os.getuid():
            raise Refused(
                "connection: it is of another user of this machine; whoever runs the dashboard can start it "
                "with --token, and give you the address that it prints", 403
            )  # fmt: skip
        return None if self._token is None else self._check_token(scope, headers)

    def _check_host(self, given: str) -> None:
        name = _without_port(given).lower()
        if not name or (self._names is not None and name not in self._names):
            known = ", ".join(sorted(self._names or ()))
            raise Refused(
                f"Host: {given!r:.100} is not this server's name; open it by one of its own: {known}", 421
            )

    def _check_sender(self, scope: Scope, headers: Headers) -> None:
        """Refuse what a page of another site sends."""
        origin = headers.get("origin")
        own = f"{scope['scheme']}://{headers['host']}".lower()
        if headers.get("sec-fetch-site", "same-origin") != "same-origin" or (
            origin is not None and origin.lower() != own
        ):
            raise Refused(
                "Origin: the request comes from the page of another site; use this server's page", 403
            )
        content = headers.get("content-type", "").partition(";")[0].strip().lower()
        if content != "application/json":
            raise Refused("Content-Type: expected application/json", 415)

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        query = QueryParams(scope["query_string"])
        if scope["method"] == "GET" and "token" in query and self._same(query["token"]):
            # From here on the cookie has it, so that it does not stay in the address line.
            rest = "&".join(
                part for part in scope["query_string"].decode("latin-1").split("&") if part[:6] != "token="
            )
            path = "/" + scope["path"].lstrip("/")  # `//name` would be another server
            answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
            answer.set_cookie(COOKIE, query["token"], httponly=True, samesite="strict", path="/")
            return answer
        bearer = headers.get("authorization", "")
        if bearer[:7].lower() == "bearer " and self._same(bearer[7:].strip()):
            return None
        if self._same(cookie_parser(headers.get("cookie", "")).get(COOKIE, "")):
            return None
        raise Refused("token: it is missing or wrong; open the address that `pyscrai dashboard` printed", 401)

    def _same(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token.encode())


def _without_port(host: str) -> str:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return f"[{name}]" if ":" in name else name
