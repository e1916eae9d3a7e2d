"""The cluster of this machine's processes, which other users of the machine can reach, but not use."""

from __future__ import annotations

import asyncio

import pytest
from distributed import Client
from distributed.security import Security

from pyscrai_dask import cluster


def test_nobody_else_can_give_it_orders() -> None:
    async def look() -> int:
        async with cluster.local(1) as client:
            address = client.scheduler.address
            assert address.startswith("tls://127.0.0.1:")
            plain = address.replace("tls://", "tcp://")
            for other, security in ((plain, None), (address, None), (address, Security.temporary())):
                with pytest.raises((OSError, TypeError, RuntimeError)):
                    await Client(other, asynchronous=True, timeout=3, set_as_default=False, security=security)
            found: int = await client.submit(lambda: 6 * 7)
            return found

    assert asyncio.run(look()) == 42
