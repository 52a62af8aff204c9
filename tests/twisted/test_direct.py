"""Reading and writing without the transport, on Twisted's own reactor, and on its asyncio reactor."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import functools
import ssl
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.tcp import Connection
from twisted.logger import globalLogPublisher
from twisted.protocols.policies import TimeoutFactory, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from autobahnlike.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from tests.conformance.certificates import authority, certificate
from tests.websocket.direct_endings import BROKE_OFF
from tests.websocket.direct_kit import Arena, Noting, Peer, Script, Visit, client_frame
from tests.websocket.direct_scenarios import Scenarios
from tests.wire.helpers import MASK, close_frame


@functools.cache
def reactor_named(name: str) -> Any:
    """A reactor of our own, one for all tests: a reactor cannot be closed."""
    return EPollReactor() if name == "epoll" else AsyncioSelectorReactor(asyncio.SelectorEventLoop())


class TwistedArena(Arena):
    """A reactor."""

    server_protocol = WebSocketServerProtocol
    client_protocol = WebSocketClientProtocol

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.reactor = reactor_named(name)
        self.server_factory = functools.partial(WebSocketServerFactory, reactor=self.reactor)
        self.client_factory = functools.partial(WebSocketClientFactory, reactor=self.reactor)

    def another(self) -> Arena:
        return TwistedArena(self.name)

    def in_loop(self, call: Callable[[], None]) -> None:
        self.reactor.callFromThread(call)

    def soon(self, call: Callable[[], None]) -> None:
        self.reactor.callLater(0, call)

    def is_direct(self, protocol: Any) -> bool:
        return bool(protocol._session.link._readable is not None)

    def run(self, factory: Any, script: Script, **how: Any) -> None:
        failures: list[BaseException | None] = []
        publisher: Any = globalLogPublisher
        self.reactor.callWhenRunning(self._main, factory, script, failures.append, **how)
        publisher.addObserver(self._observe)
        try:
            self.reactor.run(installSignalHandlers=False)
        finally:
            publisher.removeObserver(self._observe)
        [failure] = failures
        if failure is not None:
            raise failure

    def _observe(self, event: dict[str, Any]) -> None:
        if "log_failure" in event or event.get("isError"):
            self.errors.append(event)

    def _main(
        self,
        factory: Any,
        script: Script,
        report: Callable[[BaseException | None], None],
        path: str = "",
        wrap: Any = None,
    ) -> None:
        listening = factory if wrap is None else wrap(factory)
        if path:
            port = self.reactor.listenUNIX(path, listening)
        else:
            port = self.reactor.listenTCP(0, listening, interface="127.0.0.1")

        def finished(failure: BaseException | None) -> None:
            report(failure)
            ends: list[Deferred[Any]] = [port.stopListening(), factory.shutdown()]
            DeferredList(ends).addBoth(lambda _: self.reactor.crash())

        self.start(script, path or port.getHost().port, finished)


@pytest.fixture(params=["epoll", "asyncio"])
def arena(request: pytest.FixtureRequest) -> TwistedArena:
    """Where the server runs."""
    return TwistedArena(request.param)


class TestScenarios(Scenarios):
    """Those of all loops."""


def echoes(arena: Arena, is_direct: bool, how: dict[str, Any] | None = None) -> None:
    """Have 30 messages echoed, and look whether the socket was left to the session."""

    def script(visit: Visit) -> None:
        peer = visit.open()
        for number in range(30):
            peer.echo(b"%d" % number * 1000)
        server = visit.server()
        transport = server.transport
        while not isinstance(transport, Connection):
            transport = transport.transport
        assert ("doRead" in transport.__dict__) is is_direct
        peer.send(close_frame(1000, mask=MASK))
        peer.end()

    arena.serve(script, how=how)
    assert arena.ended == [(True, 1000, None)]
    assert arena.errors == []


def test_plain_tcp(arena: Arena) -> None:
    echoes(arena, True)


def test_not_unix_sockets(arena: Arena) -> None:
    with tempfile.TemporaryDirectory() as folder:
        echoes(arena, False, {"path": f"{folder}/socket"})


@pytest.mark.parametrize("wrapper", [WrappingFactory, lambda factory: TimeoutFactory(factory, 60)])
def test_not_a_transport_that_is_wrapped(arena: TwistedArena, wrapper: Any) -> None:
    def wrap(factory: Any) -> Any:
        wrapping = wrapper(factory)
        # Where it makes timers.
        wrapping.callLater = arena.reactor.callLater
        return wrapping

    echoes(arena, False, {"wrap": wrap})


# Twisted does that, not we.
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
def test_not_tls(arena: TwistedArena, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = certificate("localhost")
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    options = PrivateCertificate.loadPEM(chain + leaf.private_key_pem.bytes()).options()
    client = ssl.create_default_context()
    authority().configure_trust(client)
    connect = Visit.connect

    def connect_with_tls(visit: Visit, receive_buffer: int = 0) -> Peer:
        peer = connect(visit, receive_buffer)
        peer.sock = client.wrap_socket(peer.sock, server_hostname="localhost")
        return peer

    monkeypatch.setattr(Visit, "connect", connect_with_tls)
    echoes(arena, False, {"wrap": lambda factory: TLSMemoryBIOFactory(options, False, factory, arena.reactor)})


def test_a_transport_that_is_paused_and_closed_by_the_application(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a hook takes its time, reading is paused; when it has finished, the transport reads no more."""
    gates: list[Deferred[None]] = []

    class Slow(Noting):
        async def onMessage(self, payload: bytes, isBinary: bool) -> None:
            app: Any = self
            self.events.append(payload)
            if payload == b"wait":
                gates.append(Deferred())
                app.sendMessage(bytes(20_000_000))
                await gates[-1]

    def script(visit: Visit) -> None:
        peer = visit.open(receive_buffer=4096)
        for number in range(10):
            peer.message(b"%d" % number)
        server = visit.server()
        visit.until(lambda: len(server.events) == 10)
        peer.send(client_frame(2, b"wait"), client_frame(2, bytes(50_000)))
        visit.until(lambda: not server._session.connection.wants_read)
        visit.ask(server.transport.loseConnection)
        visit.ask(lambda: gates[0].callback(None))
        peer.message(b"too late")
        peer.end()
        assert visit.outcome() == BROKE_OFF
        assert b"too late" not in server.events

    arena.serve(script, Slow, readAhead=20_000, writeBufferHighWater=1 << 30, maxMessagePayloadSize=0)
    assert arena.errors == []
