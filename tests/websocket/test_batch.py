"""Each connection is written to once at the end of an event, whoever was sent to in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.wire.helpers import CLOSE, PONG, TEXT, Frame, close_frame, frame, parse_frames

from .ends import End, FakeLink, NotingServer


class Hub(NotingServer):
    """Does with a message what the test says."""

    does: Callable[[Any, bytes], Any]

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        super().onMessage(payload, isBinary)
        return type(self).does(self, payload)


class FaultyLink(FakeLink):
    """A transport that raises instead of writing."""

    def write(self, chunks: list[bytes | bytearray | memoryview]) -> None:
        raise RuntimeError("cannot write")


class Room:
    """Connections of one loop.

    Args:
        does: what a connection does with a message.
        count: how many there are.
    """

    def __init__(self, does: Callable[[Any, bytes], Any], count: int = 3) -> None:
        hub = type("Hub", (Hub,), {"does": staticmethod(does)})
        self.ends = [End(hub) for _ in range(count)]
        self.loop = self.ends[0].loop
        for end in self.ends:
            end.loop = self.loop
            type(end.factory)._event_loop = self.loop
            end.open()
            end.link.writes = 0

    @property
    def batch(self) -> Any:
        """What collects."""
        return self.loop.batch

    def receive(self, index: int, *payloads: bytes) -> None:
        """One read that brings messages."""
        end = self.ends[index]
        end.receive(*(end.frame(TEXT, payload) for payload in payloads))

    def assert_at_rest(self) -> None:
        """Nobody waits to be written to."""
        assert self.batch.depth == 0
        assert not self.batch.sessions
        # So what is sent now goes out at once.
        for end in self.ends:
            if end.protocol.state == end.protocol.STATE_OPEN:
                end.take()
                end.protocol.sendMessage(b"at once")
                assert [each.payload for each in end.sent()] == [b"at once"]


def broadcasting(room: list[Room]) -> Callable[[Any, bytes], None]:
    def does(protocol: Any, payload: bytes) -> None:
        for end in room[0].ends:
            end.protocol.sendMessage(payload)

    return does


def make_room(does: Callable[[list[Room]], Callable[[Any, bytes], Any]], count: int = 3) -> Room:
    """A room whose connections know it."""
    rooms: list[Room] = []
    room = Room(lambda protocol, payload: does(rooms)(protocol, payload), count)
    rooms.append(room)
    return room


def texts(end: End) -> list[bytes]:
    """The payloads of what was written."""
    return [each.payload for each in end.sent()]


class TestOneWrite:
    def test_for_each_receiver_of_what_one_read_brought(self) -> None:
        room = make_room(broadcasting)
        payloads = [b"%d" % number for number in range(50)]
        room.receive(0, *payloads)
        for end in room.ends:
            assert end.link.writes == 1
            assert texts(end) == payloads
        room.assert_at_rest()

    def test_for_what_a_timer_of_the_core_causes(self) -> None:
        def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
            def hook(protocol: Any, payload: bytes) -> Any:
                if payload == b"wait":
                    waiting.append(Deferred())
                    return waiting[-1]
                return broadcasting(rooms)(protocol, payload)

            return hook

        waiting: list[Deferred[None]] = []
        room = make_room(does)
        room.receive(0, b"wait", *[b"x"] * 10)
        assert [end.link.writes for end in room.ends] == [0, 0, 0]
        # The end of a hook is an event as well: what has waited for it is delivered in it.
        waiting[0].callback(None)
        assert [end.link.writes for end in room.ends] == [1, 1, 1]
        assert [texts(end) for end in room.ends] == [[b"x"] * 10] * 3
        room.assert_at_rest()

    def test_of_pings_pongs_and_closes_too(self) -> None:
        def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
            def hook(protocol: Any, payload: bytes) -> None:
                other = rooms[0].ends[1].protocol
                other.sendMessage(b"text")
                other.sendPong(b"pong")
                other.sendClose(1000)

            return hook

        room = make_room(does)
        room.receive(0, b"go")
        assert room.ends[1].link.writes == 1
        assert [each.opcode for each in room.ends[1].sent()] == [TEXT, PONG, CLOSE]
        room.assert_at_rest()

    def test_at_once_outside_of_any_event(self) -> None:
        room = make_room(broadcasting)
        for number in range(3):
            room.ends[1].protocol.sendMessage(b"%d" % number)
            assert texts(room.ends[1]) == [b"%d" % number]
        room.assert_at_rest()

    def test_sooner_where_much_collects(self) -> None:
        def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
            def hook(protocol: Any, payload: bytes) -> None:
                for number in range(10):
                    rooms[0].ends[1].protocol.sendMessage(b"%d" % number * 100_000)

            return hook

        room = make_room(does)
        room.receive(0, b"go")
        assert room.ends[1].link.writes > 1
        assert texts(room.ends[1]) == [b"%d" % number * 100_000 for number in range(10)]
        room.assert_at_rest()


class TestEventsWithinEvents:
    def test_of_others_and_of_its_own(self) -> None:
        """As with transports in memory: what is written is received before the call returns."""

        def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
            def hook(protocol: Any, payload: bytes) -> None:
                broadcasting(rooms)(protocol, payload)
                if len(payload) < 3:
                    for end in rooms[0].ends:
                        end.receive(end.frame(TEXT, payload + b"+"))

            return hook

        room = make_room(does)
        room.receive(0, b"a")
        assert [end.link.writes for end in room.ends] == [1, 1, 1]
        assert texts(room.ends[1]) == [b"a", *[b"a+", *[b"a++"] * 3] * 3]
        room.assert_at_rest()

    def test_of_another_factory_with_a_loop_object_of_its_own(self) -> None:
        first = make_room(broadcasting)
        second = make_room(broadcasting)

        def hook(protocol: Any, payload: bytes) -> None:
            for end in first.ends + second.ends:
                end.protocol.sendMessage(payload)

        type(first.ends[0].protocol).does = staticmethod(hook)
        first.receive(0, b"a", b"b")
        assert [texts(end) for end in first.ends + second.ends] == [[b"a", b"b"]] * 6
        first.assert_at_rest()
        second.assert_at_rest()

    def test_a_transport_that_drains_while_it_is_written_to(self) -> None:
        """What waited for the transport goes on within the write at the end of an event, and sends to others."""
        room = make_room(broadcasting)
        target = room.ends[1]
        target.session.writing_paused()
        target.protocol.sendMessage(b"first")
        target.protocol.drained().addCallback(lambda _: room.ends[2].protocol.sendMessage(b"drained"))
        target.session.writing_resumed()
        assert texts(target) == [b"first"]
        assert texts(room.ends[2]) == [b"drained"]
        room.assert_at_rest()


class TestReceiversThatGo:
    @pytest.mark.parametrize("how", ["lost", "dropped", "dropped gently", "closed"])
    def test_meanwhile(self, how: str) -> None:
        def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
            def hook(protocol: Any, payload: bytes) -> None:
                target = rooms[0].ends[1]
                rooms[0].ends[2].protocol.sendMessage(b"before")
                target.protocol.sendMessage(b"to go")
                if how == "lost":
                    target.session.connection_lost()
                elif how == "closed":
                    target.protocol.sendClose(1000)
                else:
                    target.protocol.dropConnection(abort=how == "dropped")
                rooms[0].ends[2].protocol.sendMessage(b"behind")

            return hook

        room = make_room(does)
        room.receive(0, b"go")
        written = room.ends[1].take()
        sent = parse_frames(written)
        if how in ("lost", "dropped"):
            assert sent == []
        else:
            assert sent[0] == Frame(TEXT, b"to go")
        calls = {"lost": [], "dropped": ["abort"], "dropped gently": ["close"], "closed": []}
        assert room.ends[1].link.calls == calls[how]
        assert texts(room.ends[2]) == [b"before", b"behind"]
        assert room.ends[2].link.writes == 1
        room.assert_at_rest()

    def test_the_sender_itself(self) -> None:
        def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
            def hook(protocol: Any, payload: bytes) -> None:
                broadcasting(rooms)(protocol, payload)
                protocol.dropConnection(abort=True)

            return hook

        room = make_room(does)
        room.receive(0, b"one", b"two")
        assert room.ends[0].take() == b""
        assert room.ends[0].link.calls == ["abort"]
        assert [texts(end) for end in room.ends[1:]] == [[b"one"]] * 2
        room.assert_at_rest()


class TestErrors:
    def test_an_exception_in_a_hook(self) -> None:
        def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
            def hook(protocol: Any, payload: bytes) -> None:
                broadcasting(rooms)(protocol, payload)
                raise ValueError("on purpose")

            return hook

        room = make_room(does)
        room.receive(0, b"x", b"never seen")
        assert [each.opcode for each in room.ends[0].sent()] == [TEXT, CLOSE]
        assert [texts(end) for end in room.ends[1:]] == [[b"x"]] * 2
        room.assert_at_rest()

    def test_an_error_that_is_no_exception(self) -> None:
        def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
            def hook(protocol: Any, payload: bytes) -> None:
                broadcasting(rooms)(protocol, payload)
                raise KeyboardInterrupt

            return hook

        room = make_room(does)
        with pytest.raises(KeyboardInterrupt):
            room.receive(0, b"x")
        assert [texts(end) for end in room.ends] == [[b"x"]] * 3
        room.assert_at_rest()

    @pytest.mark.parametrize("faulty", [0, 1, 2])
    def test_a_transport_that_raises_holds_up_nobody_else(self, faulty: int) -> None:
        room = make_room(broadcasting)
        end = room.ends[faulty]
        good = end.link.write
        end.link.write = FaultyLink.write.__get__(end.link)  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="cannot write"):
            room.receive(0, b"x")
        end.link.write = good  # type: ignore[method-assign]
        for other in room.ends:
            if other is not end:
                assert texts(other) == [b"x"]
        room.assert_at_rest()


def test_each_keeps_its_order() -> None:
    def does(rooms: list[Room]) -> Callable[[Any, bytes], Any]:
        def hook(protocol: Any, payload: bytes) -> None:
            for index, end in enumerate(rooms[0].ends):
                end.protocol.sendMessage(payload + b"%d" % index)
                end.protocol.sendPing(payload)

        return hook

    room = make_room(does, 5)
    for sender in range(5):
        room.receive(sender, *[b"%d" % number for number in range(20)])
    for index, end in enumerate(room.ends):
        expected = [b"%d" % number for _ in range(5) for number in range(20)]
        assert texts(end) == [each for text in expected for each in (text + b"%d" % index, text)]
        assert end.link.writes == 5
    room.assert_at_rest()


def test_what_is_sent_when_a_connection_is_lost_goes_out() -> None:
    room = make_room(broadcasting)
    type(room.ends[0].protocol).onClose = lambda self, *_: (
        broadcasting([room])(self, b"gone") if False else [end.protocol.sendMessage(b"gone") for end in room.ends[1:]]
    )
    room.ends[0].session.connection_lost()
    assert [texts(end) for end in room.ends[1:]] == [[b"gone"]] * 2
    room.assert_at_rest()


def test_closing_is_part_of_the_event() -> None:
    room = make_room(broadcasting)
    room.ends[0].receive(frame(TEXT, b"x", mask=room.ends[0].mask), close_frame(1000, mask=room.ends[0].mask))
    assert [each.opcode for each in room.ends[0].sent()] == [TEXT, CLOSE]
    assert room.ends[0].link.calls == ["finish"]
    room.assert_at_rest()
