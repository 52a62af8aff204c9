"""Serving ASGI applications on Twisted, as a service.

::

    service = ASGIService(app, "tcp:8000:interface=127.0.0.1")
    service.setServiceParent(application)

On the asyncio reactor applications run as tasks of its loop and may use asyncio; they, and views of
``autobahnlike.app``, may await Deferreds as well. On the other reactors they await Deferreds and what ``receive`` and
``send`` return.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from autobahnlike.asgi.counters import ServerCounters
from autobahnlike.asgi.http import HttpConnection
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.scope import Application
from autobahnlike.asgi.server import Server, check_application
from autobahnlike.asgi.websocket import ASGIWebSocket
from autobahnlike.exception import InvalidArgument
from autobahnlike.twisted.loop import TwistedLink, TwistedLoop
from autobahnlike.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahnlike.wire.uri import create_url

__all__ = ("ASGIService",)

_log = Logger(namespace="autobahnlike.asgi")

# How much a response may be ahead of its client before the application has to wait.
_HIGH_WATER = 65536


class _WebSocket(ASGIWebSocket, WebSocketServerProtocol):
    """The WebSockets of applications."""


@implementer(IHalfCloseableProtocol)
class _HttpProtocol(Protocol):
    """A connection that has not become a WebSocket."""

    # Where the link finds whom to tell that the transport is full.
    _session: HttpConnection

    def __init__(self, server: Server) -> None:
        self._server = server

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        self._session = HttpConnection(self._server, TwistedLink(transport, self, _HIGH_WATER), self._upgrade)

    def dataReceived(self, data: bytes) -> None:
        self._session.data_received(data)

    def readConnectionLost(self) -> None:
        self._session.peer_ended()

    def writeConnectionLost(self) -> None:
        """We have ended our side; that of the client has its time."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._session.connection_lost()

    def _upgrade(self, head: bytes, rest: bytes) -> None:
        transport: Any = self.transport
        protocol = self._server.websockets.buildProtocol(transport.getPeer())
        protocol.asgi_server = self._server
        protocol.head = head
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        self.transport = None
        protocol.makeConnection(transport)
        protocol.dataReceived(head + rest)


class _WebSocketFactory(WebSocketServerFactory):
    """Makes the WebSockets of one service.

    Attributes:
        service: the service.
    """

    service: Service

    def _reactor_stops(self) -> Any:
        if self.service.running:
            return super()._reactor_stops()
        # The service sees to them, each when its turn has come.
        self._shutdown_trigger = None
        return None


class _HttpFactory(ServerFactory):
    """Makes the connections of one server."""

    noisy = False

    def __init__(self, server: Server) -> None:
        self._server = server

    def buildProtocol(self, addr: Any) -> Protocol:
        return _HttpProtocol(self._server)


