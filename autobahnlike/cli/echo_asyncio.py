"""``serve echo`` on asyncio and uvloop."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from autobahnlike.asgi.listen_asyncio import listen_on
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
    servers = [await listen_on(sock, factory) for sock in sockets]
    yield
    for server in servers:
        server.close()
    await factory.shutdown()
