"""An echo server on Twisted: whatever comes goes back."""

from __future__ import annotations

from twisted.internet import reactor

from autobahnlike.twisted.websocket import ConnectionRequest, WebSocketServerFactory, WebSocketServerProtocol


class EchoServer(WebSocketServerProtocol):
    def onConnect(self, request: ConnectionRequest) -> None:
        print(f"{request.peer} connects")

    def onOpen(self) -> None:
        print("open")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(f"{len(payload)} bytes, {'binary' if isBinary else 'text'}")
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"closed: {code} {reason}")


factory = WebSocketServerFactory()
factory.protocol = EchoServer

reactor.listenTCP(9000, factory, interface="127.0.0.1")
reactor.run()
