"""The way out: connections to addresses that were checked, and to no others."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx2

from pyscrai_core import ToolFailed

#: A public address at which machines of a cloud find what is their own.
METADATA = ipaddress.ip_address("168.63.129.16")
#: IPv6 addresses that a gateway turns into the IPv4 address in their last 32 bits.
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet: not to this machine, its network, or its cloud."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and ip != METADATA


class Transport(httpx2.AsyncHTTPTransport):
    """Looks a name up once, checks each of its addresses, and connects to these by their numbers.

    So the name cannot mean something else when the connection is made. TLS still asks for the name's own
    certificate; connections are not kept, as one is only good for the name that it was made for.
    """

    def __init__(self, private: bool) -> None:
        super().__init__(limits=httpx2.Limits(max_keepalive_connections=0))
        self._private = private

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host, extensions = request.url.host, {**request.extensions, "sni_hostname": request.url.host}
        failure: Exception = httpx2.ConnectError(f"{host} has no address")
        for address in await self._addresses(host):
            url = request.url.copy_with(host=address)
            numbered = httpx2.Request(
                request.method, url, headers=request.headers, stream=request.stream, extensions=extensions
            )
            try:
                return await super().handle_async_request(numbered)
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
                "whoever wrote the scenario can set `private: true`"
            )
        return addresses
