"""WebSocket servers and clients on Twisted.

Derive a protocol from ``WebSocketServerProtocol`` or ``WebSocketClientProtocol``, give it to a factory, and the factory
to ``reactor.listenTCP``, ``reactor.connectTCP``, an endpoint, or ``listenWS`` and ``connectWS``.

Importing this module installs no reactor: a factory that is given none uses that of its first transport, or the global
one when somebody asks for it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import txaio.tx
from twisted.internet.interfaces import IReactorCore
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure

from autobahnlike.exception import InvalidArgument
from autobahnlike.twisted.loop import TwistedLink, TwistedLoop, exception_of
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


class WebSocketAdapterProtocol(Protocol, protocol.WebSocketProtocol):
    """A Twisted protocol that speaks WebSocket. Whoever overrides one of its methods has to call it as well."""

    log = txaio.tx.make_logger()  # type: ignore[no-untyped-call]

    def connectionMade(self) -> None:
        """The transport is connected."""
        transport: Any = self.transport
        self.factory._adopt_reactor(transport)
        try:
            options = self.factory._resolve_options(self)
        except InvalidArgument:
            # Nobody would look after this connection.
            transport.loseConnection()
            raise
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(options.tcp_no_delay)
        self._connectionMade(TwistedLink(transport, self, options.write_high_water), options)

    def _may_go_direct(self) -> bool:
        """Whether ``dataReceived`` is ours, so that nobody minds when it is not called any more."""
        return type(self).dataReceived is WebSocketAdapterProtocol.dataReceived and "dataReceived" not in self.__dict__

    def dataReceived(self, data: bytes) -> None:
        """The peer sent something."""
        if self._session is not None:
            self._session.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The transport is gone."""
        session = self._session
        if session is not None:
            link: Any = session.link
            if link is not None:
                link.lost()
            session.connection_lost(_why(reason))


def _why(reason: Failure) -> str | None:
    """What of a connection's end is worth telling: that TLS failed, and how."""
    error = exception_of(reason)
    package = type(error).__module__.partition(".")[0]
    if package == "service_identity":
        # The certificate is for another host.
        return f"SSL error: {error}"
    if package != "OpenSSL":
        return None
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    details = ", ".join(":".join(map(str, entry)) for entry in queue)
    return f"SSL error: {details or type(error).__name__}"


class WebSocketServerProtocol(WebSocketAdapterProtocol, protocol.WebSocketServerProtocol):
    """The protocol of a WebSocket server on Twisted."""

    factory: WebSocketServerFactory


class WebSocketClientProtocol(WebSocketAdapterProtocol, protocol.WebSocketClientProtocol):
    """The protocol of a WebSocket client on Twisted."""

    factory: WebSocketClientFactory


class WebSocketAdapterFactory:
    """What a factory needs of Twisted."""

    _shutdown_trigger: Any = None

    @cached_property
    def reactor(self) -> Any:
        """The reactor; the global one if none was given and no transport has shown another."""
        from twisted.internet import reactor

        return reactor

    @property
    def _event_loop(self) -> EventLoop:
        loop: TwistedLoop | None = self.__dict__.get("_twisted_loop")
        if loop is None or loop.reactor is not self.reactor:
            loop = self.__dict__["_twisted_loop"] = TwistedLoop(self.reactor)
        return loop

    def _adopt_reactor(self, transport: Any) -> None:
        reactor = getattr(transport, "reactor", None)
        if reactor is not None and "reactor" not in self.__dict__:
            self.reactor = reactor


