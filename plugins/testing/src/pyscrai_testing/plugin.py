"""The pytest plugin, which pytest loads by its entry point.

Tests get no network beyond loopback, no settings of the person who runs them, and a folder of their own
as the current one.
"""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

from .fixtures import host_with, out, play, recorded, virtual_clock

__all__ = ["host_with", "out", "play", "recorded", "virtual_clock"]

# The suites are test modules that other test modules inherit: their asserts shall say what they compared.
pytest.register_assert_rewrite("pyscrai_testing.providers")

#: Variables that would let a person's settings into a test.
SETTINGS = ("PYSCRAI_STORE", "PYSCRAI_PLUGINS", "PYSCRAI_DISABLE", "PYSCRAI_OBSERVERS", "PYSCRAI_DEBUG")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes many seconds; leave it out with -m 'not slow'")


class NetworkDenied(RuntimeError):
    """A test tried to reach something beyond loopback."""


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket
    host = address[0]
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if not _is_local(address):
            raise NetworkDenied(f"a test connects to {address}; only loopback is allowed")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(autouse=True)
def _own_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # By `monkeypatch`, which goes back to the first folder, also if a test changes it once more.
    monkeypatch.chdir(tmp_path)
