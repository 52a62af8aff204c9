"""A reactor and a transport as the shared code wants them."""

# Much of Twisted is not annotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, inlineCallbacks, succeed
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from autobahnlike.twisted.loop import TwistedLink, TwistedLoop, exception_of


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile."""
    events: list[dict[str, Any]] = []
    publisher: Any = globalLogPublisher
    publisher.addObserver(events.append)
    yield events
    publisher.removeObserver(events.append)


class Waiting:
    """What came of a wait."""

    def __init__(self, result: object) -> None:
        self.outcomes: list[Any] = []
        loop = TwistedLoop(Clock())
        self.give_up = loop.wait(result, self.outcomes.append, lambda error: self.outcomes.append(error))


class Awaitable:
    """What can be awaited and is nothing else."""

    def __init__(self, inner: Deferred[Any]) -> None:
        self.inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.inner.__await__()


async def returning(value: Any) -> Any:
    return value


async def raising(error: Exception) -> Any:
    raise error


@inlineCallbacks
def generating(value: Any) -> Generator[Any, Any, Any]:
    got = yield succeed(value)
    return got


class TestTime:
    def test_it_is_that_of_the_reactor(self) -> None:
        clock = Clock()
        loop = TwistedLoop(clock)
        clock.advance(5)
        assert loop.now() == 5

    def test_calls_are_scheduled_and_cancelled(self) -> None:
        clock, called = Clock(), []
        loop = TwistedLoop(clock)
        loop.call_later(1, lambda: called.append(1))
        loop.call_later(1, lambda: called.append(2)).cancel()
        clock.advance(1)
        assert called == [1]


class TestWaiting:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: succeed(5),
            lambda: returning(5),
            lambda: generating(5),
            lambda: Awaitable(succeed(5)),
        ],
    )
    def test_for_what_is_there_already(self, make: Any) -> None:
        waiting = Waiting(make())
        assert waiting.outcomes == [5]
        assert waiting.give_up is not None

    def test_for_what_comes_later(self) -> None:
        for wrap in (lambda later: later, Awaitable):
            later: Deferred[int] = Deferred()
            waiting = Waiting(wrap(later))
            assert waiting.outcomes == []
            later.callback(5)
            assert waiting.outcomes == [5]

    def test_for_what_fails(self) -> None:
        error = ValueError()
        assert Waiting(fail(error)).outcomes == [error]
        assert Waiting(raising(error)).outcomes == [error]

    @pytest.mark.parametrize("result", [None, 5, "text", object(), returning])
    def test_not_for_what_cannot_be_awaited(self, result: object) -> None:
        waiting = Waiting(result)
        assert waiting.give_up is None
        assert waiting.outcomes == []

    def test_for_a_future_of_asyncio(self) -> None:
        loop = asyncio.new_event_loop()
        future = loop.create_future()
        waiting = Waiting(future)
        future.set_result(5)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert waiting.outcomes == [5]

    def test_until_it_is_given_up(self) -> None:
        cancelled: list[Any] = []
        waiting = Waiting(Deferred(cancelled.append))
        assert waiting.give_up is not None
        waiting.give_up()
        assert len(cancelled) == 1
        assert waiting.outcomes == []

    def test_what_is_given_up_may_have_a_result_all_the_same(self) -> None:
        waiting = Waiting(Deferred(lambda deferred: deferred.callback(5)))
        assert waiting.give_up is not None
        waiting.give_up()
        assert waiting.outcomes == []

    def test_a_coroutine_that_is_given_up_is_cancelled(self) -> None:
        seen: list[Any] = []

        async def hook() -> None:
            try:
                await Deferred()
            except CancelledError as error:
                seen.append(error)

        waiting = Waiting(hook())
        assert waiting.give_up is not None
        waiting.give_up()
        assert len(seen) == 1
        assert waiting.outcomes == []

    def test_an_error_in_what_follows_is_not_hidden(self, logged: list[dict[str, Any]]) -> None:
        def broken(_: Any) -> None:
            raise ValueError("ours")

        TwistedLoop(Clock()).wait(succeed(5), broken, broken)
        assert [str(event["log_failure"].value) for event in logged] == ["ours"]


class TestErrors:
    def test_failures_of_the_application_are_logged_with_their_traceback(self, logged: list[dict[str, Any]]) -> None:
        try:
            raise ValueError("theirs")
        except ValueError as error:
            TwistedLoop(Clock()).log_failure("onMessage raised", error)
        (event,) = logged
        assert event["message"] == "onMessage raised"
        assert "test_loop.py" in event["log_failure"].getTraceback()

    def test_the_exception_in_a_failure_has_its_traceback(self) -> None:
        try:
            raise ValueError
        except ValueError:
            failure: Any = Failure()
        assert exception_of(failure).__traceback__ is not None
        failure.value.__traceback__ = None
        assert exception_of(failure).__traceback__ is not None
        assert exception_of(Failure(ValueError("never raised"))).args == ("never raised",)


class Transport:
    """A transport that notes what is asked of it, and pauses its producer from a size on.

    Attributes:
        room: bytes from which on it pauses.
    """

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.data = b""
        self.calls: list[str] = []
        self.producer: Any = None
        self.is_paused = False

    def getPeer(self) -> Any:
        return IPv4Address("TCP", "10.0.0.1", 1)

    def getHost(self) -> Any:
        return IPv4Address("TCP", "10.0.0.2", 2)

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        if self.producer is not None and len(self.data) > self.room and not self.is_paused:
            self.is_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, pieces: list[bytes]) -> None:
        assert all(type(piece) is bytes for piece in pieces)
        self.calls.append("writeSequence")
        self.write(b"".join(pieces))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        if self.producer is not None:
            raise RuntimeError("there is one")
        self.calls.append("register")
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.calls.append("unregister")
        self.producer = None

    def loseConnection(self) -> None:
        self.calls.append("lose")

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


@implementer(IHalfCloseableDescriptor)
class HalfCloseable(Transport):
    """One that can also be half-closed and aborted."""

    def loseWriteConnection(self) -> None:
        self.calls.append("lose write")

    def abortConnection(self) -> None:
        self.calls.append("abort")

    def readConnectionLost(self, reason: Failure) -> None:
        """For the interface."""

    def writeConnectionLost(self, reason: Failure) -> None:
        """For the interface."""


class Session:
    """What a link tells."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def writing_paused(self) -> None:
        self.calls.append("paused")

    def writing_resumed(self) -> None:
        self.calls.append("resumed")


