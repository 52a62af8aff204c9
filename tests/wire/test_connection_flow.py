"""What a connection sends, how much waits where, and what shows that the peer lives."""

from __future__ import annotations

import pytest

from autobahnlike.exception import Disconnected, PayloadExceededError
from autobahnlike.wire.connection import Disconnect
from autobahnlike.wire.frames import frame_header
from autobahnlike.wire.state import State

from .helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    ROLES,
    RSV1,
    TEXT,
    Frame,
    Pair,
    Side,
    deflate,
    opened,
    parse_frames,
)

both_roles = pytest.mark.parametrize("is_server", ROLES.values(), ids=ROLES)


class TestSending:
    """RFC 6455, section 6.1."""

    @both_roles
    def test_a_message_is_one_frame(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.connection.send_message(b"text", False)
        side.connection.send_message(b"binary", True)
        side.connection.send_message(b"", True)
        side.settle()
        side.assert_sent(Frame(TEXT, b"text"), Frame(BINARY, b"binary"), Frame(BINARY, b""))

    @pytest.mark.parametrize(("size", "count"), [(1, 6), (2, 3), (4, 2), (5, 2), (6, 1), (7, 1), (0, 1)])
    def test_fragments_of_a_size(self, size: int, count: int) -> None:
        for option, argument in ((0, size), (size, None)):
            side = opened(auto_fragment_size=option)
            side.connection.send_message(b"abcdef", False, fragment_size=argument)
            frames = parse_frames(b"".join(map(bytes, side.connection.data_to_send())))
            assert b"".join(each.payload for each in frames) == b"abcdef"
            assert [each.opcode for each in frames] == [TEXT] + [CONTINUATION] * (count - 1)
            assert [each.fin for each in frames] == [False] * (count - 1) + [True]
            assert all(0 < len(each.payload) <= (size or 6) for each in frames)

    def test_an_argument_overrides_the_option(self) -> None:
        side = opened(auto_fragment_size=2)
        side.connection.send_message(b"abcdef", False, fragment_size=0)
        side.settle()
        side.assert_sent(Frame(TEXT, b"abcdef"))

    @both_roles
    def test_compressed_and_not(self, is_server: bool) -> None:
        side, reader = opened(is_server=is_server, codec=deflate(is_server)), deflate(not is_server)
        side.connection.send_message(b"hello" * 100, True)
        side.connection.send_message(b"hello" * 100, True, compress=False)
        side.connection.send_message(b"hello" * 100, True, fragment_size=5)
        side.settle()
        first, second, *rest = side.sent()
        assert first.rsv == RSV1
        assert reader.decompress(first.payload, True, 0) == b"hello" * 100
        assert (second.rsv, second.payload) == (0, b"hello" * 100)
        assert [each.rsv for each in rest] == [RSV1] + [0] * (len(rest) - 1)
        assert reader.decompress(b"".join(each.payload for each in rest), True, 0) == b"hello" * 100

    def test_a_message_over_the_limit_is_refused_before_it_is_compressed(self) -> None:
        side, reader = opened(codec=deflate(True), max_message_size=1000), deflate(False)
        side.connection.send_message(b"first", True)
        with pytest.raises(PayloadExceededError, match="1001 bytes is over the limit of 1000"):
            side.connection.send_message(b"x" * 1001, True)
        side.connection.send_message(b"x" * 1000, True)
        side.settle()
        assert [reader.decompress(each.payload, True, 0) for each in side.sent()] == [b"first", b"x" * 1000]

    def test_the_limit_can_be_switched_off(self) -> None:
        side = opened(max_message_size=0)
        side.connection.send_message(bytes(20_000_000), True)
        assert len(side.outgoing) > 20_000_000

    def test_a_prepared_message(self) -> None:
        side = opened()
        side.connection.send_prepared(frame_header(0x81, 5) + b"hello", 5)
        output = side.connection.output
        assert (output.frames, output.messages, output.payload_octets, output.message_octets) == (1, 1, 5, 5)
        side.settle()
        side.assert_sent(Frame(TEXT, b"hello"))

    @pytest.mark.parametrize("closes", ["we", "they", "lost", "dropped", "never open"])
    def test_a_connection_that_is_not_open_takes_no_message(self, closes: str) -> None:
        side = Side() if closes == "never open" else opened()
        if closes == "we":
            side.connection.close(1000, None, 0)
        elif closes == "they":
            side.receive(side.close_frame(1000))
        elif closes == "lost":
            side.lose()
        elif closes == "dropped":
            side.connection.drop(0)
        side.settle()
        side.take()
        with pytest.raises(Disconnected):
            side.connection.send_message(b"x", True)
        with pytest.raises(Disconnected):
            side.connection.send_prepared(b"\x82\x01x", 1)
        side.assert_sent()

    def test_the_counters(self) -> None:
        side = opened(codec=deflate(True))
        side.connection.send_message(b"hello" * 100, True, fragment_size=5)
        side.connection.send_message(b"hello", True, compress=False)
        before = side.connection.octets_sent
        size = len(b"".join(map(bytes, side.connection.data_to_send())))
        output = side.connection.output
        assert output.messages == 2
        assert output.message_octets == 505
        assert output.frames > 3
        assert output.payload_octets < 100
        assert side.connection.octets_sent - before == size

    def test_what_is_taken_may_be_limited(self) -> None:
        side = opened()
        side.connection.send_message(b"x" * 100, True)
        before = side.connection.octets_sent
        assert sum(map(len, side.connection.data_to_send(40))) == 40
        assert side.connection.octets_sent - before == 40
        assert sum(map(len, side.connection.data_to_send())) == 62
        assert side.connection.data_to_send() == []


class TestBackpressure:
    def test_a_peer_that_does_not_read_is_not_read(self) -> None:
        side = opened(high_water=1000, write_high_water=500)
        side.handler.hooks["message"] = side.connection.send_message
        reads = 0
        while side.connection.wants_read:
            side.receive(side.frame(BINARY, b"x" * 200))
            reads += 1
        assert reads == 5 + 3, "what the transport takes, and what may wait"
        assert len(side.messages) == reads

    def test_an_application_that_sends_unasked_goes_on_reading(self) -> None:
        side = opened(high_water=1000, write_high_water=500)
        for _ in range(100):
            side.connection.send_message(b"x" * 200, True)
            side.settle()
        side.receive(*[side.frame(TEXT, b"y")] * 100)
        assert side.connection.wants_read
        assert len(side.messages) == 100

    def test_prepared_messages_are_answers_as_any(self) -> None:
        side = opened(high_water=1000, write_high_water=500)
        prepared = frame_header(0x82, 120) + b"x" * 120
        side.handler.hooks["message"] = lambda *_: side.connection.send_prepared(prepared, 120)
        while side.connection.wants_read:
            side.receive(side.frame(BINARY))
        assert len(side.messages) < 20

    def test_two_that_send_each_other_much_at_once_do_not_wait_for_each_other(self) -> None:
        pair = Pair(high_water=65536)
        pair.run()
        for _ in range(100):
            for side in pair.sides:
                side.connection.send_message(bytes(10_000), True)
                side.settle()
        pair.run()
        assert len(pair.client.messages) == len(pair.server.messages) == 100

    def test_an_echo_of_much_that_was_sent_at_once(self) -> None:
        pair = Pair(high_water=65536)
        pair.run()
        pair.server.handler.hooks["message"] = pair.server.connection.send_message
        for _ in range(200):
            pair.client.connection.send_message(bytes(10_000), True)
            pair.client.settle()
        pair.run()
        assert len(pair.client.messages) == 200

    def test_one_read_is_answered_no_further_than_the_transport_takes(self) -> None:
        side = opened(high_water=1000, write_high_water=500)
        side.handler.hooks["message"] = lambda payload, is_binary: side.connection.send_message(payload, is_binary)
        side.receive(side.frame(BINARY, b"x" * 200) * 1000)
        assert side.handler.outputs > 0
        assert len(side.messages) < 10
        received = b""
        while data := side.take():
            received += data
        assert parse_frames(received) == [Frame(BINARY, b"x" * 200)] * 1000
        assert side.connection.wants_read

    def test_pongs_do_not_collect(self) -> None:
        side = opened(high_water=1000, write_high_water=500)
        side.receive(side.frame(PING, b"x" * 125) * 10_000)
        assert len(side.outgoing) + side.connection.output.size < 2500
        assert not side.connection.wants_read

    def test_reading_goes_on_when_the_peer_has_read(self) -> None:
        side = opened(high_water=1000, write_high_water=500)
        side.handler.hooks["message"] = lambda *_: side.connection.send_message(b"x" * 2000, True)
        side.receive(side.frame(TEXT, b"1"), side.frame(TEXT, b"2"))
        assert not side.connection.wants_read
        side.connection.receive_data(side.frame(TEXT, b"in flight"), 0)
        assert len(side.messages) == 2
        side.take()
        assert side.messages == [b"1", b"2", b"in flight"]

    def test_an_application_that_sends_without_end_to_nobody_is_stopped(self) -> None:
        side = opened(high_water=1000, max_send_queue=10_000)
        side.connection.pause_delivery()
        side.receive(side.frame(TEXT, b"never delivered"))
        sent = 0
        while side.connection.state is State.OPEN:
            side.connection.send_message(b"x" * 1000, True)
            side.settle()
            sent += 1
        assert sent == 12
        side.connection.resume_delivery(0)
        side.assert_dropped("peer did not take what was sent: more than 10000 bytes are waiting (maxSendQueueSize)")

    def test_prepared_messages_are_bounded_too(self) -> None:
        side = opened(max_send_queue=100)
        for _ in range(3):
            side.connection.send_prepared(b"\x82\x7d" + b"x" * 125, 125)
            if side.connection.state is not State.OPEN:
                break
        assert side.asked() is Disconnect.ABORT

    def test_the_bound_can_be_switched_off(self) -> None:
        side = opened(max_send_queue=0)
        side.is_paused = True
        for _ in range(100):
            side.connection.send_message(bytes(1_000_000), True)
        assert side.connection.output.size > 100_000_000
        assert side.connection.state is State.OPEN

    def test_no_write_is_asked_for_while_the_transport_takes_nothing(self) -> None:
        side = opened(high_water=1000, write_high_water=100)
        side.connection.send_message(b"x" * 2000, True)
        assert side.handler.outputs == 1
        side.connection.send_message(b"x" * 2000, True)
        assert side.handler.outputs == 1


class TestKeepalive:
    """RFC 6455, section 5.5.2."""

    @both_roles
    def test_pings_are_sent_and_pongs_measured(self, is_server: bool) -> None:
        side = opened(is_server=is_server, auto_ping_interval=10, auto_ping_timeout=5)
        assert side.connection.next_deadline() == 10
        side.advance(10)
        (ping,) = side.sent()
        assert (ping.opcode, len(ping.payload)) == (PING, 12)
        side.advance(0.5)
        assert side.connection.rtt is None
        side.receive(side.frame(PONG, ping.payload))
        assert side.connection.rtt == 0.5
        assert side.connection.next_deadline() == 20.5

    @both_roles
    def test_a_silent_peer_is_dropped(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.advance(20)
        assert [each.opcode for each in side.sent()] == [PING]
        side.advance(19.9)
        assert side.connection.state is State.OPEN
        side.advance(0.1)
        side.assert_dropped("WebSocket ping timeout (peer did not respond with pong in time)")

    def test_a_peer_that_sends_anything_is_not(self) -> None:
        side = opened()
        for _ in range(100):
            side.advance(15)
            side.receive(side.frame(TEXT, b"alive"))
        assert side.connection.state is State.OPEN

    def test_unless_only_pongs_count(self) -> None:
        side = opened(auto_ping_restart_on_any_traffic=False)
        side.advance(20)
        side.receive(side.frame(TEXT, b"alive"))
        side.advance(20)
        assert side.asked() is Disconnect.ABORT

    def test_a_ping_may_be_sent_by_hand(self) -> None:
        side = opened(auto_ping_interval=0, auto_ping_timeout=5)
        assert side.connection.next_deadline() is None
        side.connection.send_keepalive_ping(0)
        side.settle()
        (ping,) = side.sent()
        assert side.connection.next_deadline() == 5
        side.receive(side.frame(PONG, ping.payload))
        assert side.connection.rtt == 0
        assert side.connection.next_deadline() is None

    def test_a_peer_that_takes_nothing_is_dropped_though_we_keep_sending(self) -> None:
        side = opened(high_water=1000)
        side.connection.send_message(b"x" * 2000, True)
        side.settle()
        for _ in range(39):
            side.connection.send_message(b"tick", True)
            side.settle()
            side.advance(1)
        assert side.connection.state is State.OPEN
        side.advance(1)
        assert side.asked() is Disconnect.ABORT

    def test_a_peer_that_reads_slowly_is_not(self) -> None:
        side = opened(high_water=1000)
        for _ in range(20):
            side.connection.send_message(b"x" * 2000, True)
            side.settle()
            side.advance(15)
            side.take()
        assert side.connection.state is State.OPEN

    def test_a_peer_that_we_do_not_read_is_not_given_up(self) -> None:
        side = opened(read_ahead=100)
        side.handler.is_slow = True
        side.receive(side.frame(BINARY, b"x" * 100) * 3)
        assert not side.connection.wants_read
        side.advance(300)
        assert side.connection.state is State.OPEN
        for _ in range(3):
            side.resume()
        side.advance(15)
        assert side.connection.state is State.OPEN, "it has the full time-out from when we read again"
        side.advance(5)
        assert side.asked() is Disconnect.ABORT

    def test_a_peer_that_we_do_not_read_because_it_does_not_read_is(self) -> None:
        """A handler that waits for the peer to read must not keep a peer that never does."""
        side = opened(read_ahead=100, high_water=1000)
        side.handler.is_slow = True
        side.receive(side.frame(BINARY, b"x" * 100) * 3)
        side.advance(100)
        assert side.connection.state is State.OPEN
        side.connection.send_message(b"x" * 2000, True)
        side.settle()
        side.advance(41)
        assert side.asked() is Disconnect.ABORT

    def test_a_peer_that_has_read_while_the_handler_is_busy_is_not(self) -> None:
        side = opened(high_water=1000, write_high_water=500)
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"x"))
        for _ in range(2):
            side.connection.send_message(b"x" * 2000, True)
            side.settle()
        assert not side.connection.wants_read
        side.take()
        side.take()
        assert not side.connection.wants_read
        side.advance(300)
        assert side.connection.state is State.OPEN

    def test_a_peer_that_sends_but_takes_nothing_is_given_up(self) -> None:
        side = opened(high_water=1000)
        side.connection.send_message(b"x" * 2000, True)
        side.settle()
        for _ in range(39):
            side.receive(side.frame(TEXT, b"alive?"))
            side.advance(1)
        side.advance(2)
        assert side.asked() is Disconnect.ABORT

    def test_an_idle_connection_frees_the_memory_of_its_compressor(self) -> None:
        codec = deflate(True)
        side, reader = opened(codec=codec), deflate(False)
        for compressor in (True, False, True):
            if compressor:
                side.connection.send_message(b"hello" * 100, True)
                side.settle()
                assert reader.decompress(side.sent()[0].payload, True, 0) == b"hello" * 100
            else:
                side.advance(20)
                side.take()
            assert (codec._compressor is not None) is compressor

    def test_there_are_no_pings_after_a_close_frame(self) -> None:
        side = opened(close_handshake_timeout=0)
        side.connection.close(1000, None, 0)
        side.settle()
        side.advance(1000)
        side.assert_sent(Frame(CLOSE, b"\x03\xe8"))
