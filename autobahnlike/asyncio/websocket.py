"""WebSocket servers and clients on asyncio, and on uvloop.

Derive a protocol from ``WebSocketServerProtocol`` or ``WebSocketClientProtocol``, give it to a factory, and the factory
to ``loop.create_server``, ``loop.create_connection``, their Unix counterparts, or ``listenWS`` and ``connectWS``.

A factory can be made before any loop runs; each connection belongs to the loop that made it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import txaio.aio

from autobahnlike.asyncio.loop import PLAIN_TRANSPORTS, AsyncioLink, AsyncioLoop
from autobahnlike.exception import InvalidArgument
from autobahnlike.websocket import protocol
from autobahnlike.websocket.link import EventLoop
from autobahnlike.websocket.types import ConnectingRequest, ConnectionDeny, ConnectionRequest, ConnectionResponse

__all__ = (
    "ConnectingRequest",
    "ConnectionDeny",
    "ConnectionRequest",
    "ConnectionResponse",
    "WebSocketAdapterFactory",
    "WebSocketAdapterProtocol",
    "WebSocketClientFactory",
    "WebSocketClientProtocol",
    "WebSocketServerFactory",
    "WebSocketServerProtocol",
    "connectWS",
    "listenWS",
)


class WebSocketAdapterProtocol(asyncio.Protocol, protocol.WebSocketProtocol):
    """An asyncio protocol that speaks WebSocket. Whoever overrides one of its methods has to call it as well."""

    log = txaio.aio.make_logger()  # type: ignore[no-untyped-call]

    _own_loop: EventLoop | None = None

    def _event_loop(self) -> EventLoop:
        return self._own_loop or super()._event_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is connected."""
        self.transport = transport
        self._own_loop = self.factory._running_loop()
        try:
            options = self.factory._resolve_options(self)
        except InvalidArgument:
            # Nobody would look after this connection.
            transport.close()
            raise
        _set_no_delay(transport, options.tcp_no_delay)
        self._connectionMade(AsyncioLink(self.transport, self, options.write_high_water), options)

    def _may_go_direct(self) -> bool:
        """Whether ``data_received`` is ours, so that nobody minds when it is not called any more."""
        return type(self).data_received is WebSocketAdapterProtocol.data_received and (
            "data_received" not in self.__dict__
        )

    def data_received(self, data: bytes) -> None:
        """The peer sent something."""
        if self._session is not None:
            self._session.data_received(data)

    def eof_received(self) -> bool | None:
        """The peer ended its side: so do we."""
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The transport is gone."""
        session = self._session
        if session is not None:
            link: Any = session.link
            if link is not None:
                link.lost()
            session.connection_lost(None if exc is None else _why(exc))

    def pause_writing(self) -> None:
        """The transport has enough to write."""
        if self._session is not None:
            self._session.writing_paused()

    def resume_writing(self) -> None:
        """The transport can take more."""
        if self._session is not None:
            self._session.writing_resumed()


def _why(error: BaseException) -> str | None:
    """What of a connection's end is worth telling: that TLS failed, and how."""
    if type(error).__module__ != "ssl":
        return None
    return f"SSL error: {error}"


def _set_no_delay(transport: asyncio.BaseTransport, enable: bool) -> None:
    # asyncio and uvloop set it themselves, and asking for the socket is not cheap; the option may want it unset.
    if enable and type(transport).__module__ in PLAIN_TRANSPORTS:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enable))


class WebSocketServerProtocol(WebSocketAdapterProtocol, protocol.WebSocketServerProtocol):
    """The protocol of a WebSocket server on asyncio."""

    factory: WebSocketServerFactory


class WebSocketClientProtocol(WebSocketAdapterProtocol, protocol.WebSocketClientProtocol):
    """The protocol of a WebSocket client on asyncio."""

    factory: WebSocketClientFactory


