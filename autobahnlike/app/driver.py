"""Runs a coroutine beside the one that is running, by whatever runs that one.

An ASGI application has no loop of its own. A coroutine of it is run as a task of asyncio, or by a Deferred of Twisted;
what it waits for is of the same kind. So a second coroutine has to be run in the same way as the first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from autobahnlike.app.waiting import current_task

__all__ = ("Driver", "start")

_NOBODY = "the application is run neither by a task of asyncio nor by a Deferred of Twisted"


def start(coroutine: Coroutine[Any, Any, None], *, in_any_task: bool = False) -> Any:
    """Run a coroutine beside the current one, if possible up to where it first has to wait.

    Args:
        coroutine: what to run; should not raise, since nobody is told.
        in_any_task: whether it does not matter to the coroutine in which task of asyncio it runs, as it does to
            ``asyncio.timeout`` or the scopes of anyio. Then it gets one of its own only if it has to wait.

    Returns:
        An object that must be held until the coroutine has ended, as asyncio itself does not hold its tasks; None if it
        has ended.

    Raises:
        RuntimeError: neither a task of asyncio nor Twisted runs the current coroutine.
    """
    task = current_task()
    if task is not None:
        loop = task.get_loop()
        if in_any_task:
            try:
                waited_for = coroutine.send(None)
            except StopIteration:
                return None
            return loop.create_task(_go_on(coroutine, waited_for))
        return _start_task(loop, coroutine)
    defer = sys.modules.get("twisted.internet.defer")
    if defer is None:
        coroutine.close()
        raise RuntimeError(_NOBODY)
    return defer.Deferred.fromCoroutine(coroutine)


def _start_task(loop: Any, coroutine: Coroutine[Any, Any, None]) -> Any:
    if sys.version_info >= (3, 12):
        return sys.modules["asyncio"].Task(coroutine, loop=loop, eager_start=True)
    return loop.create_task(coroutine)


class Driver:
    """What runs the coroutine that makes this, for later: when a callback of the loop runs, and no coroutine does.

    Raises:
        RuntimeError: neither a task of asyncio nor Twisted runs the current coroutine.
    """

    def __init__(self) -> None:
        self._loop: Any = None
        self._defer: Any = None
        # asyncio itself does not hold its tasks.
        self._tasks: set[Any] = set()
        task = current_task()
        if task is not None:
            self._loop = task.get_loop()
            return
        self._defer = sys.modules.get("twisted.internet.defer")
        if self._defer is None:
            raise RuntimeError(_NOBODY)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine, which should not raise, if possible up to where it first has to wait; and hold it."""
        if self._loop is None:
            self._defer.Deferred.fromCoroutine(coroutine)
            return
        task = _start_task(self._loop, coroutine)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def call_later(self, seconds: float, function: Callable[[], object]) -> Any:
        """Have a function called.

        Returns:
            A timer with a method ``cancel``, to be called only as long as the function was not; None where there is no
            time: by Deferreds without a reactor, in tests.
        """
        if self._loop is not None:
            return self._loop.call_later(seconds, function)
        reactor = sys.modules.get("twisted.internet.reactor")
        return None if reactor is None else reactor.callLater(seconds, function)


async def _go_on(coroutine: Coroutine[Any, Any, None], waited_for: Any) -> None:
    await _Begun(coroutine, waited_for)


class _Begun:
    """A coroutine that waits for something already; awaiting this is awaiting the rest of it."""

    __slots__ = ("_coroutine", "_waited_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waited_for: Any) -> None:
        self._coroutine = coroutine
        self._waited_for = waited_for

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine, waited_for = self._coroutine, self._waited_for
        while True:
            step: Callable[[], Any]
            try:
                given = yield waited_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as exc:
                step = partial(coroutine.throw, exc)
            else:
                step = partial(coroutine.send, given)
            try:
                waited_for = step()
            except StopIteration:
                return
