"""Targets of this machine, its network and its cloud, in every spelling: none is reached."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from pyscrai_core import ToolFailed
from pyscrai_http.transport import is_public

#: Spelled as hosts of a URL.
HOSTS = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1",
    "017700000001", "0177.0.0.1", "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "[::1]",
    "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "10.0.0.1",
    "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.255", "169.254.169.254",
    "169.254.0.1", "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.64.0.1",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "192.0.2.1", "203.0.113.7",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "[fe80::1]", "[fec0::1]", "[fc00::1]",
    "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a00:1::]",
    "[2001:db8::1]", "[2001::1]", "[64:ff9b:1::7f00:1]", "[3fff::1]", "[5f00::1]", "[100::1]",
    "192.88.99.1",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_no_target_at_home_is_reached(host: str, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Any] = []

    async def connect(self: Any, protocol: Any, address: Any = None, *rest: Any, **more: Any) -> Any:
        connected.append(address)
        raise OSError("no connection is made in this test")

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "create_connection", connect)
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: connected.append(address))
    with pytest.raises((ToolFailed, ValueError), match="not allowed|cannot be resolved|Invalid IPv4"):
        ask(f"http://{host}/", private=False, tries=1)
    assert connected == []


def test_public_addresses_are_public() -> None:
    assert all(map(is_public, ("93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1", "64:ff9b::808:808")))
