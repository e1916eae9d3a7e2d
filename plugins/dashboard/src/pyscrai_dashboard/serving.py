"""Running the server until Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pyscrai_core import ConfigError
from pyscrai_core.config import Settings

from . import peers
from .access import LOCAL_NAMES, PEER, is_loopback, new_token
from .app import make_app
from .services import Services

#: Ports that are tried for a suggestion, after the one that is in use.
TRIED = 50
#: Seconds that open connections have to end after Ctrl-C.
GRACE = 0.5


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address. Raises `ConfigError`, with a free port if this one is in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        what = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"--host {host}: it is no address of this machine ({what}); try 127.0.0.1"
        ) from None
    # With the protocol: asyncio sends an answer at once (TCP_NODELAY) only where it knows that it is TCP.
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(256)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            other = _free_port(family, address)
            hint = f"; another is free: --port {other}" if other else "; choose another"
            raise ConfigError(f"--port {port}: another program uses it, perhaps a dashboard{hint}") from None
        if error.errno == errno.EACCES:
            raise ConfigError(f"--port {port}: you may not use it; choose one above 1023") from None
        raise ConfigError(f"--host {host}: {error.strerror}; choose an address of this machine") from None
    return bound


def _free_port(family: socket.AddressFamily, address: Any) -> int | None:
    host, port, *rest = address
    for other in range(port + 1, min(port + TRIED, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as tried, suppress(OSError):
            tried.bind((host, other, *rest))
            return other
    return None


def address_of(host: str, port: int, token: str | None) -> str:
    """The address to open in a browser."""
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    shown = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


class Protocol(H11Protocol):
    """uvicorn's, with who is at the other end in the state of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, PEER: peers.Peer(transport.get_extra_info("socket"))}


class Server(uvicorn.Server):
    """Ends on Ctrl-C within a moment, also with streams that are open."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the signal is not raised again: Ctrl-C is how the command ends."""
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._services.live.close()
        await super().shutdown(sockets)


def serve(
    settings: Settings, host: str, bound: socket.socket, *, protected: bool, open_it: bool, read_only: bool
) -> None:
    """Serve at a socket until Ctrl-C. `protected`: only with a token, also on this machine.

    Without a token only programs of the same user may ask; it is required where the system does not tell
    whose a connection is.
    """
    local = is_loopback(host)
    own_user = local and not protected and peers.can_tell()
    token = None if own_user else new_token()
    names = (*LOCAL_NAMES, host) if local else None
    app = make_app(settings, read_only=read_only, names=names, token=token, own_user=own_user)
    services: Services = app.state.services
    port = bound.getsockname()[1]
    address = address_of(host, port, token)
    config = uvicorn.Config(
        app, http=Protocol, ws="none", log_level="warning", access_log=False, lifespan="on",
        server_header=False, timeout_graceful_shutdown=1, timeout_keep_alive=30, proxy_headers=False,
    )  # fmt: skip
    click.echo(f"dashboard: {address}")
    click.echo(f"store: {services.reader.path}")
    click.echo("Ctrl-C ends it", err=True)
    if open_it:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    server = Server(config, services)
    asyncio.run(server.serve(sockets=[bound]))
    for run, process in services.control.own().items():
        click.echo(f"run {run} goes on in process {process}; to stop it: kill -INT {process}", err=True)