class WebSocketServerFactory(WebSocketAdapterFactory, protocol.WebSocketServerFactory, ServerFactory):
    """A factory of WebSocket servers for Twisted; give it to ``reactor.listenTCP`` or an endpoint.

    When the reactor shuts down, connections are closed with 1001 first; see ``shutdown``.

    Args:
        *args: see ``autobahnlike.websocket.protocol.WebSocketServerFactory``.
        reactor: the reactor; None for that of the first connection.
        **kwargs: as args.
    """

    protocol: Any = WebSocketServerProtocol

    def __init__(self, *args: Any, reactor: Any = None, **kwargs: Any) -> None:
        if reactor is not None:
            self.reactor = reactor
        super().__init__(*args, **kwargs)

    def _add(self, connection: Any) -> None:
        super()._add(connection)
        # Only while there are connections, so that a factory that is not used any more is not held.
        if self._shutdown_trigger is None and IReactorCore.providedBy(self.reactor):
            self._shutdown_trigger = self.reactor.addSystemEventTrigger("before", "shutdown", self._reactor_stops)

    def _remove(self, connection: Any) -> None:
        super()._remove(connection)
        if self._shutdown_trigger is not None and not self._connections:
            self.reactor.removeSystemEventTrigger(self._shutdown_trigger)
            self._shutdown_trigger = None

    def _reactor_stops(self) -> Any:
        self._shutdown_trigger = None
        return self.shutdown()


class WebSocketClientFactory(WebSocketAdapterFactory, protocol.WebSocketClientFactory, ClientFactory):
    """A factory of WebSocket clients for Twisted; give it to ``connectWS``, ``reactor.connectTCP`` or an endpoint.

    Args:
        *args: see ``autobahnlike.websocket.protocol.WebSocketClientFactory``.
        reactor: the reactor; None for that of the first connection.
        **kwargs: as args.
    """

    protocol: Any = WebSocketClientProtocol

    def __init__(self, *args: Any, reactor: Any = None, **kwargs: Any) -> None:
        if reactor is not None:
            self.reactor = reactor
        super().__init__(*args, **kwargs)


def connectWS(
    factory: WebSocketClientFactory,
    contextFactory: Any = None,
    timeout: float = 30,
    bindAddress: tuple[str, int] | None = None,
) -> Any:
    """Connect a client to the URL of its factory.

    Args:
        factory: the factory; its URL says where to, its ``reactor`` connects.
        contextFactory: for wss, the TLS settings; None to verify the server's certificate and name with the trust roots
            of the platform.
        timeout: how long the TCP connection may take, in seconds. The opening handshake has its own time-out.
        bindAddress: the local address to connect from, as (host, port).

    Returns:
        The connector, an IConnector.

    Raises:
        InvalidArgument: the factory has a proxy, which ``connectWS`` cannot use.
    """
    if factory.proxy is not None:
        raise InvalidArgument("connectWS cannot connect through a proxy: connect to the proxy yourself, or remove it")
    reactor = factory.reactor
    if factory.host == "unix":
        return reactor.connectUNIX(factory.port, factory, timeout=timeout)
    if not factory.isSecure:
        return reactor.connectTCP(factory.host, factory.port, factory, timeout=timeout, bindAddress=bindAddress)
    if contextFactory is None:
        from twisted.internet.ssl import optionsForClientTLS

        contextFactory = optionsForClientTLS(factory.host)
    return reactor.connectSSL(
        factory.host, factory.port, factory, contextFactory, timeout=timeout, bindAddress=bindAddress
    )


def listenWS(
    factory: WebSocketServerFactory, contextFactory: Any = None, backlog: int = 50, interface: str = ""
) -> Any:
    """Listen at the URL of a server's factory.

    Args:
        factory: the factory; its URL says which port and whether with TLS, its ``reactor`` listens.
        contextFactory: for wss, the TLS settings, with key and certificate.
        backlog: how many connections may wait to be accepted.
        interface: the address to listen on; "" for all.

    Returns:
        The port, an IListeningPort.

    Raises:
        InvalidArgument: the URL says wss and there is no ``contextFactory``.
    """
    reactor = factory.reactor
    if factory.isSecure and contextFactory is None:
        raise InvalidArgument("a wss server needs a contextFactory with its key and certificate")
    if factory.host == "unix":
        return reactor.listenUNIX(factory.port, factory, backlog=backlog)
    if factory.isSecure:
        return reactor.listenSSL(factory.port, factory, contextFactory, backlog=backlog, interface=interface)
    return reactor.listenTCP(factory.port, factory, backlog=backlog, interface=interface)
