"""Addresses as Autobahn writes them, and sleeping."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from autobahnlike.asyncio.util import address2str, peer2str, sleep


class Transport(asyncio.BaseTransport):
    """A transport that knows an address."""

    def __init__(self, address: Any) -> None:
        super().__init__({"peername": address, "sockname": ("127.0.0.1", 1)})


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 9000), "tcp4:127.0.0.1:9000"),
        (("::1", 9000, 0, 0), "tcp6:::1:9000"),
        ("/run/socket", "unix:/run/socket"),
        ("", "unix"),
        (b"\0abstract", "unix:\0abstract"),
        (None, "unknown"),
        ((1, 2, 3), "unknown"),
    ],
)
def test_address2str(address: Any, text: str) -> None:
    assert address2str(Transport(address)) == text
    assert peer2str(Transport(address)) == text
    assert address2str(Transport(address), "sockname") == "tcp4:127.0.0.1:1"


def test_sleep() -> None:
    assert asyncio.run(sleep(0, "done")) == "done"
