"""An echo server on a Unix domain socket, on Twisted."""

from __future__ import annotations

from twisted.internet import endpoints, reactor

from autobahnlike.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol


class EchoServer(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


factory = WebSocketServerFactory()
factory.protocol = EchoServer

endpoints.serverFromString(reactor, "unix:echo.sock").listen(factory)
reactor.run()
