"""A transport that only connects to checked addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx2

from pyscrai_core import ToolFailed

#: A public address of a cloud's metadata service.
METADATA = ipaddress.ip_address("168.63.129.16")
#: What versions of Python take for public and is not: addresses of protocols and relays, and those that hold
#: one of this machine or its network (IANA's registries of special-purpose addresses).
SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24", "192.88.99.0/24", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "3fff::/20",
            "5f00::/16",
        ),
    )
)  # fmt: skip
#: IPv6 addresses that contain an IPv4 address in their last 32 bits.
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is public: not of this machine, its network, or its cloud."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    if any(ip in network for network in SPECIAL if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and ip != METADATA


class Transport(httpx2.AsyncHTTPTransport):
    """Resolves a host name once, checks all of its addresses, and connects to these addresses.

    So the name cannot resolve to another address when the connection is made. TLS still verifies the name's
    certificate. Connections are not reused, because a connection is only valid for its host name.
    """

    def __init__(self, private: bool) -> None:
        super().__init__(limits=httpx2.Limits(max_keepalive_connections=0))
        self._private = private

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host, extensions = request.url.host, {**request.extensions, "sni_hostname": request.url.host}
        failure: Exception = httpx2.ConnectError(f"{host} has no address")
        for address in await self._addresses(host):
            url = request.url.copy_with(host=address)
            resolved = httpx2.Request(
                request.method, url, headers=request.headers, stream=request.stream, extensions=extensions
            )
            try:
                return await super().handle_async_request(resolved)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"the name {host!r} cannot be resolved ({error})") from error
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if not self._private and not all(map(is_public, addresses)):
            raise ToolFailed(
                f"{host} is on this machine or its network ({', '.join(addresses)}), which is not allowed; "
                "the scenario's author can set `private: true`"
            )
        return addresses
