"""A server on Twisted with short deadlines: clients that fall silent are dropped soon."""

from __future__ import annotations

from twisted.internet import reactor

from autobahnlike.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol


class Impatient(WebSocketServerProtocol):
    def onPong(self, payload: bytes) -> None:
        print(f"{self.peer} lives")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"{self.peer} is gone: {reason}")


factory = WebSocketServerFactory()
factory.protocol = Impatient
factory.setProtocolOptions(
    # From connecting to open, whatever the client does.
    openHandshakeTimeout=2,
    # A ping after a second of silence, and two for the answer.
    autoPingInterval=1,
    autoPingTimeout=2,
    # From a close frame to the answer.
    closeHandshakeTimeout=2,
)

reactor.listenTCP(9000, factory, interface="127.0.0.1")
reactor.run()
