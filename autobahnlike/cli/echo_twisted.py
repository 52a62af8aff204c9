"""``serve echo`` on Twisted."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort

from autobahnlike.asgi.run_twisted import Places
from autobahnlike.cli.demo import EchoDemo
from autobahnlike.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol

__all__ = ("Echo",)


class EchoServer(EchoDemo, WebSocketServerProtocol):
    """The demo on Twisted."""


class Echo:
    """Listens from its start to its stop.

    Args:
        reactor: the reactor.
        places: where.
    """

    def __init__(self, reactor: Any, places: Places) -> None:
        self._factory = WebSocketServerFactory(reactor=reactor)
        self._factory.protocol = EchoServer
        self._places = places
        self._port: IListeningPort | None = None

    def start(self) -> Deferred[Any]:
        """Start; done when it listens."""
        return self._places.listen(self._factory).addCallback(self._listens)

    def _listens(self, port: IListeningPort) -> None:
        self._port = port

    def stop(self) -> Deferred[Any]:
        """Stop listening. The factory says goodbye to its connections by itself, when the reactor stops."""
        return succeed(None) if self._port is None else maybeDeferred(self._port.stopListening)