def link_to(transport: Transport, high_water: int = 100) -> tuple[TwistedLink, Session]:
    session: Any = Session()
    return TwistedLink(transport, SimpleNamespace(_session=session), high_water), session


class TestWriting:
    def test_little_is_written_without_ado(self) -> None:
        transport = Transport()
        link, _ = link_to(transport)
        link.write([b"a"])
        link.write([bytearray(b"b"), memoryview(b"c")])
        assert transport.data == b"abc"
        assert transport.calls == []

    def test_much_is_written_as_a_sequence_by_a_producer(self) -> None:
        transport = Transport()
        link, session = link_to(transport)
        link.write([b"x" * 60, bytearray(b"y" * 60)])
        assert transport.data == b"x" * 60 + b"y" * 60
        assert transport.calls == ["register", "writeSequence", "unregister"]
        assert session.calls == []
        assert link.buffered == 0

    def test_little_after_little_is_much(self) -> None:
        transport = Transport()
        link, _ = link_to(transport)
        for _ in range(11):
            link.write([b"x" * 10])
        assert transport.calls == ["register", "unregister"]

    def test_a_transport_that_has_enough(self) -> None:
        transport = Transport(room=50)
        link, session = link_to(transport)
        link.write([b"x" * 101])
        assert session.calls == ["paused"]
        assert link.buffered == 101
        assert transport.producer is link
        link.write([b"x"])
        assert transport.calls == ["register"]
        assert link.buffered == 102
        link.resumeProducing()
        link.resumeProducing()
        assert session.calls == ["paused", "resumed"]
        assert transport.calls == ["register", "unregister"]
        assert link.buffered == 0

    def test_a_transport_that_belongs_to_a_producer_of_the_application(self) -> None:
        transport = Transport()
        link, session = link_to(transport)
        transport.registerProducer(object(), True)
        link.write([b"x" * 101])
        assert transport.calls == ["register"]
        assert len(transport.data) == 101
        assert session.calls == []

    def test_one_without_a_session_any_more(self) -> None:
        link = TwistedLink(Transport(), SimpleNamespace(_session=None), 100)
        link.pauseProducing()
        link.resumeProducing()
        link.stopProducing()
        assert link.buffered == 0

    def test_when_the_connection_is_gone(self) -> None:
        link, session = link_to(Transport())
        link.lost()
        link.pauseProducing()
        link.resumeProducing()
        assert session.calls == []


