"""Small things for asyncio: who is at the other end, and sleeping."""

from __future__ import annotations

import asyncio
from asyncio import sleep

__all__ = ("address2str", "address_text", "peer2str", "sleep")


def address2str(transport: asyncio.BaseTransport, which: str = "peername") -> str:
    """Return an address of a transport as Autobahn writes it.

    Args:
        transport: the transport.
        which: "peername" for the other end, "sockname" for this one.

    Returns:
        "tcp4:127.0.0.1:51234", "tcp6:::1:51234", "unix:/path", "unix" for a socket without a name, or "unknown".
    """
    return address_text(transport.get_extra_info(which))


def address_text(address: object) -> str:
    """Return an address as Autobahn writes it.

    Args:
        address: what a transport says of one, or a socket.

    Returns:
        See ``address2str``.
    """
    if isinstance(address, bytes):
        # A name in Linux's abstract namespace
        address = address.decode("utf-8", "replace")
    if isinstance(address, str):
        return f"unix:{address}" if address else "unix"
    if isinstance(address, tuple) and len(address) == 2:
        return f"tcp4:{address[0]}:{address[1]}"
    if isinstance(address, tuple) and len(address) == 4:
        return f"tcp6:{address[0]}:{address[1]}"
    return "unknown"


def peer2str(transport: asyncio.BaseTransport) -> str:
    """Return who is at the other end of a transport; see ``address2str``."""
    return address2str(transport)
