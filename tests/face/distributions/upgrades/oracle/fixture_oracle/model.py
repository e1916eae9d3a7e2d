"""Answers when it has a key and a server listens."""

import os
import socket
from typing import Any

from pyscrai_core import Completion, Provider, Request, read_secret


class Oracle(Provider):
    async def aopen(self) -> None:
        read_secret("FIXTURE_ORACLE_KEY", "the oracle")

    async def complete(self, request: Request, sink: Any = None) -> Completion:
        with socket.create_connection(("127.0.0.1", int(os.environ["FIXTURE_ORACLE_PORT"]))):
            return Completion(f"day {request.seed % 1000}", model="oracle-1")
