"""Protocols and factories on Twisted, without a socket: fed by hand, pumped in memory, on a reactor of tests."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import gc
from typing import Any

import pytest
import twisted.internet
from OpenSSL.SSL import Error, SysCallError, WantReadError
from service_identity import VerificationError
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import ClientContextFactory
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, connect

from autobahnlike.exception import InvalidArgument
from autobahnlike.twisted import websocket
from autobahnlike.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
    connectWS,
    listenWS,
)
from tests.wire.helpers import CLOSE, MASK, REQUEST, TEXT, Frame, close_frame, frame, parse_frames

LOST = Failure(ConnectionDone())


class Reactor(MemoryReactorClock):
    """A reactor of tests that also notes what is to be done before it stops, and can be told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.before_shutdown: list[Any] = []

    def addSystemEventTrigger(self, phase: str, eventType: str, callable: Any, *args: Any, **kw: Any) -> Any:  # noqa: A002
        assert (phase, eventType) == ("before", "shutdown")
        self.before_shutdown.append(callable)
        return callable

    def removeSystemEventTrigger(self, trigger: Any) -> None:
        self.before_shutdown.remove(trigger)


class Echo(WebSocketServerProtocol):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def onConnect(self, request: Any) -> None:
        self.events.append("connect")

    def onOpen(self) -> None:
        self.events.append("open")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.events.append((wasClean, code, reason))


def server(**options: Any) -> tuple[Echo, StringTransport, Reactor]:
    """An echo server on a transport that only keeps what is written."""
    reactor = Reactor()
    factory = WebSocketServerFactory(reactor=reactor)
    factory.protocol = Echo
    factory.setProtocolOptions(**options)
    protocol: Any = factory.buildProtocol(IPv4Address("TCP", "10.0.0.1", 1))
    transport = StringTransport(peerAddress=IPv4Address("TCP", "10.0.0.1", 1))
    protocol.makeConnection(transport)
    return protocol, transport, reactor


class TestFedByHand:
    def test_a_request_and_a_message(self) -> None:
        protocol, transport, _ = server()
        protocol.dataReceived(REQUEST)
        assert transport.value().startswith(b"HTTP/1.1 101 ")
        assert protocol.events == ["connect", "open"]
        assert protocol.peer == "tcp4:10.0.0.1:1"
        transport.clear()
        protocol.dataReceived(frame(TEXT, b"hello", mask=MASK))
        assert parse_frames(transport.value()) == [Frame(TEXT, b"hello")]

    def test_large_messages_both_ways(self) -> None:
        protocol, transport, _ = server()
        protocol.dataReceived(REQUEST)
        transport.clear()
        payload = bytes(range(256)) * 2000
        protocol.dataReceived(frame(2, payload, mask=MASK))
        assert parse_frames(transport.value()) == [Frame(2, payload)]

    def test_the_end(self) -> None:
        protocol, transport, reactor = server()
        protocol.dataReceived(REQUEST)
        protocol.dataReceived(close_frame(1000, b"bye", mask=MASK))
        assert transport.disconnecting
        protocol.connectionLost(LOST)
        assert protocol.events[-1] == (True, 1000, "bye")
        assert reactor.getDelayedCalls() == []

    def test_drop_connection(self) -> None:
        for abort in (True, False):
            protocol, transport, _ = server()
            protocol.dataReceived(REQUEST)
            protocol.dropConnection(abort=abort)
            assert transport.disconnecting or transport.disconnected

    def test_time_is_that_of_the_reactor(self) -> None:
        _, transport, reactor = server(openHandshakeTimeout=3.0)
        reactor.advance(2.9)
        assert not transport.disconnected
        reactor.pump([0.1, 0.1])
        assert transport.disconnected or transport.disconnecting

    def test_what_comes_without_a_connection_is_ignored(self) -> None:
        protocol = WebSocketServerProtocol()
        protocol.dataReceived(b"x")
        protocol.connectionLost(LOST)
        protocol.connectionLost()
        assert protocol.state == protocol.STATE_CLOSED

    def test_options_that_may_not_be_end_the_connection(self) -> None:
        factory = WebSocketServerFactory(reactor=Reactor())
        factory.protocol = type("Server", (Echo,), {"autoPingSize": 3})
        protocol: Any = factory.buildProtocol(None)
        transport = StringTransport()
        with pytest.raises(InvalidArgument):
            protocol.makeConnection(transport)
        assert transport.disconnecting
        protocol.connectionLost(LOST)
        assert protocol.events == []

    def test_tcp_no_delay_is_set_where_there_is_such_a_thing(self) -> None:
        class Transport(StringTransport):
            no_delay: bool | None = None

            def setTcpNoDelay(self, enabled: bool) -> None:
                self.no_delay = enabled

        for value in (True, False):
            factory = WebSocketServerFactory(reactor=Reactor())
            factory.setProtocolOptions(tcpNoDelay=value)
            transport = Transport()
            factory.buildProtocol(None).makeConnection(transport)  # type: ignore[union-attr]
            assert transport.no_delay is value


