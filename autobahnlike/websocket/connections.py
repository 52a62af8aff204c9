"""The connections that a factory has made, and how they are all brought to an end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol
from weakref import ReferenceType

from autobahnlike.exception import InvalidArgument
from autobahnlike.websocket.link import EventLoop, Timer
from autobahnlike.wire.frames import close_payload

__all__ = ("Channel", "Connections")

# What connections that were dropped are given to tell the application so.
_PARTING_TIME = 1.0

# How often, in seconds, some are closed of many that are closed one after another.
_TICK = 0.02

# STATE_CONNECTING and STATE_PROXY_CONNECTING: there is no WebSocket that could be closed.
_OPENING = (1, 4)


class Channel(Protocol):
    """What is needed of a connection's protocol."""

    @property
    def state(self) -> int:
        """One of Autobahn's ``STATE_`` constants."""

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        """Start the closing handshake."""

    def dropConnection(self, abort: bool = False) -> None:
        """End the TCP connection."""


class _Reference(ReferenceType[Channel]):
    """A weak reference to a channel, with the key under which it is kept."""

    __slots__ = ("key",)

    key: int


class Connections:
    """The connections of one factory."""

    def __init__(self) -> None:
        # By identity, because applications give their protocols an __eq__, or make them dataclasses, which cannot be
        # hashed. Weak, because one whose connectionLost does not call ours is never taken out; the transport holds
        # those that are open. WeakValueDictionary does the same in four times the time.
        self._channels: dict[int, _Reference] = {}
        self._forget = partial(_forget, self._channels)
        self._waiters: list[Any] = []
        self._loop: EventLoop | None = None
        self._timer: Timer | None = None
        self._drain: _Drain | None = None

    def __len__(self) -> int:
        return len(self._channels)

    def references(self) -> list[Callable[[], Channel | None]]:
        """Return weak references to all of them. What may be done to one of them, may be done while going through."""
        return list(self._channels.values())

    def add(self, channel: Channel) -> None:
        """Take in a connection that was made."""
        reference = _Reference(channel, self._forget)
        reference.key = id(channel)
        self._channels[reference.key] = reference

    def remove(self, channel: Channel) -> None:
        """Forget a connection that is gone; does nothing if it is not known."""
        self._channels.pop(id(channel), None)
        if not self._channels:
            if self._drain is not None:
                self._drain.end()
            if self._timer is not None:
                self._end()

    def drain(self, loop: EventLoop, seconds: float, code: int | None, reason: str | None) -> Any:
        """Close one after another, the oldest first, evenly over a time. Those in the opening handshake are left alone.

        If that is going on already, it only waits for the end of it.

        Args:
            loop: the event loop of the connections.
            seconds: how long it is to take.
            code: the close code, or None to send none.
            reason: text to go with the code.

        Returns:
            A future of the loop, done with None when all have been told, or are gone.

        Raises:
            InvalidArgument: the code may not be sent, there is a reason without a code, or the time is negative.
        """
        close_payload(code, reason)
        if not seconds >= 0:
            raise InvalidArgument(f"the time to drain must be a number of at least 0 (seconds), not {seconds!r}")
        self._loop = loop
        done = loop.txaio.create_future()
        drain = self._drain
        if drain is None:
            drain = self._drain = _Drain(self, loop, seconds, lambda channel: _close(channel, code, reason))
            drain.waiters.append(done)
            drain.go_on()
        else:
            drain.waiters.append(done)
        return done

    def drained(self) -> None:
        """All that were to be closed one after another have been told."""
        self._drain = None

    def shut_down(self, loop: EventLoop, timeout: float, code: int | None, reason: str | None) -> Any:
        """Close what is open, drop what is still in the opening handshake, and after a time whatever is left.

        If that is going on already, it only waits for the end of it.

        Args:
            loop: the event loop of the connections.
            timeout: seconds until what is left is dropped.
            code: the close code, or None to send none.
            reason: text to go with the code.

        Returns:
            A future of the loop, done with None when all are gone, at the latest one second after they were dropped.

        Raises:
            InvalidArgument: the code may not be sent, there is a reason without a code, or the time-out is negative.
        """
        close_payload(code, reason)
        if not timeout >= 0:
            raise InvalidArgument(f"timeout must be a number of at least 0 (seconds), not {timeout!r}")
        if self._drain is not None:
            # The others are not waited for any more.
            self._drain.end()
        done = loop.txaio.create_future()
        self._waiters.append(done)
        if self._timer is None:
            self._loop = loop
            self._timer = loop.call_later(timeout, self._drop_all)
            self._for_all(lambda channel: _say_goodbye(channel, code, reason))
        return done

    def _drop_all(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.call_later(_PARTING_TIME, self._settle)
        self._for_all(lambda channel: channel.dropConnection(True))

    def _for_all(self, action: Callable[[Channel], object]) -> None:
        assert self._loop is not None
        for reference in self.references():
            self.tell(reference, action)
        if self._timer is not None and not self._channels:
            self._end()

    def tell(self, reference: Callable[[], Channel | None], action: Callable[[Channel], object]) -> None:
        """Do something to a connection, if it is still there."""
        channel = reference()
        if channel is None:
            return
        try:
            action(channel)
        except Exception as error:
            assert self._loop is not None
            # The method is the application's; the others have to be told nevertheless.
            self._loop.log_failure("a connection could not be closed when its factory was shut down", error)

    def _end(self) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self._settle()

    def _settle(self) -> None:
        assert self._loop is not None
        self._timer = None
        waiters, self._waiters = self._waiters, []
        _resolve(self._loop, waiters)


class _Drain:
    """Closes the connections that there are one after another.

    Args:
        connections: whose.
        loop: the event loop of the connections.
        seconds: how long it is to take.
        close: closes one of them.

    Attributes:
        waiters: futures, done when all have been told.
    """

    def __init__(
        self, connections: Connections, loop: EventLoop, seconds: float, close: Callable[[Channel], object]
    ) -> None:
        self.waiters: list[Any] = []
        self._connections = connections
        self._loop = loop
        self._close = close
        self._left = deque(connections.references())
        self._interval = seconds / max(1, len(self._left))
        self._told = 0
        self._begun = loop.now()
        self._timer: Timer | None = None

    def go_on(self) -> None:
        """Close those whose turn has come. By the clock: a loop that is late does not make the whole take longer."""
        self._timer = None
        # Rounding is not to cost a tick.
        elapsed = self._loop.now() - self._begun + 1e-6
        while self._left and self._told * self._interval <= elapsed:
            self._told += 1
            self._connections.tell(self._left.popleft(), self._close)
        if not self._left:
            self.end()
        elif self._timer is None:
            delay = max(_TICK, self._told * self._interval - elapsed)
            self._timer = self._loop.call_later(delay, self.go_on)

    def end(self) -> None:
        """Close no more of them."""
        self._left.clear()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._connections.drained()
        waiters, self.waiters = self.waiters, []
        _resolve(self._loop, waiters)


def _resolve(loop: EventLoop, waiters: list[Any]) -> None:
    for done in waiters:
        # It is called already if whoever waited has cancelled it.
        if not loop.txaio.is_called(done):
            loop.txaio.resolve(done, None)


def _forget(channels: dict[int, _Reference], reference: _Reference) -> None:
    """A channel is gone that was never removed."""
    if channels.get(reference.key) is reference:
        del channels[reference.key]


def _close(channel: Channel, code: int | None, reason: str | None) -> None:
    if channel.state not in _OPENING:
        channel.sendClose(code, reason)


def _say_goodbye(channel: Channel, code: int | None, reason: str | None) -> None:
    if channel.state in _OPENING:
        channel.dropConnection(True)
    else:
        channel.sendClose(code, reason)