class WebSocketAdapterFactory:
    """What a factory needs of asyncio: to be called for a protocol, and a loop.

    Attributes:
        protocol: the class, or any callable that gives an instance, of the protocols to make.
        loop: the loop that was given; None for whichever runs.
    """

    protocol: Any = None
    loop: asyncio.AbstractEventLoop | None = None

    _asyncio_loop: AsyncioLoop | None = None

    def __call__(self) -> Any:
        """Make a protocol for a new connection."""
        made = self.protocol()
        made.factory = self
        return made

    def _running_loop(self) -> AsyncioLoop:
        running = asyncio.get_running_loop()
        if self._asyncio_loop is None or self._asyncio_loop.loop is not running:
            self._asyncio_loop = AsyncioLoop(running)
        return self._asyncio_loop

    @property
    def _event_loop(self) -> EventLoop:
        try:
            return self._running_loop()
        except RuntimeError:
            # As in loop.run_until_complete(factory.shutdown()): not running yet, but known.
            if self.loop is not None:
                return AsyncioLoop(self.loop)
            if self._asyncio_loop is not None:
                return self._asyncio_loop
            raise


class WebSocketServerFactory(WebSocketAdapterFactory, protocol.WebSocketServerFactory):
    """A factory of WebSocket servers for asyncio; give it to ``loop.create_server``.

    Before the loop is stopped, ``await factory.shutdown()`` closes its connections with 1001.

    Args:
        *args: see ``autobahnlike.websocket.protocol.WebSocketServerFactory``.
        loop: the loop, for what is asked of the factory before it runs.
        **kwargs: as args.
    """

    protocol: Any = WebSocketServerProtocol

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop | None = None, **kwargs: Any) -> None:
        self.loop = loop
        super().__init__(*args, **kwargs)


class WebSocketClientFactory(WebSocketAdapterFactory, protocol.WebSocketClientFactory):
    """A factory of WebSocket clients for asyncio; give it to ``loop.create_connection`` or ``connectWS``.

    Args:
        *args: see ``autobahnlike.websocket.protocol.WebSocketClientFactory``.
        loop: the loop, for what is asked of the factory before it runs.
        **kwargs: as args.
    """

    protocol: Any = WebSocketClientProtocol

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop | None = None, **kwargs: Any) -> None:
        self.loop = loop
        super().__init__(*args, **kwargs)


async def connectWS(
    factory: WebSocketClientFactory,
    ssl: Any = None,
    timeout: float = 30,  # noqa: ASYNC109 - as on Twisted
    **kwargs: Any,
) -> tuple[asyncio.Transport, Any]:
    """Connect a client to the URL of its factory.

    Args:
        factory: the factory; its URL says where to.
        ssl: for wss, an ``ssl.SSLContext``; None to verify the server's certificate and name with the trust roots of
            the platform.
        timeout: how long the connection may take, TLS included, in seconds. The opening handshake has its own time-out.
        **kwargs: more for ``loop.create_connection``, such as ``local_addr`` or ``happy_eyeballs_delay``.

    Returns:
        The transport and the protocol, whose opening handshake has only begun: ``await protocol.is_open`` for the rest.

    Raises:
        InvalidArgument: the factory has a proxy, which ``connectWS`` cannot use.
        OSError: there is no connection, or TLS failed.
        TimeoutError: it took too long.
    """
    if factory.proxy is not None:
        raise InvalidArgument("connectWS cannot connect through a proxy: connect to the proxy yourself, or remove it")
    loop = asyncio.get_running_loop()
    if factory.isSecure:
        kwargs["ssl"] = True if ssl is None else ssl
    async with asyncio.timeout(timeout):
        if factory.host == "unix":
            return await loop.create_unix_connection(factory, str(factory.port), **kwargs)
        return await loop.create_connection(factory, factory.host, int(factory.port), **kwargs)


async def listenWS(
    factory: WebSocketServerFactory, ssl: Any = None, backlog: int = 100, interface: str | None = None, **kwargs: Any
) -> asyncio.AbstractServer:
    """Listen at the URL of a server's factory.

    Args:
        factory: the factory; its URL says which port and whether with TLS.
        ssl: for wss, an ``ssl.SSLContext`` with key and certificate.
        backlog: how many connections may wait to be accepted.
        interface: the address to listen on; None for all.
        **kwargs: more for ``loop.create_server``.

    Returns:
        The server.

    Raises:
        InvalidArgument: the URL says wss and there is no ``ssl``.
        OSError: the address cannot be listened on.
    """
    if factory.isSecure and ssl is None:
        raise InvalidArgument("a wss server needs ssl, an SSLContext with its key and certificate")
    loop = asyncio.get_running_loop()
    if factory.host == "unix":
        return await loop.create_unix_server(factory, str(factory.port), ssl=ssl, backlog=backlog, **kwargs)
    return await loop.create_server(factory, interface, int(factory.port), ssl=ssl, backlog=backlog, **kwargs)