class TestPumpedInMemory:
    def test_our_client_and_our_server(self) -> None:
        class Client(WebSocketClientProtocol):
            def onOpen(self) -> None:
                self.sendMessage(b"hello")

            def onMessage(self, payload: bytes, isBinary: bool) -> None:
                got.append((payload, isBinary))
                self.sendClose(1000, "done")

            def onClose(self, *told: Any) -> None:
                got.append(told)

        got: list[Any] = []
        reactor = Reactor()
        ours, theirs = WebSocketServerFactory(reactor=reactor), WebSocketClientFactory(reactor=reactor)
        ours.protocol, theirs.protocol = Echo, Client
        address = IPv4Address("TCP", "10.0.0.1", 1)
        one: Any = ours.buildProtocol(address)
        other: Any = theirs.buildProtocol(address)
        pump = connect(one, FakeTransport(one, True), other, FakeTransport(other, False))
        pump.flush()
        assert got[0] == (b"hello", False)
        assert got[1] == (True, 1000, None)
        assert one.events == ["connect", "open", (True, 1000, "done")]


class TestReactor:
    def test_it_is_the_one_that_was_given(self) -> None:
        reactor = Reactor()
        for kind in (WebSocketServerFactory, WebSocketClientFactory):
            assert kind(reactor=reactor).reactor is reactor

    def test_or_that_of_the_first_transport(self) -> None:
        transport = StringTransport()
        transport.reactor = reactor = Reactor()  # type: ignore[attr-defined]
        factory = WebSocketServerFactory()
        protocol: Any = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        assert factory.reactor is reactor
        assert len(reactor.getDelayedCalls()) == 1

    def test_or_the_global_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor = Reactor()
        monkeypatch.setattr(twisted.internet, "reactor", reactor, raising=False)
        assert WebSocketServerFactory().reactor is reactor

    def test_it_may_be_set_later(self) -> None:
        factory, first, second = WebSocketServerFactory(), Reactor(), Reactor()
        factory.reactor = first
        loop: Any = factory._event_loop
        assert loop.reactor is first
        assert factory._event_loop is loop
        factory.reactor = second
        loop = factory._event_loop
        assert loop.reactor is second


class TestShutdown:
    def test_connections_are_closed_before_the_reactor_stops(self) -> None:
        protocol, transport, reactor = server()
        protocol.dataReceived(REQUEST)
        transport.clear()
        (trigger,) = reactor.before_shutdown
        done: list[Any] = []
        trigger().addCallback(done.append)
        (closing,) = parse_frames(transport.value())
        assert (closing.opcode, closing.payload) == (CLOSE, (1001).to_bytes(2, "big"))
        assert done == []
        protocol.dataReceived(close_frame(1001, mask=MASK))
        protocol.connectionLost(LOST)
        assert done == [None]

    def test_a_factory_without_connections_is_not_held(self) -> None:
        protocol, _, reactor = server()
        assert len(reactor.before_shutdown) == 1
        other: Any = protocol.factory.buildProtocol(None)
        other.makeConnection(StringTransport())
        assert len(reactor.before_shutdown) == 1
        protocol.connectionLost(LOST)
        assert len(reactor.before_shutdown) == 1
        other.connectionLost(LOST)
        assert reactor.before_shutdown == []

    def test_a_reactor_that_is_only_a_clock_will_do(self) -> None:
        from twisted.internet.task import Clock

        factory = WebSocketServerFactory(reactor=Clock())
        protocol: Any = factory.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        protocol.connectionLost(LOST)
        assert factory.countConnections == 0


