"""Listening on a socket that is open already, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
import sys
from collections.abc import Callable
from typing import Any

from autobahnlike.asgi.address import BACKLOG

__all__ = ("listen_on",)

# Since Python 3.13 a server takes the path of its Unix domain socket away when it is closed. The path belongs to
# whoever opened the socket, and other processes may still listen there.
_LEAVE_THE_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


async def listen_on(
    sock: socket.socket, make: Callable[[], asyncio.BaseProtocol], ssl: ssl_module.SSLContext | None = None
) -> asyncio.AbstractServer:
    """Listen on a socket.

    Args:
        sock: the socket, which the server closes.
        make: makes the protocol of a connection.
        ssl: for TLS, a context with certificate and key.
    """
    loop = asyncio.get_running_loop()
    if isinstance(sock.getsockname(), str):
        return await loop.create_unix_server(make, sock=sock, backlog=BACKLOG, ssl=ssl, **_LEAVE_THE_PATH)
    return await loop.create_server(make, sock=sock, backlog=BACKLOG, ssl=ssl)
