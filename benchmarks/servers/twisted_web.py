"""Twisted's own twisted.web.websocket."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.websocket import WebSocketResource, WebSocketTransport

from benchmarks.servers.common import HOST, Arguments, parse


class Echo:
    """Every message goes back."""

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def negotiationFinished(self) -> None:
        """Nothing to do."""

    def pongReceived(self, payload: bytes) -> None:
        """Nothing to do."""

    def textMessageReceived(self, message: str) -> None:
        """Send it."""
        self.transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        """Send it."""
        # Its own type is too narrow: the core below takes both.
        self.transport.sendBytesMessage(data)  # type: ignore[arg-type]

    def connectionLost(self, reason: Failure) -> None:
        """Nothing to do."""


class Broadcast(Echo):
    """Every message goes to everybody."""

    clients: set[Broadcast] = set()  # noqa: RUF012

    def negotiationFinished(self) -> None:
        """Take it in."""
        self.clients.add(self)

    def textMessageReceived(self, message: str) -> None:
        """Send it."""
        for client in self.clients:
            client.transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        """Send it."""
        for client in self.clients:
            client.transport.sendBytesMessage(data)  # type: ignore[arg-type]

    def connectionLost(self, reason: Failure) -> None:
        """Forget it."""
        self.clients.discard(self)


class Connections:
    """Makes a protocol for each connection.

    Args:
        arguments: what it has to do.
    """

    def __init__(self, arguments: Arguments) -> None:
        self.protocol = Broadcast if arguments.broadcast else Echo

    def buildProtocol(self, request: Request) -> Echo:
        """Make one."""
        return self.protocol()


def main() -> None:
    """Serve."""
    arguments = parse()
    root = Resource()
    root.putChild(b"", WebSocketResource(Connections(arguments)))
    listening: Any = reactor
    listening.listenTCP(arguments.port, Site(root), interface=HOST)
    listening.run()


if __name__ == "__main__":
    main()