class ASGIService(Service):
    """A service that serves an application.

    When it is started, the application is told to get ready (lifespan) once the reactor runs, then the service listens.
    When it is stopped, nothing is listened to any more, WebSockets are closed, at once or as ``drain_timeout`` says,
    requests are given ``shutdown_timeout`` seconds, and the application is told that it is over.

    Args:
        app: an application of ASGI 3.
        endpoint: where to listen: an endpoint, or the string of one.
        sockets: sockets that listen already, instead of ``endpoint``; the service closes its own copies only.
        reactor: the reactor; None for the global one.
        tls: for https and wss on ``sockets``, a context factory with certificate and key. An endpoint has its own.
        options: what else can be set.

    Attributes:
        urls: where it listens, while it does.
        counters: what it has done.
        started: done with ``urls`` when it listens; it fails with ``LifespanFailed`` if the application does not start,
            or with what the endpoint says.

    Raises:
        InvalidArgument: ``app`` is not an application, or there is no place to listen, or two.
    """

    name = "autobahnlike"

    def __init__(
        self,
        app: Application,
        endpoint: Any = None,
        *,
        sockets: Sequence[socket.socket] | None = None,
        reactor: Any = None,
        tls: Any = None,
        options: ServerOptions | None = None,
    ) -> None:
        check_application(app)
        if (endpoint is None) == (sockets is None):
            raise InvalidArgument("give an endpoint or sockets to listen on, and not both")
        if reactor is None:
            from twisted.internet import reactor
        self.urls: list[str] = []
        self.counters = ServerCounters()
        # What became of the start, and who waits for it.
        self._outcome: Any = None
        self._waiters: list[Deferred[list[str]]] = []
        self._reactor: Any = reactor
        self._app = app
        self._endpoint = endpoint
        self._sockets = sockets
        self._tls = tls
        self._options = options or ServerOptions()
        self._server: Server | None = None
        self._starting: Deferred[Any] | None = None
        self._ports: list[Any] = []

    @property
    def started(self) -> Deferred[list[str]]:
        """See the attributes. Whoever asks for it takes care of its failure, which is logged otherwise."""
        waiter: Deferred[list[str]] = Deferred()
        if self._outcome is not None:
            # A Failure as well as a result.
            waiter.callback(self._outcome)
        else:
            self._waiters.append(waiter)
        return waiter

    def startService(self) -> None:
        """Start once the reactor runs."""
        super().startService()  # type: ignore[no-untyped-call]
        self._outcome = None
        # In a turn of its own: a loop of asyncio runs after the reactor says that it does.
        self._reactor.callWhenRunning(lambda: self._reactor.callLater(0, self._start))

    def _start(self) -> None:
        if not self.running or self._starting is not None or self._server is not None:
            return
        starting = self._starting = Deferred.fromCoroutine(self._startup())
        starting.addBoth(self._has_started)

    def _has_started(self, outcome: list[str] | Failure) -> None:
        self._starting = None
        self._outcome = outcome
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(outcome)
        if isinstance(outcome, Failure) and not waiters and not isinstance(outcome.value, CancelledError):
            # Nobody asks: it must not be a secret.
            _log.failure("the application cannot be served", failure=outcome)

    async def _startup(self) -> list[str]:
        server = self._server = self._make_server()
        try:
            factory = _WebSocketFactory(reactor=self._reactor)
            factory.service = self
            factory.protocol = _WebSocket
            factory.setProtocolOptions(**self._options.of_websockets())
            server.websockets = factory
            await server.startup()
            self._ports = await self._listen(_HttpFactory(server))
        except BaseException:
            self._server = None
            # It may have started, and there is no place to listen.
            await server.shutdown()
            raise
        self.urls = [self._url(port.getHost()) for port in self._ports]
        self.counters.has_started = True
        return self.urls

    def _make_server(self) -> Server:
        loop = TwistedLoop(self._reactor)
        asyncioreactor = sys.modules.get("twisted.internet.asyncioreactor")
        if asyncioreactor is None or not isinstance(self._reactor, asyncioreactor.AsyncioSelectorReactor):
            return Server(self._app, loop, self._options, counters=self.counters)
        import asyncio

        from autobahnlike.asgi.bridge import bridge
        from autobahnlike.asyncio.loop import AsyncioLoop

        apps = AsyncioLoop(asyncio.get_running_loop())
        return Server(self._app, loop, self._options, apps, bridge, counters=self.counters)

    async def _listen(self, factory: Any) -> list[Any]:
        if self._sockets is None:
            endpoint = self._endpoint
            if isinstance(endpoint, str):
                endpoint = serverFromString(self._reactor, endpoint)  # type: ignore[no-untyped-call]
            return [await endpoint.listen(factory)]
        if self._tls is not None:
            factory = TLSMemoryBIOFactory(self._tls, False, factory, self._reactor)
        return [self._reactor.adoptStreamPort(sock.fileno(), sock.family, factory) for sock in self._sockets]

    def _url(self, address: object) -> str:
        is_secure = self._tls is not None or str(self._endpoint).lower().startswith("ssl:")
        scheme = "https" if is_secure else "http"
        if isinstance(address, (IPv4Address, IPv6Address)):
            url = create_url(address.host, address.port, is_secure)
        elif isinstance(address, UNIXAddress):
            url = create_url("unix", os.fsdecode(address.name or b""), is_secure)
        else:
            return f"{scheme}: {address}"
        return scheme + url[url.index(":") :]

    def stopService(self) -> Deferred[None]:
        """Stop; done when everything has ended. What has not started yet does not, and ``started`` fails."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        elif self._server is None and self._outcome is None:
            self._has_started(Failure(CancelledError()))  # type: ignore[no-untyped-call]
        ports, self._ports = self._ports, []
        self.urls = []
        await gatherResults([maybeDeferred(port.stopListening) for port in ports])
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()
