"""Runs a coroutine beside the one that is running, by whatever runs that one.

An ASGI application has no loop of its own. A coroutine of it is run as a task of asyncio, or by a Deferred of Twisted;
what it waits for is of the same kind. So a second coroutine has to be run in the same way as the first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

__all__ = ("start",)


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
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and _current_task(asyncio) is not None:
        loop = asyncio.get_running_loop()
        if in_any_task:
            try:
                waited_for = coroutine.send(None)
            except StopIteration:
                return None
            return loop.create_task(_go_on(coroutine, waited_for))
        if sys.version_info >= (3, 12):
            return asyncio.Task(coroutine, loop=loop, eager_start=True)
        return loop.create_task(coroutine)
    defer = sys.modules.get("twisted.internet.defer")
    if defer is None:
        coroutine.close()
        raise RuntimeError("the application is run neither by a task of asyncio nor by a Deferred of Twisted")
    return defer.Deferred.fromCoroutine(coroutine)


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


def _current_task(asyncio: Any) -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:
        # No loop of asyncio is running in this thread.
        return None
