"""A server on Twisted with hooks that take their time."""

from __future__ import annotations

from twisted.internet import reactor

from autobahnlike.twisted.util import sleep
from autobahnlike.twisted.websocket import (
    ConnectionDeny,
    ConnectionRequest,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)


class Slow(WebSocketServerProtocol):
    async def onConnect(self, request: ConnectionRequest) -> None:
        # The client waits for its answer until this is done.
        await sleep(0.01)
        if "token" not in request.params:
            raise ConnectionDeny(ConnectionDeny.FORBIDDEN, "no token")

    async def onMessage(self, payload: bytes, isBinary: bool) -> None:
        # The next message of this client waits as well, so answers keep their order; other clients do not wait.
        await sleep(0.1 / (1 + len(payload)))
        self.sendMessage(payload.upper(), isBinary)


factory = WebSocketServerFactory()
factory.protocol = Slow

reactor.listenTCP(9000, factory, interface="127.0.0.1")
reactor.run()