class TestWhyItWasLost:
    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (ConnectionDone(), None),
            (Error([("SSL routines", "", "certificate verify failed")]), "SSL routines::certificate verify failed"),
            (Error([]), "Error"),
            (Error(), "Error"),
            (WantReadError(), "WantReadError"),
            (SysCallError(-1, "Unexpected EOF"), "SysCallError"),
            (VerificationError(errors=[]), "VerificationError(errors=[])"),
        ],
    )
    def test_only_tls_is_worth_telling(self, error: Exception, why: str | None) -> None:
        protocol, _, _ = server()
        protocol.connectionLost(Failure(error))
        text = "peer dropped the TCP connection without previous WebSocket closing handshake"
        expected = text if why is None else f"SSL error: {why}"
        assert protocol.events == [(False, 1006, f'connection was closed uncleanly ("{expected}")')]


class TestConnectWS:
    def test_tcp(self) -> None:
        reactor = Reactor()
        factory = WebSocketClientFactory("ws://example.com:81/path", reactor=reactor)
        connectWS(factory, timeout=7, bindAddress=("10.0.0.1", 0))
        assert list[Any](reactor.tcpClients) == [("example.com", 81, factory, 7, ("10.0.0.1", 0))]

    def test_unix(self) -> None:
        reactor = Reactor()
        factory = WebSocketClientFactory("ws://unix:/run/socket", reactor=reactor)
        connectWS(factory)
        assert reactor.unixClients[0][:2] == ("/run/socket", factory)

    def test_tls(self) -> None:
        reactor = Reactor()
        factory = WebSocketClientFactory("wss://example.com", reactor=reactor)
        context = ClientContextFactory()
        connectWS(factory, context)
        assert reactor.sslClients[0][:4] == ("example.com", 443, factory, context)

    def test_tls_verifies_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, expected = Reactor(), object()
        monkeypatch.setattr("twisted.internet.ssl.optionsForClientTLS", lambda host: (expected, host))
        factory = WebSocketClientFactory("wss://example.com", reactor=reactor)
        connectWS(factory)
        assert reactor.sslClients[0][3] == (expected, "example.com")

    def test_not_through_a_proxy(self) -> None:
        with pytest.raises(InvalidArgument, match="proxy"):
            connectWS(WebSocketClientFactory(proxy={"host": "localhost", "port": 8080}, reactor=Reactor()))


class TestListenWS:
    def test_tcp(self) -> None:
        reactor = Reactor()
        factory = WebSocketServerFactory("ws://localhost:81", reactor=reactor)
        port = listenWS(factory, backlog=7, interface="127.0.0.1")
        assert reactor.tcpServers == [(81, factory, 7, "127.0.0.1")]
        assert port is not None

    def test_unix(self) -> None:
        reactor = Reactor()
        factory = WebSocketServerFactory("ws://unix:/run/socket", reactor=reactor)
        listenWS(factory)
        assert reactor.unixServers[0][:2] == ("/run/socket", factory)

    def test_tls(self) -> None:
        reactor = Reactor()
        factory = WebSocketServerFactory("wss://localhost:444", reactor=reactor)
        context = ClientContextFactory()
        listenWS(factory, context)
        assert reactor.sslServers[0][:3] == (444, factory, context)

    def test_not_tls_without_a_certificate(self) -> None:
        with pytest.raises(InvalidArgument, match="contextFactory"):
            listenWS(WebSocketServerFactory("wss://localhost", reactor=Reactor()))


class TestClasses:
    def test_defaults(self) -> None:
        assert WebSocketServerFactory().protocol is WebSocketServerProtocol
        assert WebSocketClientFactory().protocol is WebSocketClientProtocol
        for kind in (WebSocketServerProtocol, WebSocketClientProtocol):
            assert issubclass(kind, Protocol)

    def test_all_is_there(self) -> None:
        assert sorted(websocket.__all__) == list(websocket.__all__)
        assert all(hasattr(websocket, name) for name in websocket.__all__)

    def test_a_protocol_has_a_logger(self) -> None:
        WebSocketServerProtocol.log.debug("said {what}", what="nothing")
        gc.collect()
