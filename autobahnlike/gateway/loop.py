"""The loop that drives a gateway, whichever it is: time, other threads, and coroutines that run beside others.

An ASGI application is not told what drives it. A coroutine of it finds out with :func:`running_loop`: a task of asyncio
has the loop of asyncio, everything else the reactor of Twisted. Neither library is loaded here: the one that drives us
is.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from autobahnlike.app.waiting import Latch, current_task

__all__ = ("Cancellable", "Loop", "TimedOut", "running_loop", "within")

_log = logging.getLogger("autobahnlike.gateway")

_T = TypeVar("_T")


class Cancellable(Protocol):
    """A timer, or a coroutine that runs."""

    def cancel(self) -> object:
        """Have it not happen, or not go on."""
        ...


class Loop(Protocol):
    """What a gateway needs of a loop. All methods but one are called on its thread."""

    def spawn(self, coroutine: Coroutine[Any, Any, None], /) -> Cancellable:
        """Run a coroutine beside the current one, if possible up to where it first has to wait.

        It runs in a context of its own, a copy of the current one. An exception that it raises is logged. The coroutine
        need not be held by the caller.
        """
        ...

    def call_later(self, seconds: float, function: Callable[[], object], /) -> Cancellable:
        """Have a function called."""
        ...

    def call_soon_threadsafe(self, function: Callable[[], object], /) -> object:
        """Have a function called on the thread of the loop; to be called on any thread.

        Raises:
            RuntimeError: the loop has ended.
        """
        ...

    def is_own_thread(self) -> bool:
        """Whether the caller is on the thread of the loop. May be called on any thread."""
        ...


def running_loop() -> Loop:
    """Return the loop that drives the coroutine which calls this.

    Raises:
        RuntimeError: neither a task of asyncio nor the reactor of Twisted does.
    """
    task = current_task()
    if task is not None:
        return _AsyncioLoop(sys.modules["asyncio"], task.get_loop())
    reactor = sys.modules.get("twisted.internet.reactor")
    if reactor is None:
        raise RuntimeError("the gateway is run neither by a task of asyncio nor by the reactor of Twisted")
    return _TwistedLoop(reactor, sys.modules["twisted.internet.defer"])


class _AsyncioLoop:
    """A loop of asyncio."""

    def __init__(self, asyncio: Any, loop: Any) -> None:
        self._asyncio = asyncio
        self._loop = loop
        self._thread = threading.get_ident()
        # asyncio itself does not hold its tasks.
        self._tasks: set[Any] = set()
        self.call_later = loop.call_later
        self.call_soon_threadsafe = loop.call_soon_threadsafe

    def spawn(self, coroutine: Coroutine[Any, Any, None], /) -> Cancellable:
        if sys.version_info >= (3, 12):
            task = self._asyncio.Task(coroutine, loop=self._loop, eager_start=True)
        else:
            task = self._loop.create_task(coroutine)
        if task.done():
            self._ended(task)
        else:
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        return task  # type: ignore[no-any-return]

    def _ended(self, task: Any) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a coroutine of the gateway failed", exc_info=task.exception())

    def is_own_thread(self) -> bool:
        return threading.get_ident() == self._thread


class _TwistedLoop:
    """The reactor of Twisted."""

    def __init__(self, reactor: Any, defer: Any) -> None:
        self._defer = defer
        self._thread = threading.get_ident()
        self.call_later = reactor.callLater
        self.call_soon_threadsafe = reactor.callFromThread

    def spawn(self, coroutine: Coroutine[Any, Any, None], /) -> Cancellable:
        deferred = self._defer.Deferred.fromCoroutine(coroutine)
        deferred.addErrback(self._failed)
        return deferred  # type: ignore[no-any-return]

    def _failed(self, failure: Any) -> None:
        if not failure.check(self._defer.CancelledError):
            _log.error("a coroutine of the gateway failed", exc_info=failure.value)

    def is_own_thread(self) -> bool:
        return threading.get_ident() == self._thread


class TimedOut(Exception):
    """Something took too long, and was given up."""


async def within(loop: Loop, seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine, for so long at most.

    Args:
        loop: what drives the caller.
        seconds: how long; 0 is for ever.
        work: what to run; it is cancelled when it takes longer, or when the caller is cancelled.

    Raises:
        TimedOut: it took longer.
        Exception: whatever it raises.
    """
    if not seconds:
        return await work
    latch = Latch()
    results: list[_T] = []
    errors: list[BaseException] = []

    async def run() -> None:
        try:
            results.append(await work)
        except GeneratorExit:
            raise
        except BaseException as error:
            errors.append(error)
        latch.open()

    running = loop.spawn(run())
    if not results and not errors:
        timers: list[Cancellable] = []

        def late() -> None:
            timers.clear()
            latch.open()

        timers.append(loop.call_later(seconds, late))
        try:
            await latch.wait()
        finally:
            is_late = not results and not errors
            for timer in timers:
                timer.cancel()
            if is_late:
                running.cancel()
        if is_late:
            raise TimedOut(f"took longer than {seconds:g} s")
    if errors:
        raise errors[0]
    return results[0]
