"""All four callbacks on Twisted, in the shape of Autobahn's programming guide.

The first argument is the port; the second may be the time-out of closing handshakes.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from twisted.internet import reactor as default_reactor
from twisted.python import log

from autobahnlike.twisted.websocket import ConnectionRequest, WebSocketServerFactory, WebSocketServerProtocol


class MyServerProtocol(WebSocketServerProtocol):
    def onConnect(self, request: ConnectionRequest) -> None:
        print(f"Client connecting: {request.peer}")

    def onOpen(self) -> None:
        print("WebSocket connection open.")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if isBinary:
            print(f"Binary message received: {len(payload)} bytes")
        else:
            print(f"Text message received: {payload.decode('utf8')}")
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"WebSocket connection closed: {reason}")


if __name__ == "__main__":
    log.startLogging(sys.stdout)  # type: ignore[no-untyped-call]
    reactor = cast(Any, default_reactor)

    factory = WebSocketServerFactory()
    factory.protocol = MyServerProtocol
    if sys.argv[2:]:
        factory.setProtocolOptions(closeHandshakeTimeout=float(sys.argv[2]))

    reactor.listenTCP(int(sys.argv[1]), factory)
    reactor.run()
