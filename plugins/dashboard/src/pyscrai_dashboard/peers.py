"""Whose program is at the other end of a connection within this machine.

Every user of a machine reaches its loopback addresses. Linux tells which user a socket belongs to, in
`/proc/net/tcp` and `/proc/net/tcp6` (proc_pid_net(5)); other systems do not tell it to everybody.
"""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import ip_address

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
#: The state of a connection that is open at this end. One that its program has left has no owner any more.
_ESTABLISHED = "01"


def can_tell() -> bool:
    """Whether this system tells whose a connection is."""
    return os.access(_TABLES[0], os.R_OK)


def owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """The number of the user whose socket at `client` is connected to `server`; None: nobody's is."""
    wanted = set(zip(_written(*client), _written(*server), strict=True))
    for table in _TABLES:
        try:
            with open(table, encoding="ascii") as lines:
                for line in lines:
                    _, local, remote, state, _, _, _, user, _, inode, *_ = line.split()
                    if (local, remote) in wanted and state == _ESTABLISHED and inode != "0":
                        return int(user)
        except OSError:
            continue  # a system without IPv6 has one table only
    return None


def _written(host: str, port: int) -> list[str]:
    """An address as the tables have it: in words of the machine's byte order; IPv4's also as one of IPv6."""
    address = ip_address(host)
    forms = [address.packed]
    if address.version == 4:
        forms.append(socket.inet_pton(socket.AF_INET6, f"::ffff:{address}"))
    return [f"{_words(form)}:{port:04X}" for form in forms]


def _words(packed: bytes) -> str:
    return "".join(
        f"{int.from_bytes(packed[at : at + 4], sys.byteorder):08X}" for at in range(0, len(packed), 4)
    )
