"""Waiting for something inside the application, on whichever loop drives the waiting coroutine.

An ASGI application mostly waits for ``receive`` and ``send``, which the server gave it. Sometimes one of its coroutines
has to wait for another, and then something must be awaited that the driver of the waiting one understands: a future of
asyncio in a task of asyncio, a Deferred elsewhere. Neither library is loaded here: the one that drives us is.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

__all__ = ("Latch", "current_task", "pause")


async def pause() -> None:
    """Let the loop of asyncio, if that is what drives us, see to everything else once.

    For loops that may never have to wait: until they do, the loop does not even notice that a client has gone. Other
    servers than asyncio's have to see to that in ``send``.
    """
    if current_task() is not None:
        await _Turn()


class _Turn:
    """What a task of asyncio waits for one turn of its loop by."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Latch:
    """Opens once and lets all pass that wait for it; who comes later does not wait.

    It may only be waited for, and opened, on the thread of the loop.
    """

    def __init__(self) -> None:
        self._open = False
        self._waiters: list[Any] = []

    async def wait(self) -> None:
        """Return when the latch is open.

        Raises:
            RuntimeError: neither a task of asyncio nor Twisted drives the coroutine that waits.
        """
        if self._open:
            return
        waiter = _new_waiter()
        self._waiters.append(waiter)
        await waiter

    def open(self) -> None:
        """Let them pass."""
        self._open = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _wake(waiter)


def _new_waiter() -> Any:
    task = current_task()
    if task is not None:
        return task.get_loop().create_future()
    twisted = sys.modules.get("twisted.internet.defer")
    if twisted is None:
        raise RuntimeError("cannot wait here: the server drives the application neither with asyncio nor with Twisted")
    return twisted.Deferred()


def current_task() -> Any:
    """Return the task of asyncio that runs now, or None.

    That there is a loop proves nothing: on Twisted's asyncio reactor there is always one, and a coroutine that a
    Deferred drives cannot await a future.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop of asyncio is running in this thread
        return None


def _wake(waiter: Any) -> None:
    if hasattr(waiter, "set_result"):
        if not waiter.done():  # whoever waited may have been cancelled
            waiter.set_result(None)
    elif not waiter.called:
        waiter.callback(None)
