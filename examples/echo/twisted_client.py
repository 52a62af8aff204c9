"""A client on Twisted, for the echo server beside it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.task import react

from autobahnlike.twisted.websocket import ConnectionResponse, WebSocketClientFactory, WebSocketClientProtocol


class EchoClient(WebSocketClientProtocol):
    def onConnect(self, response: ConnectionResponse) -> None:
        print(f"connected to {response.peer}")

    def onOpen(self) -> None:
        self.sendMessage(b"Hello, world")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode())
        self.sendClose(1000, "that was all")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"closed: {code} {reason}")


def main(reactor: Any) -> Deferred[Any]:
    factory = WebSocketClientFactory("ws://127.0.0.1:9000/")
    factory.protocol = EchoClient
    client: Deferred[Any] = clientFromString(reactor, "tcp:127.0.0.1:9000").connect(factory)
    return client.addCallback(lambda protocol: protocol.is_closed)


react(main)
