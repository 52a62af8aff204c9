"""Serving ASGI applications on asyncio and uvloop, within a programme that has other things to do as well.

::

    async with serve(app, "127.0.0.1:8000") as serving:
        print(serving.urls)
        await something_else()
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl as ssl_module
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import cast

from autobahnlike.asgi.address import UnixAddress, open_sockets, parse_address, url_of
from autobahnlike.asgi.counters import ServerCounters
from autobahnlike.asgi.http import HttpConnection
from autobahnlike.asgi.listen_asyncio import listen_on
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.scope import Application
from autobahnlike.asgi.server import Server
from autobahnlike.asgi.websocket import ASGIWebSocket
from autobahnlike.asyncio.loop import AsyncioLink, AsyncioLoop
from autobahnlike.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol

__all__ = ("Serving", "serve")

# How much a response may be ahead of its client before the application has to wait.
_HIGH_WATER = 65536


class _WebSocket(ASGIWebSocket, WebSocketServerProtocol):
    """The WebSockets of applications."""


class _Link(AsyncioLink):
    """A transport that nothing more is written to once a write has failed: asyncio warns of those that do."""

    def write(self, chunks: list[bytes | bytearray | memoryview]) -> None:
        if not self._transport.is_closing():
            super().write(chunks)


class _HttpProtocol(asyncio.Protocol):
    """A connection that has not become a WebSocket."""

    _connection: HttpConnection

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._link = _Link(self._transport, self, _HIGH_WATER)
        self._connection = HttpConnection(self._server, self._link, self._upgrade)

    def data_received(self, data: bytes) -> None:
        self._connection.data_received(data)

    def eof_received(self) -> bool:
        if self._link.is_secure:
            # It is closed, whatever is said here.
            return False
        self._connection.peer_ended()
        return True

    def pause_writing(self) -> None:
        self._connection.writing_paused()

    def resume_writing(self) -> None:
        self._connection.writing_resumed()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connection.connection_lost()

    def _upgrade(self, head: bytes, rest: bytes) -> None:
        protocol = self._server.websockets()
        protocol.asgi_server = self._server
        protocol.head = head
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(head + rest)


class Serving:
    """A server that runs from the beginning to the end of an ``async with``.

    Attributes:
        urls: where it listens.
        counters: what it has done.
    """

    def __init__(
        self,
        app: Application,
        listen: str,
        sockets: Sequence[socket.socket] | None,
        ssl: ssl_module.SSLContext | None,
        options: ServerOptions,
    ) -> None:
        self.urls: list[str] = []
        self.counters = ServerCounters()
        self._app = app
        self._listen = listen
        self._given = sockets
        self._ssl = ssl
        self._options = options
        self._servers: list[asyncio.AbstractServer] = []
        self._path: str | None = None
        self._server: Server | None = None

    async def __aenter__(self) -> Serving:
        loop = asyncio.get_running_loop()
        server = self._server = Server(self._app, AsyncioLoop(loop), self._options, counters=self.counters)
        factory = WebSocketServerFactory(loop=loop)
        factory.protocol = _WebSocket
        factory.setProtocolOptions(**self._options.of_websockets())
        server.websockets = factory
        sockets = self._open()
        try:
            await server.startup()
            scheme = "https" if self._ssl is not None else "http"
            self.urls = [url_of(sock, scheme) for sock in sockets]
            for sock in sockets:
                self._servers.append(await listen_on(sock, lambda: _HttpProtocol(server), self._ssl))
            self.counters.has_started = True
        except BaseException:
            for sock in sockets:
                sock.close()
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        for each in self._servers:
            each.close()
        self._servers.clear()
        server, self._server = self._server, None
        try:
            if server is not None:
                await server.shutdown()
        finally:
            if self._path is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self._path)

    def _open(self) -> list[socket.socket]:
        if self._given is not None:
            return list(self._given)
        address = parse_address(self._listen)
        if isinstance(address, UnixAddress):
            self._path = address.path
        return open_sockets(address)


def serve(
    app: Application,
    listen: str = "127.0.0.1:8000",
    *,
    sockets: Sequence[socket.socket] | None = None,
    ssl: ssl_module.SSLContext | None = None,
    options: ServerOptions | None = None,
) -> Serving:
    """Serve an application for as long as an ``async with`` lasts.

    When it is entered, the application is told to get ready (lifespan), then the server listens. When it is left,
    nothing is listened to any more, WebSockets are closed, at once or as ``drain_timeout`` says, requests are given
    ``shutdown_timeout`` seconds, and the application is told that it is over.

    Args:
        app: an application of ASGI 3.
        listen: a port, ``host:port``, ``[IPv6]:port`` or ``unix:PATH``; port 0 is one that is free.
        sockets: sockets that listen already, instead of ``listen``.
        ssl: for https and wss, a context with certificate and key.
        options: what else can be set.

    Returns:
        The server, to be entered.

    Raises:
        InvalidArgument: when it is entered: ``app`` is not an application, ``listen`` is no address, or an option of
            the WebSockets does not exist.
        LifespanFailed: when it is entered: the application did not start.
        OSError: when it is entered: the address cannot be listened on.
    """
    return Serving(app, listen, sockets, ssl, options or ServerOptions())
