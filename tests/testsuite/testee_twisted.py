"""The testee on Twisted, made with the public API only: on the default reactor and on that of asyncio."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred

from autobahnlike.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from tests.testsuite.testee import case_url, main

if TYPE_CHECKING:
    from twisted.internet.interfaces import IConnector
    from twisted.python.failure import Failure


class EchoServer(WebSocketServerProtocol):
    """Send every message back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class EchoClient(WebSocketClientProtocol):
    """Send every message back; remember the last one, and tell when the connection has ended."""

    factory: VisitFactory
    last = b""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.last = payload
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.ended.callback(self.last)


class Listener(EchoClient):
    """Send nothing back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.last = payload


class VisitFactory(WebSocketClientFactory):
    """Makes one connection.

    Attributes:
        ended: fires with the last message when the connection has ended.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.ended: Deferred[bytes] = Deferred()

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.ended.errback(reason)


def visit(url: str, protocol: type[EchoClient]) -> Deferred[bytes]:
    """Connect, and give the last message when the connection has ended.

    Args:
        url: where to connect.
        protocol: what to do there.
    """
    from twisted.internet import reactor

    factory = VisitFactory(url)
    factory.protocol = protocol
    reactor.connectTCP(factory.host, factory.port, factory)
    return factory.ended


async def run_client(url: str, agent: str) -> None:
    """Run every case that a fuzzing server has.

    Args:
        url: the fuzzing server.
        agent: the name to report under.
    """
    count = json.loads(await visit(f"{url}/getCaseCount", Listener))
    for number in range(1, count + 1):
        await visit(case_url(url, agent, number), EchoClient)
    await visit(f"{url}/updateReports?agent={agent}", Listener)


def choose_reactor(name: str) -> None:
    """Install the named reactor.

    Args:
        name: "twisted" for the default one of the platform, "twisted-asyncio" for asyncio's, on uvloop.
    """
    if name == "twisted-asyncio":
        import uvloop
        from twisted.internet import asyncioreactor

        asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]


def serve(loop: str) -> None:
    """Serve on a free port, which is printed, until the process is ended."""
    choose_reactor(loop)
    from twisted.internet import reactor

    factory = WebSocketServerFactory()
    factory.protocol = EchoServer
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    address = port.getHost()
    assert isinstance(address, IPv4Address)
    print(address.port, flush=True)
    reactor.run()


def connect(loop: str, url: str, agent: str) -> None:
    """Be the client on a loop."""
    choose_reactor(loop)
    from twisted.internet.task import react

    react(lambda _reactor: Deferred.fromCoroutine(run_client(url, agent)))


if __name__ == "__main__":
    main(serve, connect)
