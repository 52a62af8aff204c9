"""Deferreds in a task of asyncio: what an application awaits where Twisted runs on a loop of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

from twisted.internet.defer import Deferred

__all__ = ("bridge",)


async def bridge(awaitable: Awaitable[Any]) -> Any:
    """Await something that awaits futures of asyncio and Deferreds, in a task of asyncio.

    Whoever cancels the task cancels the Deferred that it waits for.
    """
    return await _Bridge(awaitable)


class _Bridge:
    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._awaitable.__await__()
        send: Any = getattr(inner, "send", None)
        argument: Any = None
        # What asyncio has for futures in C is an iterator without send and throw, and awaits no Deferred.
        if send is None:
            return (yield from inner)
        while True:
            try:
                yielded = send(argument)
            except StopIteration as stop:
                return stop.value
            try:
                if isinstance(yielded, Deferred):
                    yield from _result_of(yielded)
                    argument = None
                else:
                    argument = yield yielded
                send = inner.send
            except BaseException as error:
                # A generator that is closed gets GeneratorExit, a task that is cancelled CancelledError: the
                # application's, all of them.
                argument, send = error, inner.throw


def _result_of(deferred: Deferred[Any]) -> Generator[Any, Any, None]:
    """Wait until a Deferred has its result, and leave it there: whoever awaits it asks again."""
    future = asyncio.get_running_loop().create_future()

    def done(result: Any) -> Any:
        if not future.done():
            future.set_result(None)
        return result

    deferred.addBoth(done)
    try:
        yield from future
    except asyncio.CancelledError:
        # The application is told by the exception of the task, and nobody looks at the Deferred any more.
        deferred.addErrback(lambda failure: None)
        deferred.cancel()
        raise
