"""A client over TLS on Twisted that trusts one certificate and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.task import react

from autobahnlike.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol


class EchoClient(WebSocketClientProtocol):
    def onOpen(self) -> None:
        self.sendMessage(b"Hello, world")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode())
        self.sendClose(1000)


def main(reactor: Any) -> Deferred[Any]:
    factory = WebSocketClientFactory("wss://localhost:9000/")
    factory.protocol = EchoClient
    # Without `trustRoot`, the trust roots of the platform decide. The name is verified either way.
    trusted = Certificate.loadPEM(Path("client.pem").read_bytes())
    tls = optionsForClientTLS("localhost", trustRoot=trusted)
    client: Deferred[Any] = SSL4ClientEndpoint(reactor, "localhost", 9000, tls).connect(factory)
    return client.addCallback(lambda protocol: protocol.is_closed)


react(main)
