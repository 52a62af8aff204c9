"""Bringing all connections of a factory to an end (RFC 6455, section 7.4.1: 1001)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import txaio.aio
import txaio.tx

from autobahnlike.exception import InvalidArgument
from autobahnlike.websocket.connections import Connections
from autobahnlike.websocket.factory import WebSocketServerFactory

CLOSED, CONNECTING, CLOSING, OPEN, PROXY_CONNECTING = range(5)


class Timer:
    def __init__(self, loop: Loop, due: float, callback: Callable[[], object]) -> None:
        self.loop = loop
        self.due = due
        self.callback = callback

    def cancel(self) -> None:
        # As Twisted: what has been called, or cancelled, cannot be cancelled.
        assert self in self.loop.timers
        self.loop.timers.remove(self)


class Loop:
    """An event loop whose time passes when a test says so."""

    def __init__(self, txaio_api: Any) -> None:
        self.txaio = txaio_api
        self.time = 0.0
        self.timers: list[Timer] = []
        self.logged: list[BaseException] = []

    def now(self) -> float:
        return self.time

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(self, self.time + delay, callback)
        self.timers.append(timer)
        return timer

    def wait(self, result: object, done: Any, failed: Any) -> None:
        raise AssertionError("no hook is called")

    def log_failure(self, message: str, error: BaseException) -> None:
        self.logged.append(error)

    def advance(self, seconds: float) -> None:
        self.time += seconds
        for timer in [timer for timer in self.timers if timer.due <= self.time]:
            self.timers.remove(timer)
            timer.callback()


class Channel:
    """A connection that writes down what it is told. What ends at once, ends when it is told to."""

    def __init__(self, factory: Any, state: int = OPEN, *, ends_at_once: bool = False) -> None:
        self.state = state
        self.told: list[tuple[Any, ...]] = []
        self.factory = factory
        self.ends_at_once = ends_at_once
        factory._add(self)

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        self.told.append(("close", code, reason))
        self._end()

    def dropConnection(self, abort: bool = False) -> None:
        self.told.append(("drop", abort))
        self._end()

    def _end(self) -> None:
        if self.ends_at_once:
            self.factory._remove(self)


class Broken(Channel):
    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        raise OSError("an error of the application")


class Factory(WebSocketServerFactory):
    _event_loop: Any = None


@pytest.fixture(params=["twisted", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    if request.param == "twisted":
        yield Loop(txaio.tx.with_config())  # type: ignore[no-untyped-call]
    else:
        asyncio_loop = asyncio.new_event_loop()
        yield Loop(txaio.aio.with_config(loop=asyncio_loop))  # type: ignore[no-untyped-call]
        asyncio_loop.close()


@pytest.fixture
def factory(loop: Loop) -> Factory:
    factory = Factory()
    factory._event_loop = loop
    return factory


def is_done(loop: Loop, future: Any) -> bool:
    return bool(loop.txaio.is_called(future))


class TestShutdown:
    def test_without_connections_it_is_done_at_once(self, loop: Loop, factory: Factory) -> None:
        assert factory._stopping is False
        assert is_done(loop, factory.shutdown())
        assert factory._stopping is True
        assert loop.timers == []

    def test_open_connections_are_closed_with_1001(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory), Channel(factory, CLOSING)]
        done = factory.shutdown()
        assert [channel.told for channel in channels] == [[("close", 1001, None)]] * 2
        factory._remove(channels[0])
        assert not is_done(loop, done)
        factory._remove(channels[1])
        assert is_done(loop, done)
        assert loop.timers == []

    def test_code_and_reason_may_be_given(self, factory: Factory) -> None:
        channel = Channel(factory)
        factory.shutdown(code=1012, reason="back soon")
        assert channel.told == [("close", 1012, "back soon")]

    @pytest.mark.parametrize("state", [CONNECTING, PROXY_CONNECTING])
    def test_connections_in_the_opening_handshake_are_dropped(self, factory: Factory, state: int) -> None:
        channel = Channel(factory, state)
        factory.shutdown()
        assert channel.told == [("drop", True)]

    def test_connections_that_end_at_once(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory, ends_at_once=True) for _ in range(3)]
        assert is_done(loop, factory.shutdown())
        assert [len(channel.told) for channel in channels] == [1, 1, 1]
        assert loop.timers == []

    def test_what_is_left_after_the_time_is_dropped(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory), Channel(factory)]
        done = factory.shutdown(3)
        factory._remove(channels[0])
        loop.advance(2.9)
        assert len(channels[1].told) == 1
        loop.advance(0.1)
        assert channels[0].told == [("close", 1001, None)]
        assert channels[1].told == [("close", 1001, None), ("drop", True)]
        assert not is_done(loop, done)
        factory._remove(channels[1])
        assert is_done(loop, done)
        assert loop.timers == []

    def test_what_ends_when_it_is_dropped(self, loop: Loop, factory: Factory) -> None:
        channel = Channel(factory)
        done = factory.shutdown(3)
        channel.ends_at_once = True
        loop.advance(3)
        assert is_done(loop, done)
        assert loop.timers == []

    def test_what_never_says_that_it_is_gone_is_not_waited_for(self, loop: Loop, factory: Factory) -> None:
        channel = Channel(factory)
        done = factory.shutdown(3)
        loop.advance(3)
        loop.advance(1)
        assert is_done(loop, done)
        assert loop.timers == []
        factory._remove(channel)

    @pytest.mark.parametrize(("option", "seconds"), [(2, 2), (0, 5)])
    def test_the_time_is_that_of_the_closing_handshake(
        self, loop: Loop, factory: Factory, option: float, seconds: float
    ) -> None:
        factory.setProtocolOptions(closeHandshakeTimeout=option)
        channel = Channel(factory)
        factory.shutdown()
        loop.advance(seconds - 0.01)
        assert len(channel.told) == 1
        loop.advance(0.01)
        assert len(channel.told) == 2

    def test_the_time_may_be_nothing(self, loop: Loop, factory: Factory) -> None:
        channel = Channel(factory)
        factory.shutdown(0)
        loop.advance(0)
        assert channel.told == [("close", 1001, None), ("drop", True)]

    def test_an_error_of_one_connection_is_logged_and_the_others_are_told(self, loop: Loop, factory: Factory) -> None:
        broken, channel = Broken(factory), Channel(factory)
        factory.shutdown(3)
        assert [str(error) for error in loop.logged] == ["an error of the application"]
        assert channel.told == [("close", 1001, None)]
        loop.advance(3)
        assert broken.told == [("drop", True)]

    @pytest.mark.parametrize("wrong", [{"code": 1005}, {"code": None, "reason": "x"}, {"timeout": -1}])
    def test_what_is_wrong_changes_nothing(self, loop: Loop, factory: Factory, wrong: dict[str, Any]) -> None:
        channel = Channel(factory)
        with pytest.raises(InvalidArgument):
            factory.shutdown(**wrong)
        assert (channel.told, factory._stopping, loop.timers) == ([], False, [])


class TestShutdownAgain:
    def test_it_waits_for_the_same_end(self, loop: Loop, factory: Factory) -> None:
        channel = Channel(factory)
        first, second = factory.shutdown(), factory.shutdown(99)
        assert len(channel.told) == 1
        assert len(loop.timers) == 1
        factory._remove(channel)
        assert is_done(loop, first)
        assert is_done(loop, second)

    def test_who_gives_up_waiting_stops_nobody_else(self, loop: Loop, factory: Factory) -> None:
        channel = Channel(factory)
        first, second = factory.shutdown(), factory.shutdown()
        loop.txaio.add_callbacks(first, None, lambda _: None)
        first.cancel()
        assert not is_done(loop, second)
        factory._remove(channel)
        assert is_done(loop, second)

    def test_when_it_is_over_it_is_done_at_once(self, loop: Loop, factory: Factory) -> None:
        factory.shutdown()
        assert is_done(loop, factory.shutdown())

    def test_connections_that_came_since_are_ended_too(self, loop: Loop, factory: Factory) -> None:
        factory.shutdown()
        late = Channel(factory, CONNECTING, ends_at_once=True)
        assert is_done(loop, factory.shutdown())
        assert late.told == [("drop", True)]


class TestDrain:
    def test_one_after_another_the_oldest_first_evenly_over_the_time(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory, ends_at_once=True) for _ in range(5)]
        done = factory.drain(10, reason="back soon")
        assert factory._stopping is True
        closed = []
        for _ in range(10):
            closed.append([channel.told for channel in channels].count([("close", 1012, "back soon")]))
            assert all(channel.told for channel in channels[: closed[-1]])
            assert is_done(loop, done) is (closed[-1] == 5)
            loop.advance(1)
        assert closed == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        assert (loop.timers, len(factory._connections)) == ([], 0)

    def test_so_many_that_several_are_closed_at_once_take_no_longer(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory) for _ in range(1000)]
        done = factory.drain(1)
        times = 0
        while not is_done(loop, done):
            told = sum(bool(channel.told) for channel in channels)
            assert abs(told - 1000 * loop.time) <= 25
            loop.advance(0.02)
            times += 1
        assert 45 <= times <= 50
        assert all(channel.told == [("close", 1012, None)] for channel in channels)

    def test_a_loop_that_is_late_makes_up_for_it(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory) for _ in range(10)]
        done = factory.drain(10)
        loop.advance(8.5)
        assert [bool(channel.told) for channel in channels] == [True] * 9 + [False]
        loop.advance(0.5)
        assert is_done(loop, done)

    @pytest.mark.parametrize("count", [0, 1])
    def test_what_is_told_at_once_is_not_waited_for(self, loop: Loop, factory: Factory, count: int) -> None:
        channels = [Channel(factory) for _ in range(count)]
        assert is_done(loop, factory.drain(60))
        assert [channel.told for channel in channels] == [[("close", 1012, None)]] * count
        assert loop.timers == []

    def test_it_is_over_when_all_have_gone_by_themselves(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory) for _ in range(3)]
        done = factory.drain(60)
        for channel in channels:
            assert not is_done(loop, done)
            factory._remove(channel)
        assert is_done(loop, done)
        assert loop.timers == []

    def test_those_in_the_opening_handshake_are_left_to_the_shutdown(self, loop: Loop, factory: Factory) -> None:
        opening, channel = Channel(factory, CONNECTING), Channel(factory)
        done = factory.drain(2)
        loop.advance(1)
        assert is_done(loop, done)
        assert (opening.told, channel.told) == ([], [("close", 1012, None)])
        opening.state = OPEN
        factory.shutdown(3, 1012)
        assert opening.told == [("close", 1012, None)]

    def test_those_that_nobody_holds_any_more_are_no_trouble(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory) for _ in range(3)]
        factory.drain(3)
        del channels[1]
        gc.collect()
        loop.advance(2)
        assert [channel.told for channel in channels] == [[("close", 1012, None)]] * 2

    def test_an_error_of_one_connection_is_logged_and_the_others_are_told(self, loop: Loop, factory: Factory) -> None:
        broken, channel = Broken(factory), Channel(factory)
        factory.drain(3)
        loop.advance(2)
        assert [str(error) for error in loop.logged] == ["an error of the application"]
        assert (broken.told, channel.told) == ([], [("close", 1012, None)])

    def test_again_it_waits_for_the_same_end(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory) for _ in range(2)]
        first = factory.drain(10)
        second = factory.drain(99)
        assert [len(channel.told) for channel in channels] == [1, 0]
        loop.advance(5)
        assert is_done(loop, first)
        assert is_done(loop, second)

    def test_a_shutdown_ends_it(self, loop: Loop, factory: Factory) -> None:
        channels = [Channel(factory) for _ in range(3)]
        drained = factory.drain(60)
        ended = factory.shutdown(5, 1012)
        assert [channel.told for channel in channels] == [
            [("close", 1012, None)] * 2,
            [("close", 1012, None)],
            [("close", 1012, None)],
        ]
        assert is_done(loop, drained)
        for channel in channels:
            factory._remove(channel)
        assert is_done(loop, ended)
        assert loop.timers == []

    @pytest.mark.parametrize("wrong", [{"code": 1005}, {"code": None, "reason": "x"}, {"seconds": -1}])
    def test_what_is_wrong_changes_nothing(self, loop: Loop, factory: Factory, wrong: dict[str, Any]) -> None:
        channel = Channel(factory)
        with pytest.raises(InvalidArgument):
            factory.drain(**{"seconds": 1, **wrong})
        assert (channel.told, factory._stopping, loop.timers) == ([], False, [])


class TestConnections:
    def test_a_connection_that_is_never_taken_out_is_forgotten_when_nothing_else_holds_it(
        self, factory: Factory
    ) -> None:
        kept = Channel(factory)
        Channel(factory)
        gc.collect()
        assert len(factory._connections) == 1
        factory._remove(kept)
        assert len(factory._connections) == 0

    def test_one_that_is_not_known_is_ignored(self) -> None:
        connections, channel = Connections(), Channel(Factory())
        connections.remove(channel)
        assert len(connections) == 0
