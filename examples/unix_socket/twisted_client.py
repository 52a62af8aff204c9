"""A client on a Unix domain socket, on Twisted."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.task import react

from autobahnlike.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol


class EchoClient(WebSocketClientProtocol):
    def onOpen(self) -> None:
        self.sendMessage(b"Hello, world")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode())
        self.sendClose(1000)


def main(reactor: Any) -> Deferred[Any]:
    # What the request asks for; where it goes is said below.
    factory = WebSocketClientFactory("ws://localhost/")
    factory.protocol = EchoClient
    client: Deferred[Any] = clientFromString(reactor, "unix:echo.sock").connect(factory)
    return client.addCallback(lambda protocol: protocol.is_closed)


react(main)
