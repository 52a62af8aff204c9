"""A connection whose large frames are received in place."""

from __future__ import annotations

from typing import Any

import pytest

from autobahnlike.wire.state import State

from .helpers import BINARY, CLOSE, PING, ROLES, TEXT, Frame, Side, opened, undecided
from .test_messages_in_place import PAYLOAD, have_memory_lent, large_frame

both_roles = pytest.mark.parametrize("is_server", ROLES.values(), ids=ROLES)


@pytest.fixture(autouse=True)
def _memory_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    have_memory_lent(monkeypatch)


def read(side: Side, data: bytes) -> int:
    """Have a piece arrive as an edge reads it: into its place as long as there is one; return how much went there."""
    in_place = 0
    while data:
        view = side.connection.room()
        if view is None:
            side.receive(data)
            break
        count = min(len(view), len(data))
        view[:count] = data[:count]
        side.connection.received_in_place(count, side.now)
        side.settle()
        data = data[count:]
        in_place += count
    return in_place


def reads(side: Side, data: bytes, size: int = 30_000) -> int:
    """Have it arrive in pieces."""
    return sum(read(side, data[start : start + size]) for start in range(0, len(data), size))


def large(side: Side, opcode: int, payload: bytes, **details: Any) -> bytes:
    """A frame of the peer."""
    return large_frame(opcode, payload, side.mask, **details)


@both_roles
def test_messages_are_delivered_and_counted(is_server: bool) -> None:
    side = opened(is_server=is_server)
    before = side.connection.octets_received
    data = large(side, BINARY, PAYLOAD) + large(side, TEXT, b"next")
    assert reads(side, data) > 100_000
    assert side.messages == [PAYLOAD, b"next"]
    assert side.connection.octets_received - before == len(data)
    assert side.connection.buffered == 0
    assert side.connection.is_steady()


@pytest.mark.parametrize("is_server", ROLES.values(), ids=ROLES)
def test_there_is_no_room_before_the_opening_handshake(is_server: bool) -> None:
    side = Side(is_server=is_server)
    assert side.connection.room() is None
    assert not side.connection.is_steady()
    assert undecided(is_server).connection.room() is None


@both_roles
def test_what_is_received_in_place_counts_as_a_sign_of_life(is_server: bool) -> None:
    side = opened(
        is_server=is_server, auto_ping_interval=10.0, auto_ping_timeout=10.0, auto_ping_restart_on_any_traffic=True
    )
    data = large(side, BINARY, PAYLOAD)
    side.advance(11)
    assert [each.opcode for each in side.sent()] == [PING]
    read(side, data[:100_000])
    side.advance(9)
    read(side, data[100_000:150_000])
    side.advance(9)
    assert side.connection.state is State.OPEN
    read(side, data[150_000:])
    assert side.messages == [PAYLOAD]


@both_roles
def test_text_that_is_none_fails_the_connection_within_the_frame(is_server: bool) -> None:
    side = opened(is_server=is_server)
    text = b"x" * 100_000 + b"\xff" + b"x" * 200_000
    data = large(side, TEXT, text)
    reads(side, data[:90_000])
    read(side, data[90_000:120_000])
    side.assert_failed(1007)
    assert not side.connection.is_steady()
    # What is left of the frame is skipped, and the peer's close frame found behind it.
    assert side.connection.room() is None
    reads(side, data[120_000:] + side.close_frame(1007))
    side.lose()
    assert side.closed[0] is True


@both_roles
def test_a_close_frame_behind(is_server: bool) -> None:
    side = opened(is_server=is_server)
    reads(side, large(side, BINARY, PAYLOAD) + side.close_frame(1000, b"bye") + b"rest")
    assert side.messages == [PAYLOAD]
    assert [each.opcode for each in side.sent()] == [CLOSE]
    assert side.connection.room() is None


@both_roles
def test_the_handler_is_busy(is_server: bool) -> None:
    side = opened(is_server=is_server, read_ahead=1000)
    side.handler.is_slow = True
    data = large(side, BINARY, PAYLOAD)
    reads(side, data + data)
    assert side.messages == [PAYLOAD]
    assert not side.connection.wants_read
    assert side.connection.room() is None
    assert not side.connection.is_steady()
    side.handler.is_slow = False
    side.resume()
    assert side.messages == [PAYLOAD, PAYLOAD]
    assert side.connection.is_steady()


@both_roles
def test_the_handler_becomes_free_within_a_frame(is_server: bool) -> None:
    side = opened(is_server=is_server)
    side.handler.is_slow = True
    data = large(side, BINARY, PAYLOAD)
    reads(side, data + data[:100_000])
    assert side.messages == [PAYLOAD]
    side.handler.is_slow = False
    side.resume()
    reads(side, data[100_000:])
    assert side.messages == [PAYLOAD, PAYLOAD]


@both_roles
@pytest.mark.parametrize("what", ["lost", "dropped", "failed", "closed"])
def test_the_connection_ends_between_the_loan_and_what_it_was_for(is_server: bool, what: str) -> None:
    side = opened(is_server=is_server)
    data = large(side, BINARY, PAYLOAD)
    reads(side, data[:100_000])
    view = side.connection.room()
    assert view is not None
    if what == "lost":
        side.lose()
    elif what == "dropped":
        side.connection.drop(side.now)
    elif what == "failed":
        side.connection.fail(1011, "internal error", side.now)
    else:
        side.connection.close(1000, None, side.now)
    view[:1000] = data[100_000:101_000]
    side.connection.received_in_place(1000, side.now)
    if what == "closed":
        # Messages that were on the way are still delivered.
        reads(side, data[101_000:])
        assert side.messages == [PAYLOAD]
        return
    assert side.connection.room() is None
    assert side.messages == []
    if what != "lost":
        side.lose()
    assert side.closed[:2] == (False, 1006)


@both_roles
def test_an_answer_that_fills_the_transport_stops_reading(is_server: bool) -> None:
    side = opened(is_server=is_server, high_water=1000, write_high_water=1000)
    side.handler.hooks["message"] = lambda payload, is_binary: side.connection.send_message(payload, is_binary)
    data = large(side, BINARY, PAYLOAD)
    reads(side, data * 3)
    assert not side.connection.wants_read
    assert side.connection.room() is None
    answers: list[Frame] = []
    while len(side.messages) < 3:
        side.take()
    side.take()
    assert side.messages == [PAYLOAD] * 3
    assert side.connection.is_steady()
    assert answers == []
