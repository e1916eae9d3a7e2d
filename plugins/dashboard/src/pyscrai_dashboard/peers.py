"""Whose program is at the other end of a connection within this machine.

Every user of a machine reaches its loopback addresses. Linux tells which user a socket belongs to, in
`/proc/net/tcp` and `/proc/net/tcp6` (proc_pid_net(5)); other systems do not tell it to everybody.
"""

from __future__ import annotations

import os
import socket
import sys
from asyncio.trsock import TransportSocket
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_UNKNOWN_USER = Path("/proc/sys/kernel/overflowuid")
#: The state of a connection that is open at this end. One that its program has left has no owner any more.
_ESTABLISHED = "01"


def can_tell() -> bool:
    """Whether this system tells whose a connection is."""
    try:
        # In a user namespace, this is the number of all users that it does not know (user_namespaces(7)).
        unknown = int(_UNKNOWN_USER.read_text())
    except (OSError, ValueError):
        return False
    return os.getuid() != unknown and os.access(_TABLES[0], os.R_OK)


class Peer:
    """Who is at the other end of a connection, which stays the same."""

    def __init__(self, connection: socket.socket | TransportSocket) -> None:
        self._connection = connection

    @cached_property
    def user(self) -> int | None:
        """The number of the user; None: nobody's socket was there any more when it was looked at first."""
        return owner(self._connection)


def owner(connection: socket.socket | TransportSocket) -> int | None:
    """The number of the user whose socket is at the other end; None: nobody's is any more."""
    try:
        client, server = connection.getpeername(), connection.getsockname()
        user = _owner(set(zip(_written(*client[:2]), _written(*server[:2]), strict=True)))
        # Whoever reset this connection left its port to others, and what it sent can still be read. While the
        # connection stands, nobody else has the port.
        connection.getpeername()
    except OSError:
        return None
    return user


def _owner(wanted: set[tuple[str, str]]) -> int | None:
    for table in _TABLES:
        try:
            with open(table, encoding="ascii") as lines:
                for line in lines:
                    _, local, remote, state, _, _, _, user, _, inode, *_ = line.split()
                    if (local, remote) in wanted and state == _ESTABLISHED and inode != "0":
                        return int(user)
        except FileNotFoundError:
            continue  # a system without IPv6 has one table only
    return None


def _written(host: str, port: int) -> list[str]:
    """An address as the tables have it: in words of the machine's byte order; IPv4's also as one of IPv6."""
    address = ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    forms = [address.packed]
    if address.version == 4:
        forms.append(socket.inet_pton(socket.AF_INET6, f"::ffff:{address}"))
    return [f"{_words(form)}:{port:04X}" for form in forms]


def _words(packed: bytes) -> str:
    return "".join(
        f"{int.from_bytes(packed[at : at + 4], sys.byteorder):08X}" for at in range(0, len(packed), 4)
    )
