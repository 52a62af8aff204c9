"""The end of a server that closes its WebSockets one after another, in memory: with time that tests make pass."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from autobahnlike.asgi.twisted import ASGIService
from autobahnlike.exception import InvalidArgument
from autobahnlike.logs import ConnectionIdFilter, about
from tests.asgi.kit import disconnected, echo_view, get, hello_app, respond, websocket_app
from tests.asgi.memory import Conversation, Site, websocket
from tests.conformance.kit import request
from tests.wire.helpers import CLOSE, TEXT, Frame, close_frame, parse_frames

if TYPE_CHECKING:
    from autobahnlike.asgi import ServerOptions
    from autobahnlike.asgi.scope import Receive, Scope, Send

GOING_AWAY = (1001).to_bytes(2, "big")
SERVICE_RESTART = (1012).to_bytes(2, "big")


def opened(site: Site) -> Conversation:
    client = websocket(site)
    assert client.take().startswith(b"HTTP/1.1 101 ")
    return client


def answer_close(client: Conversation) -> None:
    """Answer the closing handshake, and be gone."""
    client.receive(close_frame(1012, mask=b"mask"))
    client.lose()


def test_websockets_are_closed_one_after_another() -> None:
    codes: list[int] = []

    async def view(receive: Receive, send: Send) -> None:
        codes.append((await disconnected(receive))["code"])

    site = Site(websocket_app(view), drain_timeout=4.0)
    clients = [opened(site) for _ in range(4)]
    stopping = site.run(site.server.shutdown())
    for number, client in enumerate(clients):
        assert client.frames() == [Frame(CLOSE, SERVICE_RESTART)]
        answer_close(client)
        assert codes == [1012] * (number + 1)
        assert all(other.take() == b"" for other in clients[number + 1 :])
        assert stopping.called is (number == 3)
        site.advance(1)
    assert site.loop.clock.getDelayedCalls() == []


def test_without_it_all_of_them_are_closed_at_once_for_good() -> None:
    site = Site(websocket_app(echo_view))
    clients = [opened(site) for _ in range(4)]
    stopping = site.run(site.server.shutdown())
    for client in clients:
        assert client.frames() == [Frame(CLOSE, GOING_AWAY)]
        answer_close(client)
    assert stopping.called


def test_those_whose_turn_has_not_come_go_on() -> None:
    site = Site(websocket_app(echo_view), drain_timeout=10.0)
    first, last = opened(site), opened(site)
    stopping = site.run(site.server.shutdown())
    answer_close(first)
    site.advance(4.9)
    last.frame(TEXT, b"still here")
    assert last.frames() == [Frame(TEXT, b"still here")]
    site.advance(0.2)
    assert last.frames() == [Frame(CLOSE, SERVICE_RESTART)]
    answer_close(last)
    assert stopping.called


def test_the_server_is_stopping_from_the_first_moment() -> None:
    site = Site(hello_app, drain_timeout=10.0)
    for _ in range(2):
        opened(site)
    site.run(site.server.shutdown())
    assert site.server.is_stopping
    assert websocket(site).take().startswith(b"HTTP/1.1 503 ")


def test_a_first_request_that_is_on_its_way_is_answered() -> None:
    site = Site(hello_app, drain_timeout=3.0)
    opened(site)
    early, silent = site.connect(), site.connect()
    stopping = site.run(site.server.shutdown())
    late = site.connect()
    for client in (early, late):
        site.advance(1)
        client.receive(get())
        answer = client.answer()
        assert (answer.status, answer.header("connection"), client.link.calls) == (200, "close", ["finish"])
        client.lose()
    assert silent.link.calls == []
    site.advance(1.1)
    assert silent.link.calls == ["close"]
    silent.lose()
    assert not stopping.called


def test_idle_connections_of_http_are_ended_at_once_and_others_after_their_response() -> None:
    gate: Deferred[None] = Deferred()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await websocket_app(echo_view)(scope, receive, send)
        elif scope["path"] == "/slow":
            await gate
        await respond(send, b"done")

    site = Site(app, drain_timeout=10.0)
    clients = [opened(site) for _ in range(2)]
    idle, busy = site.connect(get()), site.connect(get("/slow"))
    idle.take()
    stopping = site.run(site.server.shutdown())
    assert idle.link.calls == ["close"]
    idle.lose()
    site.advance(6)
    assert busy.link.calls == []
    gate.callback(None)
    answer = busy.answer()
    assert (answer.body, answer.header("connection"), busy.link.calls) == (b"done", "close", ["finish"])
    busy.lose()
    for client in clients:
        answer_close(client)
    assert stopping.called


def test_what_does_not_end_has_its_time_after_the_drain() -> None:
    cancelled: list[str] = []

    async def view(receive: Receive, send: Send) -> None:
        name = (await receive())["text"]
        try:
            await Deferred()
        except BaseException:
            cancelled.append(name)
            raise

    site = Site(websocket_app(view), drain_timeout=10.0, shutdown_timeout=5.0)
    clients = [opened(site) for _ in range(2)]
    for name, client in zip((b"first", b"last"), clients, strict=True):
        client.frame(TEXT, name)
    stopping = site.run(site.server.shutdown())
    for client in clients:
        client.lose()
    # There is nobody any more to drain: the time of the applications begins.
    site.advance(4.9)
    assert cancelled == []
    site.advance(0.2)
    assert cancelled == ["first", "last"]
    assert stopping.called


def test_clients_that_do_not_answer_are_dropped_when_their_time_is_over() -> None:
    site = Site(
        websocket_app(echo_view), drain_timeout=10.0, shutdown_timeout=3.0, websocket={"closeHandshakeTimeout": 0}
    )
    clients = [opened(site) for _ in range(2)]
    stopping = site.run(site.server.shutdown())
    site.advance(5.1)
    assert [client.frames() for client in clients] == [[Frame(CLOSE, SERVICE_RESTART)]] * 2
    site.advance(2.8)
    assert not any(client.is_aborted for client in clients)
    site.advance(0.2)
    assert all(client.is_aborted for client in clients)
    for client in clients:
        client.lose()
    assert stopping.called


def test_one_that_is_accepted_meanwhile_is_closed_in_the_end() -> None:
    gates: list[Deferred[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            gates.append(Deferred())
            await gates[-1]
        await websocket_app(echo_view)(scope, receive, send)

    site = Site(app, drain_timeout=10.0)
    late = websocket(site, "/late")
    first, last = opened(site), opened(site)
    stopping = site.run(site.server.shutdown())
    site.advance(5)
    gates[0].callback(None)
    assert late.take().startswith(b"HTTP/1.1 101 ")
    site.advance(5)
    for client in (late, first, last):
        assert client.frames() == [Frame(CLOSE, SERVICE_RESTART)]
        answer_close(client)
    assert stopping.called


def test_the_lifespan_ends_after_all_of_them() -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                told.append(phase)
                await send({"type": f"lifespan.{phase}.complete"})
            return
        await websocket_app(disconnected_view)(scope, receive, send)

    async def disconnected_view(receive: Receive, send: Send) -> None:
        told.append(str((await disconnected(receive))["code"]))

    site = Site(app, drain_timeout=2.0, lifespan="on")
    site.run(site.server.startup())
    clients = [opened(site) for _ in range(2)]
    stopping = site.run(site.server.shutdown())
    site.advance(1.1)
    for client in clients:
        answer_close(client)
    assert stopping.called
    assert told == ["startup", "1012", "1012", "shutdown"]


@pytest.mark.parametrize("count", [0, 2])
def test_what_is_going_on_is_logged(count: int, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(websocket_app(echo_view), drain_timeout=2.5)
    for _ in range(count):
        opened(site)
    caplog.handler.addFilter(ConnectionIdFilter())
    # It is about nobody, whoever set the timer in whose context a reactor calls this.
    with caplog.at_level(logging.INFO, "autobahnlike.asgi"), about("somebody"):
        site.run(site.server.shutdown())
    assert caplog.messages == ["closing 2 WebSockets within 2.5 seconds"][:count]
    assert all(vars(record)["connection_id"] is None for record in caplog.records)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_no_time_is_less_than_none(seconds: float) -> None:
    with pytest.raises(InvalidArgument, match="drain_timeout must be at least 0"):
        options_with(drain_timeout=seconds)


def options_with(**options: Any) -> ServerOptions:
    return Site(hello_app, **options).server.options


class TestReactor:
    """On Twisted, factories close their connections themselves when the reactor stops."""

    def test_not_where_the_service_was_stopped(self) -> None:
        service, reactor, transports = listening(drain_timeout=10.0)
        stopping = service.stopService()
        fire(reactor)
        assert [closing_of(transport) for transport in transports] == [SERVICE_RESTART, b""]
        reactor.advance(5)
        assert closing_of(transports[1]) == SERVICE_RESTART
        for transport in transports:
            transport.protocol.connectionLost(Failure(ConnectionDone()))
        assert stopping.called

    def test_but_where_nobody_stops_it(self) -> None:
        _, reactor, transports = listening(drain_timeout=10.0)
        fire(reactor)
        assert [closing_of(transport) for transport in transports] == [GOING_AWAY] * 2


def listening(**options: Any) -> tuple[ASGIService, Any, list[Any]]:
    """A service on a reactor of tests, that reactor, and the transports of two WebSockets."""
    reactor: Any = MemoryReactorClock()
    service = ASGIService(hello_app, "tcp:8000", reactor=reactor, options=options_with(**options))
    service.startService()
    reactor.run()
    reactor.advance(0)
    transports = []
    for _ in range(2):
        protocol = reactor.tcpServers[0][1].buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        transport: Any = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 1))
        protocol.makeConnection(transport)
        protocol.dataReceived(request())
        transport.clear()
        transports.append(transport)
    return service, reactor, transports


def fire(reactor: Any) -> None:
    """Have the reactor stop, as far as its triggers go."""
    for function, arguments, named in reactor.triggers["before"]["shutdown"]:
        function(*arguments, **named)


def closing_of(transport: Any) -> bytes:
    """The code of the one close frame that was written; nothing if nothing was."""
    frames = parse_frames(transport.value())
    transport.clear()
    assert [each.opcode for each in frames] in ([], [CLOSE])
    return frames[0].payload if frames else b""
