"""Running a server on Twisted until a signal comes: on the default reactor of the platform, or on that of asyncio."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from zope.interface import implementer

from autobahnlike.asgi.address import url_of
from autobahnlike.asgi.failure import CannotListen, CannotServe
from autobahnlike.asgi.listening import listening
from autobahnlike.asgi.signals import on_first_signal
from autobahnlike.wire.uri import create_url

if TYPE_CHECKING:
    from autobahnlike.asgi.runner import Server

__all__ = ("Places", "Ports", "Startable", "StartableService", "install_reactor", "open_places", "run_twisted")


# Its types are few.
_TCP_PORT: Any = tcp.Port


class Startable(Protocol):
    """What can be started and stopped."""

    def start(self) -> Deferred[Any]:
        """Start; done when it listens."""

    def stop(self) -> Deferred[Any]:
        """Stop; done when everything has ended."""


class StartableService:
    """An ``ASGIService`` as something that is started and stopped.

    Args:
        service: the service.

    Attributes:
        service: the same.
    """

    def __init__(self, service: Any) -> None:
        self.service = service

    def start(self) -> Deferred[Any]:
        """Start; done when it listens."""
        self.service.startService()
        started: Deferred[Any] = self.service.started
        return started

    def stop(self) -> Deferred[Any]:
        """Stop; done when everything has ended."""
        stopped: Deferred[Any] = self.service.stopService()
        return stopped


@implementer(IStreamServerEndpoint)
class Places:
    """All places where a server listens, as one endpoint.

    Args:
        reactor: the reactor.
        places: sockets that listen already, which stay the caller's, and endpoints with the strings that they are made
            of.
        scheme: of the URLs.

    Attributes:
        tls: a context factory, if what comes to the sockets and endpoints is TLS.
        urls: where it listens, as soon as it does.
    """

    def __init__(self, reactor: Any, places: Sequence[socket.socket | tuple[str, Any]], scheme: str) -> None:
        self.tls: Any = None
        self.urls: list[str] = []
        self._reactor = reactor
        self._places = places
        self._scheme = scheme

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """Listen everywhere, or nowhere.

        Returns:
            A Deferred that is done with all ports as one, or fails with ``CannotListen``.
        """
        return Deferred.fromCoroutine(self._listen(protocolFactory))

    async def _listen(self, factory: Any) -> IListeningPort:
        if self.tls is not None:
            from twisted.protocols.tls import TLSMemoryBIOFactory

            factory = TLSMemoryBIOFactory(self.tls, False, factory, self._reactor)
        ports = Ports()
        for place in self._places:
            if isinstance(place, socket.socket):
                ports.add(self._adopt(factory, place))
                self.urls.append(url_of(place, self._scheme))
                continue
            text, endpoint = place
            try:
                port = await endpoint.listen(factory)
            except Exception as error:
                await ports.stopListening()
                raise CannotListen(f"cannot listen on {text}: {error}") from error
            ports.add(port)
            self.urls.append(_url_of_port(port, text, self._scheme))
        return ports

    def _adopt(self, factory: Any, sock: socket.socket) -> Any:
        port = self._reactor.adoptStreamPort(sock.fileno(), sock.family, factory)
        if sock.family == getattr(socket, "AF_UNIX", None):
            # A Unix port of Twisted's takes its path away when it stops, and shuts the socket down, as its TCP ports do
            # not with what they are given. Both belong to whoever opened them: other processes may listen there.
            port.connectionLost = lambda reason: _TCP_PORT.connectionLost(port, reason)
            port._shouldShutdown = False
        return port


@implementer(IListeningPort)
class Ports:
    """Several ports as one."""

    def __init__(self) -> None:
        self._ports: list[Any] = []

    def add(self, port: Any) -> None:
        """Take in one that listens."""
        self._ports.append(port)

    def startListening(self) -> None:
        """Do nothing: they listen already."""

    def stopListening(self) -> Deferred[Any]:
        """Stop all of them."""
        ports, self._ports = self._ports, []
        return gatherResults([maybeDeferred(port.stopListening) for port in ports])

    def getHost(self) -> Any:
        """Return the address of the first."""
        return self._ports[0].getHost()


def install_reactor(loop: str) -> Any:
    """Return the reactor, which is installed if there is none yet.

    Args:
        loop: "twisted" or "twisted-asyncio".

    Raises:
        CannotServe: there is another one already.
    """
    if loop == "twisted-asyncio":
        from twisted.internet import asyncioreactor

        installed = sys.modules.get("twisted.internet.reactor")
        if installed is None:
            asyncioreactor.install(_new_event_loop())  # type: ignore[no-untyped-call]
        elif not isinstance(installed, asyncioreactor.AsyncioSelectorReactor):
            raise CannotServe(
                "the loop twisted-asyncio needs the asyncio reactor, and there is another one already, "
                f"{type(installed).__name__}: something imported twisted.internet.reactor too early"
            )
    from twisted.internet import reactor

    return reactor


def _new_event_loop() -> Any:
    from autobahnlike.asgi.runner import is_installed

    if is_installed("uvloop"):
        import uvloop as loops
    else:
        import asyncio as loops  # type: ignore[no-redef]
    return loops.new_event_loop()


@contextlib.contextmanager
def open_places(reactor: Any, listen: Sequence[str | socket.socket], scheme: str) -> Any:
    """Find out what each address means, and open the sockets of those that are no endpoints.

    Args:
        reactor: the reactor.
        listen: addresses (see ``parse_address``), endpoint strings, or sockets that listen already.
        scheme: of the URLs.

    Yields:
        ``Places``.

    Raises:
        CannotListen: one of them means nothing, or cannot be listened on.
    """
    with contextlib.ExitStack() as stack:
        places: list[socket.socket | tuple[str, Any]] = []
        for place in listen:
            if isinstance(place, socket.socket):
                places.append(place)
            elif (endpoint := _endpoint(reactor, place)) is not None:
                places.append((place, endpoint))
            else:
                places += stack.enter_context(listening([place], ", or an endpoint string"))
        yield Places(reactor, places, scheme)


def run_twisted(
    server: Server,
    listen: Sequence[str | socket.socket],
    loop: str,
    on_ready: Callable[[list[str]], object],
    supervised: bool = False,
) -> None:
    """Run a server until a signal ends it.

    Args:
        server: what to run.
        listen: where; see ``open_places``.
        loop: "twisted" or "twisted-asyncio".
        on_ready: called with the URLs as soon as clients can connect.
        supervised: whether it is a parent that ends the process; see ``on_first_signal``.

    Raises:
        CannotServe: an address cannot be listened on, or another reactor is installed already.
        Exception: whatever the server raises when it starts.
    """
    reactor = install_reactor(loop)
    with open_places(reactor, listen, server.scheme) as places:
        startable = server.on_twisted(reactor, places)
        failures: list[BaseException] = []
        stops = False

        def start() -> None:
            startable.start().addCallback(lambda _: None if stops else on_ready(places.urls)).addErrback(failed)

        def stop() -> Deferred[Any]:
            nonlocal stops
            stops = True
            return startable.stop()

        def failed(failure: Any) -> None:
            if not stops:
                failures.append(failure.value)
                reactor.stop()

        # When the reactor has made sure that it wakes up for signals. Its own handlers answer a second Ctrl-C with a
        # traceback.
        reactor.callWhenRunning(on_first_signal, lambda: reactor.callFromThread(reactor.stop), supervised=supervised)
        # Only a running reactor can be stopped.
        reactor.callWhenRunning(start)
        reactor.addSystemEventTrigger("before", "shutdown", stop)
        reactor.run()
    if failures:
        raise failures[0]


def _endpoint(reactor: Any, listen: str) -> Any:
    """Return the endpoint that an endpoint string means, None if it is none."""
    # A Unix domain socket is ours, unless it has options, which only the endpoint knows.
    if listen.startswith("unix:") and listen.count(":") == 1:
        return None
    try:
        return serverFromString(reactor, listen)  # type: ignore[no-untyped-call]
    except Exception as error:
        # Endpoints may come from plug-ins, and what they raise is up to them.
        if str(error).startswith("Unknown endpoint type"):
            return None
        raise CannotListen(f"cannot listen on {listen}: {error}", asked_wrongly=True) from None


def _url_of_port(port: Any, text: str, scheme: str) -> str:
    """Return the URL of a port, or the string of its endpoint if it has none that is known."""
    address = port.getHost()
    is_secure = scheme in ("wss", "https") or text.lower().startswith("ssl:")
    if isinstance(address, UNIXAddress):
        url = create_url("unix", os.fsdecode(address.name or b""), is_secure)
    elif isinstance(address, (IPv4Address, IPv6Address)):
        url = create_url(address.host, address.port, is_secure)
    else:
        return text
    return url if scheme.startswith("ws") else f"http{url.removeprefix('ws')}"
