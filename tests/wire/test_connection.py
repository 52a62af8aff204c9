"""One connection without I/O: opening, delivery, flow, sending, keepalive, deadlines.

How connections end is in ``test_closing.py``; what is answered to violations, rule by rule, in ``test_rules.py``.
"""

from __future__ import annotations

import pytest

from autobahnlike.exception import InvalidArgument, PayloadExceededError
from autobahnlike.wire.connection import Connection, Disconnect
from autobahnlike.wire.handshake import refuse_response
from autobahnlike.wire.messages import FRAMES_PER_TURN
from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State

from .helpers import (
    BINARY,
    KEY,
    MASK,
    PING,
    PONG,
    REQUEST,
    RESPONSE,
    ROLES,
    TEXT,
    Frame,
    Pair,
    RecordingHandler,
    Side,
    frame,
    opened,
    parse_request,
    undecided,
)

both_roles = pytest.mark.parametrize("is_server", ROLES.values(), ids=ROLES)


class TestOpeningHandshake:
    """RFC 6455, section 4."""

    def test_client_and_server_open(self) -> None:
        pair = Pair()
        assert parse_request(bytes(pair.client.outgoing)).headers.get("Sec-WebSocket-Key") == KEY
        pair.run()
        assert pair.server.handler.events == [("request", "/"), ("open",)]
        assert pair.client.handler.events == [("response", None), ("open",)]
        assert pair.client.connection.state is pair.server.connection.state is State.OPEN

    def test_byte_by_byte(self) -> None:
        pair = Pair()
        pair.run(1)
        assert pair.client.connection.state is pair.server.connection.state is State.OPEN

    def test_a_frame_in_the_segment_of_the_request_is_not_lost(self) -> None:
        server = Side()
        server.receive(REQUEST + frame(TEXT, b"early", mask=MASK))
        assert server.handler.events == [("request", "/chat"), ("open",), ("message", b"early", False)]

    def test_a_frame_in_the_segment_of_the_response_is_not_lost(self) -> None:
        client = Side(is_server=False)
        client.connection.send_request(REQUEST, key=KEY)
        client.receive(RESPONSE + frame(TEXT, b"early"))
        assert client.handler.events == [("response", None), ("open",), ("message", b"early", False)]

    @both_roles
    def test_what_comes_before_the_decision_is_delivered_after_opening(self, is_server: bool) -> None:
        side = undecided(is_server)
        side.receive(side.frame(TEXT, b"one"), side.frame(TEXT, b"two"))
        assert side.messages == []
        assert side.connection.buffered == len(side.frame(TEXT, b"one") * 2)
        if is_server:
            side.handler.accept()
        else:
            side.handler.establish()
        assert side.messages == [b"one", b"two"]
        assert side.connection.buffered == 0

    @both_roles
    def test_nothing_is_delivered_before_the_opening_is_dealt_with(self, is_server: bool) -> None:
        side = undecided(is_server)
        side.handler.opens = False
        side.receive(side.frame(TEXT, b"one"))
        if is_server:
            side.handler.accept()
        else:
            side.handler.establish()
        side.receive(side.frame(TEXT, b"two"), side.frame(PING, b"ping"))
        assert side.handler.events[1:] == [("open",)]
        side.resume()
        assert side.messages == [b"one", b"two"]

    def test_reading_stops_when_much_comes_before_the_decision(self) -> None:
        side = undecided(read_ahead=100)
        side.receive(b"x" * 100)
        assert side.connection.wants_read
        side.receive(b"x")
        assert not side.connection.wants_read

    def test_a_violation_that_comes_early_is_answered_after_opening(self) -> None:
        server = Side()
        server.handler.opens = False
        server.receive(REQUEST + frame(TEXT, b"not masked"))
        server.take()
        assert server.connection.state is State.OPEN
        server.resume()
        server.assert_failed(1002)

    def test_a_bad_request_is_answered_and_the_connection_ended(self) -> None:
        server = Side()
        server.receive(REQUEST.replace(b"Version: 13", b"Version: 7"))
        response = server.take()
        assert response.startswith(b"HTTP/1.1 426 ")
        assert b"\r\nSec-WebSocket-Version: 13\r\n" in response
        assert server.connection.state is State.DISCONNECTING
        assert server.asked() is Disconnect.FINISH
        assert server.handler.events == []

    def test_what_is_not_http_is_answered_too(self) -> None:
        server = Side()
        server.receive(b"\x16\x03\x01\x02\x00\x01\x00")
        assert server.take().startswith(b"HTTP/1.1 400 ")
        assert server.asked() is Disconnect.FINISH

    def test_what_follows_a_refused_request_is_ignored(self) -> None:
        server = Side()
        server.receive(b"BREW / HTTP/1.1\r\n", REQUEST)
        assert server.take().startswith(b"HTTP/1.1 405 ")
        assert server.handler.events == []
        assert server.connection.wants_read, "so that the end of the connection is seen"

    def test_a_plain_request_is_for_the_handler(self) -> None:
        server = Side()
        server.receive(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert server.handler.events == [("plain request", "/page")]
        assert server.take().startswith(b"HTTP/1.1 426 ")
        server.lose()
        assert server.closed[:2] == (False, 1006)

    def test_it_is_paused_though_delivery_was_resumed_before(self) -> None:
        server = undecided()
        server.handler.opens = False
        server.resume()
        server.receive(server.frame(TEXT, b"early"))
        server.handler.accept()
        assert server.messages == []
        server.resume()
        assert server.messages == [b"early"]

    def test_the_handler_may_refuse(self) -> None:
        server = undecided()
        server.connection.refuse(refuse_response(403), "not you", 0)
        server.settle()
        assert server.take().startswith(b"HTTP/1.1 403 ")
        assert server.asked() is Disconnect.FINISH
        server.lose()
        assert server.closed == (False, 1006, 'connection was closed uncleanly ("not you")')

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ((b"101 Switching Protocols", b"403 Forbidden"), "WebSocket connection upgrade failed [403]: Forbidden"),
            ((b"s3pPLMBi", b"s3pPLMBj"), "the Sec-WebSocket-Accept header of the response does not match the key"),
            ((b"HTTP/1.1", b"SSH-2.0 "), "invalid HTTP response: the server does not answer with HTTP"),
        ],
        ids=["refused", "wrong accept", "not HTTP"],
    )
    def test_a_bad_response_drops_the_connection(self, change: tuple[bytes, bytes], why: str) -> None:
        client = Side(is_server=False)
        client.connection.send_request(REQUEST, key=KEY)
        client.take()
        client.receive(RESPONSE.replace(*change))
        client.assert_dropped(why)

    def test_a_subprotocol_that_was_offered(self) -> None:
        client = Side(is_server=False)
        client.connection.send_request(REQUEST, key=KEY, protocols=("chat", "mail"))
        client.receive(RESPONSE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: mail\r\n\r\n"))
        assert client.handler.events == [("response", "mail"), ("open",)]

    @both_roles
    def test_decisions_about_a_lost_connection_are_ignored(self, is_server: bool) -> None:
        side = undecided(is_server)
        side.lose()
        assert side.closed[:2] == (False, 1006)
        side.connection.accept(b"HTTP/1.1 101", None)
        side.connection.establish(None)
        side.connection.refuse(b"HTTP/1.1 400", "late", 0)
        side.connection.fail_handshake("late")
        side.connection.send_request(REQUEST, key=KEY)
        side.resume()
        assert side.connection.state is State.CLOSED
        assert side.connection.data_to_send() == []
        assert side.closed[:2] == (False, 1006)

    @both_roles
    def test_the_handshake_has_its_own_counters(self, is_server: bool) -> None:
        side = undecided(is_server)
        early = side.frame(TEXT, b"early")
        side.receive(early[:3], early[3:])
        side.connection.resume_delivery(0)
        if is_server:
            side.handler.accept()
        else:
            side.handler.establish()
        side.settle()
        connection = side.connection
        assert connection.handshake_octets_received == len(REQUEST if is_server else RESPONSE)
        assert connection.handshake_octets_sent == connection.octets_sent == len(side.take())
        assert connection.octets_received == connection.handshake_octets_received + len(early)

    def test_the_port_of_a_request_depends_on_the_transport(self) -> None:
        ports = []
        for is_secure in (False, True):
            handler = RecordingHandler()
            handler.decides = False
            connection = Connection(handler, Options(), is_server=True, now=0, is_secure=is_secure)
            connection.receive_data(REQUEST, 0)
            ports.append(handler.opening.port)
        assert ports == [80, 443]


class TestDelivery:
    @both_roles
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
    def test_messages_arrive(self, is_server: bool, size: int) -> None:
        side = opened(is_server=is_server)
        side.receive(side.frame(TEXT, b"x" * size), side.frame(BINARY, b"y" * size))
        assert side.handler.events == [("message", b"x" * size, False), ("message", b"y" * size, True)]

    def test_nothing_is_delivered_while_the_handler_is_busy(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"1") + side.frame(TEXT, b"2"), side.frame(TEXT, b"3"))
        for done in (1, 2, 3):
            assert side.messages == [b"1", b"2", b"3"][:done]
            side.resume()
        assert side.messages == [b"1", b"2", b"3"]

    def test_pings_are_answered_while_the_handler_is_busy(self) -> None:
        side = opened()
        side.connection.pause_delivery()
        side.receive(side.frame(PING, b"there?"))
        side.assert_sent(Frame(PONG, b"there?"))

    def test_a_bounded_amount_is_read_ahead(self) -> None:
        side = opened(read_ahead=1000)
        side.connection.pause_delivery()
        reads = 0
        while side.connection.wants_read:
            side.receive(side.frame(BINARY, b"x" * 100))
            reads += 1
        assert reads == 7, "what an entry costs counts, or empty messages would be free"
        assert side.connection.buffered == 7 * 164
        side.resume()
        assert side.connection.wants_read
        assert side.messages == [b"x" * 100] * 7
        assert side.connection.buffered == 0

    def test_what_is_behind_in_the_same_read_waits_unparsed(self) -> None:
        side = opened(read_ahead=1000)
        side.handler.is_slow = True
        side.receive(side.frame(BINARY, b"x" * 500) * 10)
        assert not side.connection.wants_read
        assert side.connection.buffered == 2 * 564 + 7 * 508
        for _ in range(10):
            side.resume()
        assert len(side.messages) == 10
        assert side.connection.wants_read

    def test_a_handler_may_finish_before_it_returns(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.handler.hooks["message"] = lambda *_: side.connection.resume_delivery(side.now)
        side.receive(side.frame(TEXT, b"x") * 100)
        assert side.messages == [b"x"] * 100

    def test_much_in_one_read_is_spread_over_turns(self) -> None:
        side = opened()
        side.connection.receive_data(side.frame(PONG) * (2 * FRAMES_PER_TURN + 1), 0)
        turns = 0
        while side.connection.wants_turn:
            assert not side.connection.wants_read
            side.connection.resume_reading(0)
            turns += 1
        assert turns == 2
        assert side.connection.wants_read

    def test_a_turn_that_is_no_longer_wanted_does_no_harm(self) -> None:
        side = opened()
        side.connection.receive_data(side.frame(PONG) * (FRAMES_PER_TURN + 1), 0)
        side.connection.drop(0)
        assert not side.connection.wants_turn
        side.connection.resume_reading(0)
        assert side.handler.events == []

    def test_no_turn_is_wanted_while_nothing_could_come_of_it(self) -> None:
        side = opened(high_water=10, write_high_water=10)
        pings = side.frame(PING, b"x") * 2
        side.connection.receive_data(side.frame(PONG) * (FRAMES_PER_TURN - 2) + pings + side.frame(TEXT, b"x"), 0)
        assert side.connection.wants_turn
        side.connection.pause_delivery()
        assert not side.connection.wants_turn
        side.connection.resume_delivery(0)
        side.connection.send_message(b"x" * 100, True)
        side.write()
        assert side.connection.wants_turn, "what we send unasked does not keep us from reading"

    def test_what_was_received_is_delivered_though_the_connection_is_lost(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.connection.receive_data(side.frame(PONG) * FRAMES_PER_TURN + side.frame(TEXT, b"x") * 3, 0)
        side.lose()
        for _ in range(3):
            assert side.handler.events[-1] == ("message", b"x", False)
            side.resume()
        assert side.messages == [b"x"] * 3
        assert side.closed[:2] == (False, 1006)


class TestPingsAndPongs:
    """RFC 6455, sections 5.5.2 and 5.5.3."""

    @both_roles
    def test_a_ping_is_answered_with_its_payload(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.frame(PING, b"x" * 125) + side.frame(PING))
        side.assert_sent(Frame(PONG, b"x" * 125), Frame(PONG, b""))
        assert side.handler.events == []

    def test_pings_may_be_left_to_the_handler(self) -> None:
        side = opened()
        side.connection.auto_pong = False
        side.receive(side.frame(PING, b"x"))
        side.assert_sent()
        assert side.handler.events == [("ping", b"x")]

    def test_pongs_are_told_if_asked_for(self) -> None:
        side = opened()
        side.receive(side.frame(PONG, b"1"))
        side.connection.report_pongs = True
        side.receive(side.frame(PONG, b"2"))
        assert side.handler.events == [("pong", b"2")]

    def test_they_wait_for_the_handler_in_order(self) -> None:
        side = opened()
        side.connection.auto_pong, side.connection.report_pongs = False, True
        side.connection.pause_delivery()
        side.receive(side.frame(TEXT, b"1") + side.frame(PING, b"2") + side.frame(PONG, b"3") + side.frame(TEXT, b"4"))
        side.resume()
        assert [event[:2] for event in side.handler.events] == [
            ("message", b"1"),
            ("ping", b"2"),
            ("pong", b"3"),
            ("message", b"4"),
        ]

    @both_roles
    def test_sending(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.connection.send_ping(b"there?")
        side.connection.send_pong(b"here")
        side.connection.send_ping()
        side.connection.send_pong()
        side.settle()
        side.assert_sent(Frame(PING, b"there?"), Frame(PONG, b"here"), Frame(PING, b""), Frame(PONG, b""))

    def test_no_more_than_125_bytes(self) -> None:
        side = opened()
        for send in (side.connection.send_ping, side.connection.send_pong):
            send(b"x" * 125)
            with pytest.raises(InvalidArgument, match="payload of 126 bytes"):
                send(b"x" * 126)

    def test_none_are_sent_on_a_connection_that_is_not_open(self) -> None:
        side = opened()
        side.connection.close(1000, None, 0)
        side.settle()
        side.take()
        side.connection.send_ping(b"x")
        side.connection.send_pong(b"x")
        side.connection.send_keepalive_ping(0)
        side.receive(side.frame(PING, b"x"))
        side.assert_sent()


class TestDeadlines:
    @both_roles
    @pytest.mark.parametrize("step", [0.1, 1.0, 4.9])
    def test_the_opening_handshake_has_one_however_slowly_the_peer_sends(self, is_server: bool, step: float) -> None:
        side = Side(is_server=is_server)
        data = iter(REQUEST if is_server else RESPONSE)
        while side.now + step < 5:
            side.advance(step)
            side.receive(bytes([next(data)]))
        side.advance(5 - side.now)
        side.assert_dropped("WebSocket opening handshake timeout (peer did not finish the opening handshake in time)")

    @both_roles
    def test_it_includes_the_decision(self, is_server: bool) -> None:
        side = undecided(is_server)
        side.advance(5)
        assert side.asked() is Disconnect.ABORT
        side.lose()
        assert side.closed[:2] == (False, 1006)

    @both_roles
    def test_it_is_over_when_the_connection_is_open(self, is_server: bool) -> None:
        side = opened(is_server=is_server, auto_ping_interval=0)
        assert side.connection.next_deadline() is None

    def test_it_can_be_switched_off(self) -> None:
        side = Side(options=Options(open_handshake_timeout=0))
        assert side.connection.next_deadline() is None

    def test_nothing_happens_before_it(self) -> None:
        side = Side()
        side.connection.handle_timeout(4.9)
        assert side.connection.state is State.CONNECTING
        assert side.connection.next_deadline() == 5

    def test_the_earlier_one_counts(self) -> None:
        side = opened(auto_ping_interval=3, close_handshake_timeout=2)
        assert side.connection.next_deadline() == 3
        side.connection.close(1000, None, 0)
        assert side.connection.next_deadline() == 2

    def test_a_refused_peer_has_time_to_read_why(self) -> None:
        server = Side()
        server.receive(b"BREW / HTTP/1.1\r\n")
        server.take()
        server.advance(4.9)
        assert server.asked() is Disconnect.FINISH
        server.advance(0.1)
        assert server.asked() is Disconnect.ABORT

    def test_also_if_the_decision_took_its_time(self) -> None:
        server = undecided(open_handshake_timeout=60)
        server.advance(30)
        server.connection.refuse(refuse_response(403), "not you", server.now)
        server.settle()
        server.advance(4.9)
        assert server.take().startswith(b"HTTP/1.1 403 ")
        assert server.asked() is Disconnect.FINISH
        server.advance(0.1)
        assert server.asked() is Disconnect.ABORT

    def test_a_handler_that_stays_busy_after_the_end_is_told_so(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"1") + side.frame(TEXT, b"2"))
        side.lose()
        side.advance(4.9)
        assert side.messages == [b"1"]
        side.advance(0.1)
        assert side.handler.events[-1] == ("overdue",)
        side.resume()
        assert side.messages == [b"1"], "what has waited all the time is not delivered any more"
        assert side.closed[:2] == (False, 1006)
        assert side.connection.next_deadline() is None

    def test_also_one_that_becomes_busy_only_then(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.connection.receive_data(side.frame(PONG) * FRAMES_PER_TURN + side.frame(TEXT, b"1") * 2, 0)
        assert side.messages == []
        side.lose()
        assert side.messages == [b"1"]
        side.advance(5)
        assert side.handler.events[-1] == ("overdue",)
        side.resume()
        assert side.messages == [b"1"]
        assert side.closed[:2] == (False, 1006)

    def test_a_handler_that_finishes_in_time_is_not(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"1"))
        side.lose()
        side.advance(4)
        side.resume()
        side.advance(10)
        assert side.closed[:2] == (False, 1006)


def test_frames_are_told_of_if_that_is_asked_for() -> None:
    side = opened(log_frames=True)
    side.receive(side.frame(TEXT, b"hello"))
    side.connection.send_message(b"bye", True)
    frames = [event for event in side.handler.events if event[0] == "frame"]
    assert frames == [("frame", False, 0x81, 5), ("frame", True, 0x82, 3)]


def test_a_prepared_message_has_the_limit_of_any_other() -> None:
    side = opened(max_message_size=4)
    side.connection.send_prepared(b"\x82\x04four", 4)
    with pytest.raises(PayloadExceededError, match="5 bytes is over the limit of 4"):
        side.connection.send_prepared(b"\x82\x05fiver", 5)
    side.settle()
    assert [frame.payload for frame in side.sent()] == [b"four"]
