"""On the reactor of the process, as an application's own tests would run with pytest-twisted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_twisted
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint

from autobahnlike.exception import Disconnected
from autobahnlike.twisted.util import sleep
from autobahnlike.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
    connectWS,
)

reactor: Any = global_reactor


class Echo(WebSocketServerProtocol):
    async def onMessage(self, payload: bytes, isBinary: bool) -> None:
        await sleep(0)
        self.sendMessage(payload, isBinary)


class Client(WebSocketClientProtocol):
    received: Deferred[bytes]

    def onOpen(self) -> None:
        self.received = Deferred()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.received.callback(payload)


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def url() -> AsyncIterator[str]:
    """Where an echo server listens."""
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    yield f"ws://127.0.0.1:{port.getHost().port}/"
    await port.stopListening()
    await factory.shutdown()


def client_factory(url: str) -> tuple[WebSocketClientFactory, Client]:
    factory = WebSocketClientFactory(url)
    client = Client()
    client.factory = factory
    factory.protocol = lambda: client
    return factory, client


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_echo_through_connectws(url: str) -> None:
    factory, client = client_factory(url)
    connectWS(factory)
    await client.is_open
    client.sendMessage(b"hello")
    assert await client.received == b"hello"
    client.sendClose(1000)
    assert await client.is_closed is client
    assert client.wasClean


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_echo_through_an_endpoint(url: str) -> None:
    factory, client = client_factory(url)
    assert await TCP4ClientEndpoint(reactor, factory.host, factory.port).connect(factory) is client
    await client.is_open
    client.sendMessage(bytes(1_000_000), True)
    await client.drained()
    assert await client.received == bytes(1_000_000)
    client.dropConnection()
    await client.is_closed
    try:
        await client.drained()
    except Disconnected:
        return
    raise AssertionError("drained() of a closed connection has to fail")
