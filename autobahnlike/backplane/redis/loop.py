"""What the connections to Redis need of an event loop, of which there is one kind for asyncio and one for Twisted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from autobahnlike.backplane.redis.url import Place

__all__ = ("Loop", "Promise", "Receiver", "Timer", "Wire", "current_loop")

T = TypeVar("T")


class Timer(Protocol):
    """A call that is scheduled."""

    def cancel(self) -> object:
        """Do not call; it has not happened yet."""


class Receiver(Protocol):
    """Who is told what comes in. Its methods do not raise."""

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""

    def connection_lost(self, why: BaseException | None) -> None:
        """The connection has ended; None if the other end has closed it in order."""


class Wire(Protocol):
    """A connection for bytes."""

    def write(self, data: bytes) -> None:
        """Write, now or later. Nothing happens if the connection has ended."""

    def abort(self) -> None:
        """Drop the connection; the receiver is told that it is lost."""


class Loop(Protocol):
    """An event loop."""

    def now(self) -> float:
        """Return the time in seconds, of a clock that does not go back."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call something after ``delay`` seconds."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the others; an exception is logged."""

    def waiter(self) -> Any:
        """Return something that a coroutine can await until it is woken."""

    def wake(self, waiter: Any) -> None:
        """Let go on what awaits a waiter; nothing happens if it was woken or cancelled before."""

    async def connect(self, place: Place, receiver: Receiver, patience: float) -> Wire:
        """Connect to somewhere.

        Raises:
            RedisUnavailable: it failed, or took longer than ``patience`` seconds.
            RedisMisconfigured: the files for TLS are not usable.
        """


def current_loop(reactor: Any = None) -> Loop:
    """Return the loop that drives the coroutine which asks.

    Args:
        reactor: the reactor to use on Twisted; that of the process if None.

    Raises:
        RuntimeError: nothing drives it that is known here.
    """
    if reactor is None and _is_in_task():
        from autobahnlike.backplane.redis.asyncio import AsyncioLoop

        return AsyncioLoop()
    if reactor is None and "twisted.internet.reactor" not in sys.modules:
        raise RuntimeError("a backplane is started by a task of asyncio, or by a Deferred while Twisted's reactor runs")
    from autobahnlike.backplane.redis.twisted import TwistedLoop

    return TwistedLoop(reactor)


def _is_in_task() -> bool:
    """Whether it is asyncio that drives us. That there is a loop proves nothing: Twisted may run on it."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio is not None and asyncio.current_task() is not None
    except RuntimeError:
        return False


class Promise(Generic[T]):
    """A value that will be there, or an exception, for those that wait for it.

    Unlike with a Future or a Deferred, it is nobody's business if nobody waits for an exception.
    """

    __slots__ = ("_error", "_is_done", "_loop", "_value", "_waiters")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._is_done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._waiters: list[Any] = []

    @property
    def is_done(self) -> bool:
        """Whether it is there."""
        return self._is_done

    def resolve(self, value: T) -> None:
        """Here it is. Nothing happens if something was there already."""
        self._settle(value, None)

    def fail(self, error: BaseException) -> None:
        """Here is an exception instead. Nothing happens if something was there already."""
        self._settle(None, error)

    def _settle(self, value: T | None, error: BaseException | None) -> None:
        if self._is_done:
            return
        self._is_done = True
        self._value = value
        self._error = error
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self._loop.wake(waiter)

    async def wait(self, patience: float | None = None) -> T:
        """Return the value.

        Raises:
            TimeoutError: it was not there after ``patience`` seconds.
            BaseException: with which :meth:`fail` was called.
        """
        if not self._is_done:
            await self._until_woken(patience)
        if not self._is_done:
            raise TimeoutError
        if self._error is not None:
            # Several may wait, and the traceback of one is not that of the other.
            raise self._error.with_traceback(None)
        return self._value  # type: ignore[return-value]

    async def _until_woken(self, patience: float | None) -> None:
        waiter = self._loop.waiter()
        self._waiters.append(waiter)
        timer: Timer | None = None
        has_fired = False

        def fire() -> None:
            nonlocal has_fired
            has_fired = True
            self._loop.wake(waiter)

        if patience is not None:
            timer = self._loop.call_later(max(patience, 0), fire)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            # A timer of Twisted that has fired must not be cancelled.
            if timer is not None and not has_fired:
                timer.cancel()
