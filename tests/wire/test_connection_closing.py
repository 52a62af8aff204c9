"""How connections end: the closing handshake, what ``on_closed`` is told, dropping."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autobahnlike.exception import InvalidArgument, LocalProtocolError
from autobahnlike.wire.connection import Disconnect
from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State

from .helpers import CLOSE, CONTINUATION, ROLES, TEXT, Frame, Pair, Side, opened, parse_frames, undecided

both_roles = pytest.mark.parametrize("is_server", ROLES.values(), ids=ROLES)

both_manners = pytest.mark.parametrize("drops", [True, False], ids=["failByDrop", "with a close frame"])

PEER_DROPPED = "peer dropped the TCP connection without previous WebSocket closing handshake"


class TestClosingHandshake:
    """RFC 6455, sections 5.5.1, 7.1 and 7.4."""

    @both_roles
    @pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 4999])
    def test_the_peer_closes(self, is_server: bool, code: int) -> None:
        side = opened(is_server=is_server)
        side.receive(side.close_frame(code, "über".encode()))
        side.assert_sent(Frame(CLOSE, b"\x03\xe8"))
        assert side.connection.state is State.DISCONNECTING
        side.lose()
        assert side.closed == (True, code, "über")

    @both_roles
    def test_without_a_code(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.receive(side.close_frame())
        side.assert_sent(Frame(CLOSE, b"\x03\xe8"))
        side.lose()
        assert side.closed == (True, None, None)

    @pytest.mark.parametrize("payload", [b"", b"\x03\xe9", b"\x0f\xa0bye"])
    def test_code_and_reason_may_be_echoed(self, payload: bytes) -> None:
        side = opened(echo_close_code_reason=True)
        side.receive(side.frame(CLOSE, payload))
        side.assert_sent(Frame(CLOSE, payload))

    @both_roles
    def test_we_close_and_hear_what_the_peer_says(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.connection.close(3000, "done", 0)
        side.settle()
        side.assert_sent(Frame(CLOSE, b"\x0b\xb8done"))
        side.receive(side.close_frame(1001, b"as you like"))
        side.assert_sent()
        side.lose()
        assert side.closed == (True, 1001, "as you like")
        connection = side.connection
        assert (connection.sent_close_code, connection.sent_close_reason) == (3000, "done")
        assert (connection.close_code, connection.close_reason) == (1001, "as you like")

    @both_roles
    def test_we_close_once(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        for code in (None, 1000, 3000):
            side.connection.close(code, None, 0)
        side.settle()
        side.assert_sent(Frame(CLOSE, b""))

    @pytest.mark.parametrize(("code", "reason"), [(1006, None), (1005, ""), (999, None), (5000, None), (None, "why")])
    def test_a_code_that_may_not_be_sent_changes_nothing(self, code: int | None, reason: str | None) -> None:
        side = opened()
        with pytest.raises(InvalidArgument):
            side.connection.close(code, reason, 0)
        assert side.connection.state is State.OPEN
        assert side.connection.data_to_send() == []

    def test_a_connection_that_is_not_open_yet_cannot_be_closed(self) -> None:
        side = undecided()
        with pytest.raises(LocalProtocolError, match="not yet connected"):
            side.connection.close(1000, None, 0)
        assert side.connection.state is State.CONNECTING

    def test_messages_still_come_until_the_peer_closes(self) -> None:
        side = opened()
        side.connection.close(1000, None, 0)
        side.receive(side.frame(TEXT, b"last words") + side.close_frame(1000) + side.frame(TEXT, b"too late"))
        assert side.messages == [b"last words"]

    def test_the_server_ends_the_tcp_connection_first(self) -> None:
        """Section 7.1.1."""
        pair = Pair()
        pair.run()
        pair.client.connection.close(1000, None, 0)
        pair.client.settle()
        pair.carry(pair.client)
        assert pair.server.asked() is Disconnect.FINISH
        assert pair.client.asked() is Disconnect.NO
        pair.run()
        assert pair.client.closed == pair.server.closed == (True, 1000, None)

    def test_the_end_waits_for_what_is_still_to_be_written(self) -> None:
        side = opened(high_water=10)
        side.connection.send_message(b"x" * 100, True)
        side.write()
        side.connection.send_message(b"y" * 100, True)
        side.connection.close(1000, None, 0)
        side.connection.drop(0, abort=False)
        assert side.asked() is Disconnect.NO
        assert [each.payload[:1] for each in parse_frames(side.take() + side.take())] == [b"x", b"y", b"\x03"]
        assert side.asked() is Disconnect.CLOSE

    def test_both_close_at_once(self) -> None:
        pair = Pair()
        pair.run()
        for side in pair.sides:
            side.connection.close(1001 if side.is_server else 1000, None, 0)
            side.settle()
        pair.run()
        assert pair.client.closed == (True, 1001, None)
        assert pair.server.closed == (True, 1000, None)

    def test_a_close_frame_waits_for_the_handler(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"1") + side.frame(TEXT, b"2") + side.close_frame(1000))
        side.resume()
        assert side.connection.state is State.OPEN
        side.resume()
        side.lose()
        assert side.handler.events == [("message", b"1", False), ("message", b"2", False), ("closed", True, 1000, None)]

    @both_manners
    def test_one_that_waited_counts_though_the_connection_is_lost_meanwhile(self, drops: bool) -> None:
        side = opened(fail_by_drop=drops)
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"1") + side.close_frame(1001, b"bye"))
        side.lose()
        side.resume()
        assert side.closed == (True, 1001, "bye")

    def test_the_time_for_the_answer_runs_from_when_the_peer_has_read(self) -> None:
        side = opened(high_water=1000)
        side.connection.send_message(b"x" * 3000, True)
        side.settle()
        side.connection.send_message(b"x" * 3000, True)
        side.connection.close(1000, None, 0)
        side.advance(4)
        side.take()
        side.advance(4)
        assert side.connection.state is State.CLOSE_SENT
        side.advance(1)
        assert side.asked() is Disconnect.ABORT

    def test_a_busy_connection_fails_for_a_reason_of_our_own(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"1") * 3)
        side.connection.fail(1011, "internal error", 0)
        side.settle()
        side.assert_failed(1011)
        side.resume()
        side.receive(side.frame(TEXT, b"ignored") + side.close_frame(1011))
        side.lose()
        assert side.handler.events == [("message", b"1", False), ("closed", True, 1011, None)]

    def test_a_close_frame_that_has_come_counts_though_we_fail(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"1") * 2 + side.close_frame(1001))
        side.connection.fail(1011, "internal error", 0)
        side.connection.fail(1011, "twice", 0)
        side.settle()
        side.assert_failed(1011)
        side.resume()
        assert side.messages == [b"1"]
        assert side.connection.buffered == 0
        side.lose()
        assert side.closed == (True, 1001, None)

    def test_a_violation_after_our_close_frame_changes_nothing(self) -> None:
        side = opened()
        side.connection.close(1000, None, 0)
        side.settle()
        side.take()
        side.receive(side.frame(3), side.frame(TEXT, b"ignored"), side.close_frame(1000))
        side.assert_sent()
        side.lose()
        assert side.handler.events == [("closed", True, 1000, None)]

    def test_the_end_is_told_once(self) -> None:
        side = opened()
        side.lose()
        side.lose()
        side.connection.drop(0)
        side.connection.close(1000, None, 0)
        side.connection.fail(1011, "late", 0)
        side.resume()
        assert side.handler.events == [("closed", False, 1006, f'connection was closed uncleanly ("{PEER_DROPPED}")')]


Ending = tuple[bool, int | None, str | None]


def unclean(why: str) -> Ending:
    """What ``on_closed`` is told of a connection that did not end as it should."""
    return False, 1006, f'connection was closed uncleanly ("{why}")'


def we_close(side: Side) -> None:
    side.connection.close(1000, "ours", side.now)
    side.settle()
    side.take()


def we_close_and_hear_nothing(side: Side) -> None:
    we_close(side)
    side.advance(5)


def we_close_and_the_peer_answers(side: Side) -> None:
    we_close(side)
    side.receive(side.close_frame(1001, b"theirs"))


def we_close_and_the_peer_answers_wrongly(side: Side) -> None:
    we_close(side)
    side.receive(side.close_frame(1005))


def they_are_silent(side: Side) -> None:
    side.advance(40)


def they_take_nothing(side: Side) -> None:
    side.is_paused = True
    for _ in range(3):
        side.connection.send_message(bytes(100), True)


def they_close_and_do_not_end(side: Side) -> None:
    side.receive(side.close_frame(1001))
    side.take()
    side.advance(60)
    assert side.asked() is Disconnect.ABORT


ENDINGS: dict[str, tuple[Callable[[Side], object], Ending]] = {
    "the peer closes": (lambda side: side.receive(side.close_frame(1000, b"bye")), (True, 1000, "bye")),
    "the peer closes without a code": (lambda side: side.receive(side.close_frame()), (True, None, None)),
    "the peer closes and does not end": (they_close_and_do_not_end, (True, 1001, None)),
    "we close and the peer answers": (we_close_and_the_peer_answers, (True, 1001, "theirs")),
    "we close and the peer answers wrongly": (we_close_and_the_peer_answers_wrongly, (True, 1000, None)),
    "we close and the peer drops": (we_close, unclean(PEER_DROPPED)),
    "we close and the peer is silent": (
        we_close_and_hear_nothing,
        unclean("WebSocket closing handshake timeout (peer did not finish the closing handshake in time)"),
    ),
    "the peer drops": (lambda side: None, unclean(PEER_DROPPED)),
    "the application drops": (lambda side: side.connection.drop(0), unclean("None")),
    "the application closes the transport": (lambda side: side.connection.drop(0, abort=False), unclean("None")),
    "the peer is silent": (
        they_are_silent,
        unclean("WebSocket ping timeout (peer did not respond with pong in time)"),
    ),
    "the peer takes nothing": (
        they_take_nothing,
        unclean("peer did not take what was sent: more than 150 bytes are waiting (maxSendQueueSize)"),
    ),
}

# What the peer sends, the close code it is answered with, and the detail of the reason.
VIOLATIONS: dict[str, tuple[Callable[[Side], bytes], int, str]] = {
    "reserved bits": (lambda side: side.frame(TEXT, rsv=2), 1002, "reserved bits set in a data frame"),
    "reserved opcode": (lambda side: side.frame(11), 1002, "reserved control opcode 11"),
    "continuation of nothing": (lambda side: side.frame(CONTINUATION), 1002, "continuation of no message"),
    "text that is not UTF-8": (lambda side: side.frame(TEXT, b"\xff"), 1007, "text message is not UTF-8"),
    "too big": (lambda side: side.frame(TEXT, b"x" * 1001), 1009, "message of 1001 bytes is over the limit of 1000"),
}
# The same for close frames that are wrong, with what is then told of the peer's code.
BAD_CLOSES: dict[str, tuple[bytes, int, str, int | None]] = {
    "invalid close code": (b"\x03\xee", 1002, "invalid close code 1006", 1000),
    "one byte": (b"\x03", 1002, "close frame with a payload of one byte", None),
    "a reason that is not UTF-8": (b"\x0f\xa0\xff", 1007, "close reason is not UTF-8", 4000),
}


@both_roles
@both_manners
class TestWhatOnClosedIsTold:
    @pytest.mark.parametrize("ending", ENDINGS)
    def test_of_endings(self, is_server: bool, drops: bool, ending: str) -> None:
        act, expected = ENDINGS[ending]
        side = opened(is_server=is_server, fail_by_drop=drops, max_send_queue=150)
        act(side)
        side.lose()
        assert side.closed == expected

    @pytest.mark.parametrize("violation", VIOLATIONS)
    def test_of_violations(self, is_server: bool, drops: bool, violation: str) -> None:
        data, code, why = VIOLATIONS[violation]
        side = opened(is_server=is_server, fail_by_drop=drops, max_message_size=1000)
        side.receive(data(side) + side.frame(TEXT, b"behind"))
        if drops:
            side.assert_dropped(f"I dropped the WebSocket TCP connection: {why}")
        else:
            side.assert_failed(code)
            side.receive(side.close_frame(code))
            side.lose()
            assert side.closed == (True, code, None)
        assert side.messages == []

    @pytest.mark.parametrize("violation", VIOLATIONS)
    def test_of_violations_with_no_answer(self, is_server: bool, drops: bool, violation: str) -> None:
        data, _, why = VIOLATIONS[violation]
        side = opened(is_server=is_server, fail_by_drop=drops, max_message_size=1000)
        side.receive(data(side))
        side.advance(5)
        side.lose()
        verb = "dropped the WebSocket TCP connection" if drops else "failed the WebSocket connection"
        assert side.closed == unclean(f"I {verb}: {why}")

    @pytest.mark.parametrize("close", BAD_CLOSES)
    def test_of_close_frames_that_are_wrong(self, is_server: bool, drops: bool, close: str) -> None:
        payload, code, why, told = BAD_CLOSES[close]
        side = opened(is_server=is_server, fail_by_drop=drops)
        side.receive(side.frame(CLOSE, payload))
        if drops:
            side.assert_dropped(f"I dropped the WebSocket TCP connection: {why}")
        else:
            side.assert_sent(Frame(CLOSE, code.to_bytes(2, "big") + why.encode()))
            side.lose()
            assert side.closed == (True, told, None)

    def test_of_a_handshake_that_never_finished(self, is_server: bool, drops: bool) -> None:
        side = Side(is_server=is_server, options=Options(fail_by_drop=drops))
        side.advance(5)
        side.assert_dropped("WebSocket opening handshake timeout (peer did not finish the opening handshake in time)")

    def test_of_a_transport_that_broke_for_a_known_reason(self, is_server: bool, drops: bool) -> None:
        side = opened(is_server=is_server, fail_by_drop=drops)
        side.lose("SSL error: bad record MAC")
        assert side.closed == unclean("SSL error: bad record MAC")

    def test_of_a_server_that_does_not_end_the_tcp_connection(self, is_server: bool, drops: bool) -> None:
        side = opened(is_server=is_server, fail_by_drop=drops)
        we_close_and_the_peer_answers(side)
        side.advance(60)
        assert side.asked() is Disconnect.ABORT
        side.lose()
        overdue = unclean("WebSocket closing handshake timeout (server did not drop TCP connection in time)")
        assert side.closed == ((True, 1001, "theirs") if is_server else overdue)


class TestDropping:
    @both_roles
    def test_nothing_is_written_any_more(self, is_server: bool) -> None:
        side = opened(is_server=is_server)
        side.connection.send_message(b"x", True)
        side.connection.drop(0)
        side.assert_dropped("None")

    def test_nothing_is_delivered_any_more(self) -> None:
        side = opened()
        side.handler.is_slow = True
        side.receive(side.frame(TEXT, b"1") * 3)
        side.connection.drop(0, "enough")
        side.receive(side.frame(TEXT, b"2"))
        side.resume()
        assert side.messages == [b"1"]
        side.assert_dropped("enough")

    def test_nothing_behind_the_message_at_which_the_handler_drops(self) -> None:
        side = opened()
        side.handler.hooks["message"] = lambda *_: side.connection.drop(0)
        side.receive(side.frame(TEXT, b"1") * 3)
        assert side.messages == [b"1"]

    def test_closing_the_transport_gives_up_in_time(self) -> None:
        side = opened(high_water=10, close_handshake_timeout=0)
        side.connection.send_message(b"x" * 100, True)
        side.write()
        side.connection.send_message(b"x" * 100, True)
        side.connection.drop(0, abort=False)
        side.advance(5)
        assert side.asked() is Disconnect.ABORT

    def test_an_abort_is_not_taken_back(self) -> None:
        side = opened()
        side.connection.drop(0, "first")
        side.connection.drop(0, "second", abort=False)
        side.assert_dropped("first")

    def test_a_closing_handshake_that_is_complete_stays_clean(self) -> None:
        side = opened()
        side.receive(side.close_frame(1000, b"bye"))
        side.connection.drop(0)
        assert side.asked() is Disconnect.ABORT
        side.lose()
        assert side.closed == (True, 1000, "bye")

    def test_a_refusal_keeps_its_reason(self) -> None:
        side = undecided(True)
        side.connection.refuse(b"HTTP/1.1 403 Forbidden\r\n\r\n", "not you", 0)
        side.connection.drop(0)
        side.lose()
        assert side.closed == (False, 1006, 'connection was closed uncleanly ("not you")')

    @both_roles
    def test_during_the_opening_handshake(self, is_server: bool) -> None:
        side = undecided(is_server)
        side.take()
        side.connection.drop(0, "changed my mind")
        side.receive(side.frame(TEXT, b"ignored"))
        side.assert_dropped("changed my mind")


class TestServerThatFails:
    """Who ends the TCP connection when a server has failed the WebSocket connection."""

    def test_an_answer_is_waited_for(self) -> None:
        side = opened()
        side.receive(side.frame(3, b"reserved"))
        side.advance(0.9)
        assert side.asked() is Disconnect.NO
        side.receive(side.close_frame(1002))
        assert side.asked() is Disconnect.FINISH
        side.lose()
        assert side.closed == (True, 1002, None)

    def test_but_not_for_long(self) -> None:
        side = opened()
        side.receive(side.frame(3, b"reserved"))
        side.advance(1)
        assert side.asked() is Disconnect.FINISH
        side.advance(3.9)
        assert side.asked() is Disconnect.FINISH
        side.advance(0.2)
        assert side.asked() is Disconnect.ABORT

    def test_nor_longer_than_for_a_closing_handshake(self) -> None:
        side = opened(close_handshake_timeout=0.4)
        side.receive(side.frame(3, b"reserved"))
        side.advance(0.2)
        assert side.asked() is Disconnect.FINISH
        side.advance(0.2)
        assert side.asked() is Disconnect.ABORT

    def test_an_answer_in_time_though_our_side_is_ended(self) -> None:
        side = opened(close_handshake_timeout=0)
        side.receive(side.frame(3, b"reserved"))
        side.advance(100)
        assert side.asked() is Disconnect.FINISH
        side.receive(side.close_frame(1002))
        side.lose()
        assert side.closed == (True, 1002, None)

    @pytest.mark.parametrize("broken", [b"\x88\xfe\x00\x7e", b"\x82\xff" + b"\xff" * 8, b"\x82\xff\x7f" + b"\xff" * 7])
    def test_none_if_none_can_come(self, broken: bytes) -> None:
        side = opened()
        side.receive(broken + b"mask")
        assert [frame.opcode for frame in side.sent()] == [CLOSE]
        assert side.asked() is Disconnect.FINISH
