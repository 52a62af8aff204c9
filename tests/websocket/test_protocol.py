"""The protocol classes: what applications read, what they call, and what they may leave undone."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyClass, verifyObject

from autobahnlike.exception import Disconnected, InvalidArgument, LocalProtocolError, PayloadExceededError
from autobahnlike.websocket.interfaces import IWebSocketChannel
from autobahnlike.websocket.protocol import (
    WebSocketClientProtocol,
    WebSocketProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahnlike.websocket.types import TransportDetails
from autobahnlike.wire.options import OPTIONS
from tests.wire.helpers import BINARY, CLOSE, CONTINUATION, PING, PONG, REQUEST, TEXT, Frame

from .ends import End, NotingClient, NotingServer, answer_to


class TestInterface:
    @pytest.mark.parametrize("kind", [WebSocketServerProtocol, WebSocketClientProtocol])
    def test_both_roles_are_channels(self, kind: type[WebSocketProtocol]) -> None:
        assert IWebSocketChannel.implementedBy(kind)
        make: Any = kind
        assert verifyObject(IWebSocketChannel, make())
        assert verifyClass(IWebSocketChannel, kind)

    def test_the_hooks_of_the_base_do_nothing(self) -> None:
        server, client = WebSocketServerProtocol(), WebSocketClientProtocol()
        request: Any = None
        assert server.onConnect(request) is None
        assert client.onConnect(request) is None
        assert client.onConnecting(TransportDetails()) is None
        for protocol in (server, client):
            for result in (
                protocol.onOpen(),
                protocol.onMessage(b"", False),
                protocol.onPong(b""),
                protocol.onClose(True, None, None),
            ):
                assert result is None

    def test_a_protocol_of_no_role_can_not_be_connected(self) -> None:
        end = End()
        end.protocol = WebSocketProtocol()
        end.protocol.factory = end.factory
        with pytest.raises(NotImplementedError):
            end.connect()

    def test_the_codes_are_those_of_autobahn(self) -> None:
        codes = {name: value for name, value in vars(WebSocketProtocol).items() if name.startswith("CLOSE_STATUS")}
        assert sorted(codes.values()) == list(range(1000, 1016))
        states = ["CLOSED", "CONNECTING", "CLOSING", "OPEN", "PROXY_CONNECTING"]
        assert [getattr(WebSocketProtocol, f"STATE_{name}") for name in states] == [0, 1, 2, 3, 4]


class TestBeforeItIsConnected:
    def test_nothing_can_be_sent(self) -> None:
        end = End()
        with pytest.raises(Disconnected):
            end.protocol.sendMessage(b"")
        with pytest.raises(Disconnected):
            end.protocol.sendPreparedMessage(end.factory.prepareMessage(b""))
        with pytest.raises(LocalProtocolError):
            end.protocol.sendClose()
        end.protocol.sendPing()
        end.protocol.sendPong()
        end.protocol.dropConnection()
        assert end.take() == b""

    def test_what_can_be_read(self) -> None:
        protocol = End().protocol
        assert protocol.state == protocol.STATE_CLOSED
        assert protocol.bufferedAmount == 0
        assert (protocol.remoteCloseCode, protocol.remoteCloseReason) == (None, None)
        assert (protocol.localCloseCode, protocol.localCloseReason) == (None, None)
        assert protocol.peer == "unknown"
        assert protocol.wasClean is None
        assert protocol.trafficStats.incomingOctetsWireLevel == 0

    def test_there_is_nothing_to_be_drained(self) -> None:
        failures: list[Any] = []
        End().protocol.drained().addErrback(lambda failure: failures.append(failure.type))
        assert failures == [Disconnected]


class TestSending:
    def test_text_and_binary(self) -> None:
        end = End().open()
        end.protocol.sendMessage(b"text")
        end.protocol.sendMessage(b"binary", True)
        assert end.sent() == [Frame(TEXT, b"text"), Frame(BINARY, b"binary")]

    def test_whatever_holds_bytes(self) -> None:
        end = End().open()
        for payload in (bytearray(b"x"), memoryview(b"x")):
            end.protocol.sendMessage(payload)
            end.protocol.sendPing(payload)
            end.protocol.sendPong(payload)
        assert {each.payload for each in end.sent()} == {b"x"}

    @pytest.mark.parametrize("payload", ["text", 5, None])
    def test_nothing_else(self, payload: Any) -> None:
        end = End().open()
        with pytest.raises(InvalidArgument, match="must be bytes"):
            end.protocol.sendMessage(payload)
        assert end.take() == b""

    def test_fragments(self) -> None:
        end = End().open()
        end.protocol.sendMessage(b"abcde", fragmentSize=2)
        frames = [Frame(TEXT, b"ab", fin=False), Frame(CONTINUATION, b"cd", fin=False), Frame(CONTINUATION, b"e")]
        assert end.sent() == frames

    def test_too_much(self) -> None:
        end = End(maxMessagePayloadSize=3).open()
        end.protocol.sendMessage(b"abc")
        with pytest.raises(PayloadExceededError):
            end.protocol.sendMessage(b"abcd")
        assert end.sent() == [Frame(TEXT, b"abc")]

    def test_pings_and_pongs(self) -> None:
        end = End().open()
        end.protocol.sendPing()
        end.protocol.sendPing(b"1")
        end.protocol.sendPong()
        end.protocol.sendPong(b"2")
        assert end.sent() == [Frame(PING, b""), Frame(PING, b"1"), Frame(PONG, b""), Frame(PONG, b"2")]

    def test_the_default_on_ping_answers(self) -> None:
        end = End().open()
        end.protocol.onPing(b"by hand")
        assert end.sent() == [Frame(PONG, b"by hand")]


class TestClosing:
    @pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 2999, 5000, -1, True, "1000", 1000.0])
    def test_codes_that_may_not_be_sent(self, code: Any) -> None:
        end = End().open()
        with pytest.raises(InvalidArgument):
            end.protocol.sendClose(code)
        assert end.protocol.state == end.protocol.STATE_OPEN

    @pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999])
    def test_codes_that_may_be_sent(self, code: int) -> None:
        end = End().open()
        end.protocol.sendClose(code, "why")
        assert end.sent() == [Frame(CLOSE, code.to_bytes(2, "big") + b"why")]
        assert (end.protocol.localCloseCode, end.protocol.localCloseReason) == (code, "why")
        assert end.protocol.state == end.protocol.STATE_CLOSING

    @pytest.mark.parametrize("arguments", [(None, "a reason"), (1000, b"bytes"), (1000, 5)])
    def test_reasons_that_may_not_be_sent(self, arguments: tuple[Any, Any]) -> None:
        with pytest.raises(InvalidArgument):
            End().open().protocol.sendClose(*arguments)

    def test_what_the_peer_said_can_be_read(self) -> None:
        end = End().open()
        end.receive(end.frame(CLOSE, b"\x0f\xa0bye"))
        assert (end.protocol.remoteCloseCode, end.protocol.remoteCloseReason) == (4000, "bye")

    def test_on_close_is_told_last_and_once(self) -> None:
        end = End().open()
        end.session.connection_lost()
        end.protocol.sendPing()
        end.protocol.dropConnection()
        end.protocol.sendClose(1000)
        assert end.names() == ["close"]
        assert end.protocol.state == end.protocol.STATE_CLOSED
        assert end.protocol.wasClean is False
        assert "peer dropped" in end.protocol.wasNotCleanReason

    def test_the_factory_forgets_it_when_on_close_has_finished(self) -> None:
        closing: Deferred[Any] = Deferred()

        class Server(NotingServer):
            def onClose(self, *told: Any) -> Any:
                return closing

        end = End(Server).open()
        assert end.factory.countConnections == 1
        end.session.connection_lost()
        assert end.factory.countConnections == 1
        closing.callback(None)
        assert end.factory.countConnections == 0

    @pytest.mark.parametrize("is_async", [False, True])
    def test_or_failed(self, is_async: bool) -> None:
        class Server(NotingServer):
            def onClose(self, *told: Any) -> Any:
                if is_async:
                    return Deferred.fromCoroutine(self.fail())
                raise ValueError

            async def fail(self) -> None:
                raise ValueError

        end = End(Server).open()
        end.session.connection_lost()
        assert end.factory.countConnections == 0
        ((text, _),) = end.loop.failures
        assert text == "onClose of Server raised an exception"


class TestFutures:
    def test_is_open(self) -> None:
        opening: Deferred[Any] = Deferred()

        class Server(NotingServer):
            def onOpen(self) -> Any:
                return opening

        end = End(Server).connect()
        early: list[Any] = []
        end.protocol.is_open.addCallback(early.append)
        end.receive(REQUEST)
        assert end.protocol.state == end.protocol.STATE_OPEN
        assert early == []
        opening.callback(None)
        assert early == [None]
        assert end.protocol.is_open is end.protocol.is_open

    def test_is_open_asked_late(self) -> None:
        end = End().open()
        late: list[Any] = []
        end.protocol.is_open.addCallback(late.append)
        assert late == [None]

    @pytest.mark.parametrize("asked", ["early", "late"])
    def test_is_open_of_one_that_never_opens(self, asked: str) -> None:
        end = End().connect()
        waiting = end.protocol.is_open if asked == "early" else None
        end.session.connection_lost()
        failures: list[Any] = []
        (waiting or end.protocol.is_open).addErrback(lambda failure: failures.append(failure.value))
        assert isinstance(failures[0], Disconnected)
        assert "peer dropped" in str(failures[0])

    def test_is_open_stays_done_when_it_is_closed(self) -> None:
        end = End().open()
        end.session.connection_lost()
        late: list[Any] = []
        end.protocol.is_open.addCallback(late.append)
        assert late == [None]

    def test_is_open_that_nobody_waits_for_any_more(self) -> None:
        end = End().connect()
        end.protocol.is_open.addErrback(lambda _: None).cancel()
        end.receive(REQUEST)
        assert end.names() == ["connect", "open"]

    @pytest.mark.parametrize("asked", ["early", "late"])
    def test_is_closed(self, asked: str) -> None:
        end = End().open()
        waiting = end.protocol.is_closed if asked == "early" else None
        end.session.connection_lost()
        closed: list[Any] = []
        (waiting or end.protocol.is_closed).addCallback(closed.append)
        assert closed == [end.protocol]


class TestAttributes:
    def test_every_option_can_be_read(self) -> None:
        end = End(maxMessagePayloadSize=77)
        assert end.protocol.maxMessagePayloadSize == 77
        end.open()
        end.factory.maxMessagePayloadSize = 88
        assert end.protocol.maxMessagePayloadSize == 77, "the one of the connection"
        for info in OPTIONS:
            if "S" in info.sides:
                assert getattr(end.protocol, info.name) == getattr(end.session.options, info.field)

    def test_what_there_is_not(self) -> None:
        with pytest.raises(AttributeError, match="'NotingServer' object has no attribute 'nothing'"):
            _ = End().protocol.nothing

    @pytest.mark.parametrize("is_secure", [False, True])
    def test_transport_details(self, is_secure: bool) -> None:
        end = End(is_secure=is_secure).connect()
        details = end.protocol.transport_details
        assert (details.peer, details.own) == ("tcp4:192.0.2.1:1234", "tcp4:192.0.2.2:80")
        assert (details.is_server, details.is_secure) == (True, is_secure)
        assert end.protocol.peer == details.peer

    def test_they_are_not_written_out_before_somebody_asks_and_last(self) -> None:
        end = End().connect()
        end.session.connection_lost()
        assert not {"peer", "transport_details"} & vars(end.protocol).keys()
        details = end.protocol.transport_details
        assert end.protocol.transport_details is details
        assert (end.protocol.peer, details.own) == ("tcp4:192.0.2.1:1234", "tcp4:192.0.2.2:80")

    def test_they_are_those_of_the_last_connection(self) -> None:
        end = End().connect()
        first = end.protocol.transport_details
        end.protocol.peer = "what a proxy says"
        end.session.connection_lost()
        end.connect()
        assert end.protocol.peer == "tcp4:192.0.2.1:1234"
        assert end.protocol.transport_details is not first

    def test_before_there_was_a_connection(self) -> None:
        assert End().protocol.transport_details.peer is None
        assert WebSocketProtocol.peer == End().protocol.peer == "unknown"

    def test_traffic(self) -> None:
        end = End().open()
        stats = end.protocol.trafficStats
        before = stats.incomingOctetsWireLevel
        end.receive(end.frame(TEXT, b"hello"))
        assert stats.incomingOctetsWireLevel == before + 11
        assert stats.incomingWebSocketMessages == 1

    def test_protocols_share_no_state(self) -> None:
        first, second = End().open(), End().open()
        assert first.protocol.http_headers == second.protocol.http_headers
        assert first.protocol.http_headers is not second.protocol.http_headers
        assert WebSocketProtocol.http_headers == {}


class TestPings:
    def test_an_overridden_on_ping_is_told_and_nothing_is_answered(self) -> None:
        class Server(NotingServer):
            def onPing(self, payload: bytes) -> Any:
                self.events.append(("ping", payload))

        end = End(Server).open()
        end.receive(end.frame(PING, b"1"))
        assert end.events == [("ping", b"1")]
        assert end.take() == b""

    def test_so_is_one_set_on_the_instance(self) -> None:
        end = End()
        end.protocol.onPing = lambda payload: end.events.append(("ping", payload))
        end.protocol.onPong = lambda payload: end.events.append(("pong", payload))
        end.open()
        end.receive(end.frame(PING, b"1"), end.frame(PONG, b"2"))
        assert end.events == [("ping", b"1"), ("pong", b"2")]

    def test_pongs_are_not_told_to_who_does_not_want_to_know(self) -> None:
        end = End().open()
        end.receive(end.frame(PONG, b"1"))
        assert end.events == []
        assert end.session.connection.report_pongs is False


class TestPages:
    def test_the_default_page_names_the_server(self) -> None:
        end = End()
        end.factory.server = "<me>"
        end.connect()
        end.receive(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, _, body = end.take().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"&lt;me&gt; is a WebSocket server" in body
        assert end.link.calls == ["finish"]

    def test_a_page_sent_later(self) -> None:
        class Server(NotingServer):
            def sendServerStatus(self, redirectUrl: str | None = None, redirectAfter: int = 0) -> None:
                self.events.append(("status",))

        end = End(Server).connect()
        end.receive(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert end.take() == b""
        end.protocol.sendHtml("<p>später</p>")
        assert end.take().endswith("<p>später</p>".encode())

    def test_a_factory_without_a_loop_says_so(self) -> None:
        protocol = WebSocketServerProtocol()
        protocol.factory = WebSocketServerFactory()
        with pytest.raises(NotImplementedError, match="Twisted or of asyncio"):
            protocol.drained()


def test_a_client_is_open_when_the_server_has_agreed() -> None:
    end = End(NotingClient).connect()
    assert end.protocol.state == end.protocol.STATE_CONNECTING
    end.receive(answer_to(end.take()))
    assert end.protocol.state == end.protocol.STATE_OPEN
    assert end.names() == ["connecting", "connect", "open"]
