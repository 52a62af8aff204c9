"""``serve echo`` on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from autobahnlike.asgi.address import BACKLOG
from autobahnlike.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahnlike.cli.demo import EchoDemo

__all__ = ("serving",)


class EchoServer(EchoDemo, WebSocketServerProtocol):
    """The demo on asyncio."""


@asynccontextmanager
async def serving(sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
    """Listen while it is entered; then close the connections.

    Args:
        sockets: where.
    """
    factory = WebSocketServerFactory()
    factory.protocol = EchoServer
    servers = [await _listen(factory, sock) for sock in sockets]
    yield
    for server in servers:
        server.close()
    await factory.shutdown()


async def _listen(factory: WebSocketServerFactory, sock: socket.socket) -> asyncio.AbstractServer:
    loop = asyncio.get_running_loop()
    if isinstance(sock.getsockname(), str):
        return await loop.create_unix_server(factory, sock=sock, backlog=BACKLOG)
    return await loop.create_server(factory, sock=sock, backlog=BACKLOG)
