"""An echo server over TLS on Twisted. It needs a certificate: examples/README.md says how to make one."""

from __future__ import annotations

from twisted.internet import endpoints, reactor

from autobahnlike.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol


class EchoServer(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


factory = WebSocketServerFactory()
factory.protocol = EchoServer

endpoint = endpoints.serverFromString(reactor, "ssl:9000:interface=127.0.0.1:privateKey=server.key:certKey=server.pem")
endpoint.listen(factory)
reactor.run()