class Plain(Connection):
    """A TCP connection of Twisted's own, over one end of a pair of sockets."""

    connected = 1

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.waits = False
        reactor: Any = self
        super().__init__(sock, Protocol(), reactor)

    def addWriter(self, writer: Any) -> None:
        self.waits = True

    def removeWriter(self, writer: Any) -> None:
        self.waits = False

    def getPeer(self) -> None:
        pass

    getHost = getPeer


class TestWritingToTheSocket:
    @pytest.fixture
    def ends(self) -> Iterator[tuple[Plain, socket.socket]]:
        near, far = socket.socketpair()
        far.setblocking(False)
        with near, far:
            yield Plain(near), far

    def link(self, transport: Any, high_water: int = 1 << 20) -> TwistedLink:
        return TwistedLink(transport, SimpleNamespace(_session=Session()), high_water)

    def test_it_is_not_left_to_the_reactor(self, ends: tuple[Plain, socket.socket]) -> None:
        transport, far = ends
        self.link(transport).write([b"a", bytearray(b"b"), memoryview(b"c")])
        assert far.recv(10) == b"abc"
        assert not transport.waits

    def test_what_waits_already_goes_first(self, ends: tuple[Plain, socket.socket]) -> None:
        transport, far = ends
        transport.write(b"a")
        self.link(transport).write([b"b"])
        assert transport.waits
        transport.doWrite()
        assert far.recv(10) == b"ab"

    def test_what_the_socket_does_not_take_is_left_to_the_reactor(self, ends: tuple[Plain, socket.socket]) -> None:
        transport, far = ends
        link, sent, received = self.link(transport), b"", b""
        for number in range(10):
            data = bytes([number]) * 100_000
            link.write([data])
            sent += data
        assert transport.waits
        while len(received) < len(sent):
            received += far.recv(1 << 20)
            transport.doWrite()
        assert received == sent

    def test_much_is_written_as_ever(self, ends: tuple[Plain, socket.socket]) -> None:
        transport, _ = ends
        self.link(transport, 10).write([b"x" * 11])
        assert transport.waits

    @pytest.mark.parametrize("why", ["broken", "TLS", "gone"])
    def test_what_cannot_be_written_to(self, ends: tuple[Plain, socket.socket], why: str) -> None:
        transport, far = ends
        link = self.link(transport)
        if why == "broken":
            far.close()
        elif why == "TLS":
            transport.TLS = True
        else:
            transport.connected = 0
        # To Twisted's own way of writing, for which there is no session of TLS here.
        transport.write = [].append  # type: ignore[method-assign]
        link.write([b"x"])
        assert transport.write.__self__ == [b"x"]  # type: ignore[attr-defined]


class TestEnding:
    def test_half_closing(self) -> None:
        transport = HalfCloseable()
        link_to(transport)[0].finish()
        assert transport.calls == ["lose write"]

    def test_half_closing_what_is_full_waits(self) -> None:
        transport = HalfCloseable(room=50)
        link, _ = link_to(transport)
        link.write([b"x" * 101])
        link.finish()
        assert transport.calls == ["register"]
        link.resumeProducing()
        assert transport.calls == ["register", "unregister", "lose write"]

    def test_what_cannot_be_half_closed_or_aborted_is_closed(self) -> None:
        transport = Transport()
        link, _ = link_to(transport)
        link.finish()
        link.abort()
        link.close()
        assert transport.calls == ["lose"] * 3

    def test_tls_is_not_half_closed(self) -> None:
        transport = HalfCloseable()
        link, _ = link_to(transport)
        link.is_secure = True
        link.finish()
        assert transport.calls == ["lose"]

    def test_aborting(self) -> None:
        transport = HalfCloseable()
        link_to(transport)[0].abort()
        assert transport.calls == ["abort"]

    def test_reading(self) -> None:
        transport = Transport()
        link, _ = link_to(transport)
        link.pause_reading()
        link.resume_reading()
        assert transport.calls == ["pause", "resume"]

    def test_addresses(self) -> None:
        link, _ = link_to(Transport())
        assert (link.peer, link.own, link.is_secure) == ("tcp4:10.0.0.1:1", "tcp4:10.0.0.2:2", False)
