"""A server on Twisted that speaks two subprotocols, and refuses clients that speak neither."""

from __future__ import annotations

import json

from twisted.internet import reactor

from autobahnlike.twisted.websocket import (
    ConnectionDeny,
    ConnectionRequest,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)

SUPPORTED = ("numbers.json", "numbers.text")


class Doubler(WebSocketServerProtocol):
    def onConnect(self, request: ConnectionRequest) -> str:
        for protocol in request.protocols:
            if protocol in SUPPORTED:
                return protocol
        raise ConnectionDeny(ConnectionDeny.BAD_REQUEST, f"speak one of {', '.join(SUPPORTED)}")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        try:
            number = float(
                json.loads(payload)["number"] if self.websocket_protocol_in_use == "numbers.json" else payload
            )
        except (ValueError, TypeError, KeyError):
            self.sendClose(1008, "send a number")
            return
        doubled = {"number": 2 * number} if self.websocket_protocol_in_use == "numbers.json" else 2 * number
        self.sendMessage(json.dumps(doubled).encode())


factory = WebSocketServerFactory()
factory.protocol = Doubler

reactor.listenTCP(9000, factory, interface="127.0.0.1")
reactor.run()
