"""Sending to all connections of a factory."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from autobahnlike.exception import InvalidArgument, PayloadExceededError
from tests.websocket.ends import End, NotingClient, NotingServer, answer_to
from tests.wire.helpers import BINARY, REQUEST, TEXT


def crowd(count: int, protocol: type[Any] = NotingServer, **options: Any) -> list[End]:
    """Make ends that have one factory and one loop, not connected yet."""
    ends = [End(protocol, **options) for _ in range(count)]
    for end in ends[1:]:
        end.factory = end.protocol.factory = ends[0].factory
        end.loop = ends[0].loop
    return ends


def opened(count: int, **options: Any) -> list[End]:
    return [end.open() for end in crowd(count, **options)]


def received(ends: list[End]) -> list[list[bytes]]:
    return [[frame.payload for frame in end.sent()] for end in ends]


def test_all_are_sent_it() -> None:
    ends = opened(3)
    assert ends[0].factory.broadcast(b"hello") == 3
    assert [end.sent() for end in ends] == [[(TEXT, b"hello", True, 0, False)]] * 3
    assert ends[0].factory.broadcast(b"\xff", isBinary=True) == 3
    assert [frame.opcode for end in ends for frame in end.sent()] == [BINARY] * 3


def test_nobody_is_there() -> None:
    assert End().factory.broadcast(b"hello") == 0


def test_those_opening_and_closing_are_left_out() -> None:
    opening, waiting, closing, failed, gone, never, here = ends = crowd(7)
    opening.connect()
    waiting.protocol.onConnect = lambda request: waiting.loop.txaio.create_future()
    for end in (waiting, closing, failed, gone, here):
        end.connect().receive(REQUEST)
        end.take()
    closing.protocol.sendClose(1000)
    failed.receive(b"\x81\x00")
    gone.session.connection_lost()
    for end in (closing, failed):
        end.take()
    assert never.protocol._session is None
    assert here.factory.broadcast(b"hello") == 1
    assert received(ends) == [[], [], [], [], [], [], [b"hello"]]


def test_some_can_be_left_out() -> None:
    one, two, three = ends = opened(3)
    assert one.factory.broadcast(b"hello", exclude=(one.protocol, three.protocol)) == 1
    assert received(ends) == [[], [b"hello"], []]
    assert one.factory.broadcast(b"hello", exclude=iter([two.protocol, End().protocol])) == 2


class Same(NotingServer):
    """Equal to all of its kind, and not to be hashed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same)

    __hash__ = None  # type: ignore[assignment]


def test_they_are_told_apart_by_what_they_are_and_not_by_what_they_equal() -> None:
    one, two = [end.open() for end in crowd(2, Same)]
    assert one.factory.broadcast(b"hello", exclude=[one.protocol]) == 1
    assert received([one, two]) == [[], [b"hello"]]


def test_one_connection_is_no_list_of_them() -> None:
    one, two = opened(2)
    with pytest.raises(InvalidArgument, match="list of connections"):
        one.factory.broadcast(b"hello", exclude=one.protocol)
    assert received([one, two]) == [[], []]


def test_a_message_that_is_too_large_for_one_goes_to_none() -> None:
    one, two, three = crowd(3)
    one.open()
    three.open()
    two.protocol.maxMessagePayloadSize = 10
    two.open()
    with pytest.raises(PayloadExceededError, match="11 bytes is over the limit of 10"):
        one.factory.broadcast(bytes(11))
    assert received([one, two, three]) == [[], [], []]
    assert one.factory.broadcast(bytes(11), exclude=[two.protocol]) == 2
    assert one.factory.broadcast(bytes(10)) == 3


def test_who_reads_too_slowly_is_dropped_and_holds_up_nobody() -> None:
    ends = opened(3, maxSendQueueSize=100)
    slow = ends[0]
    slow.session.writing_paused()
    counts = [slow.factory.broadcast(bytes(60)) for _ in range(4)]
    assert counts == [3, 3, 2, 2]
    assert received(ends) == [[], [bytes(60)] * 4, [bytes(60)] * 4]
    assert slow.link.calls == ["abort"]
    slow.session.connection_lost()
    [(name, clean, code, reason)] = slow.events
    assert (name, clean, code) == ("close", False, 1006)
    assert "maxSendQueueSize" in reason


def test_what_goes_wrong_with_one_is_its_own_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    one, broken, two = ends = opened(3)

    def send(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(broken.link, "write", send)
    assert one.factory.broadcast(b"hello") == 2
    assert received([one, two]) == [[b"hello"]] * 2
    assert broken.link.calls == ["abort"]
    [(message, error)] = one.loop.failures
    assert "192.0.2.1" in message
    assert isinstance(error, ZeroDivisionError)
    assert ends[0].factory.broadcast(b"again") == 2


def test_one_that_another_closes_meanwhile_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = opened(3)

    def write(chunks: object) -> None:
        two.session.connection_lost()

    monkeypatch.setattr(one.link, "write", write)
    assert one.factory.broadcast(b"hello") == 2
    assert received([two, three]) == [[], [b"hello"]]


def test_who_broadcasts_what_it_was_sent_writes_once_to_each() -> None:
    class Relay(NotingServer):
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            assert self.factory.broadcast(payload, isBinary) == 3

    ends = [end.open() for end in crowd(3, Relay)]
    for end in ends:
        end.link.writes = 0
    ends[0].receive(*[ends[0].frame(TEXT, payload) for payload in (b"one", b"two", b"three")])
    assert received(ends) == [[b"one", b"two", b"three"]] * 3
    assert [end.link.writes for end in ends] == [1, 1, 1]


def test_a_client_factory_sends_to_its_servers() -> None:
    ends = [end.connect() for end in crowd(2, NotingClient)]
    for end in ends:
        end.receive(answer_to(end.take()))
    assert ends[0].factory.broadcast(b"hello") == 2
    frames = [frame for end in ends for frame in end.sent()]
    assert [(frame.payload, frame.masked) for frame in frames] == [(b"hello", True)] * 2


def test_compression_can_be_left_out() -> None:
    end = End()
    end.connect().receive(REQUEST.removesuffix(b"\r\n") + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    end.take()
    assert end.factory.broadcast(bytes(500), doNotCompress=True) == end.factory.broadcast(bytes(500)) == 1
    assert [(frame.rsv, len(frame.payload) == 500) for frame in end.sent()] == [(0, True), (4, False)]


def test_a_connection_that_nobody_holds_is_forgotten() -> None:
    one, two = opened(2, autoPingInterval=0)
    factory = one.factory
    one.loop.clock.calls.clear()
    del two
    gc.collect()
    assert factory.broadcast(b"hello") == 1
