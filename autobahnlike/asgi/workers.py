"""Several processes that serve the same application on the same sockets: ``--workers``."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from autobahnlike.asgi.children import Child, Children, describe
from autobahnlike.asgi.failure import explain

__all__ = ("Workers",)

_log = logging.getLogger("autobahnlike.asgi")

# One that runs for this long, in seconds, has not died because of how it was started.
_SETTLED = 10.0

# After how many seconds one that died is replaced: at first, and at most.
_FIRST_DELAY = 0.5
_LAST_DELAY = 30.0


class Workers:
    """Keeps a number of processes running.

    The first is started alone: if it does not get ready, neither would the others, and that is told once. One that dies
    later is replaced, after a time that doubles as long as they die soon. SIGHUP replaces them one after another, each
    when its successor is ready, so that somebody listens all the time.

    Args:
        children: starts them.
        count: how many.
        sleep: waits for a number of seconds.
        clock: gives the time, in seconds.
    """

    def __init__(
        self,
        children: Children,
        count: int,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = children
        self._places = [_Place(number) for number in range(count)]
        self._sleep = sleep
        self._clock = clock
        self._replacing: asyncio.Task[None] | None = None

    async def run(self, on_ready: Callable[[], object]) -> int:
        """Start them, and keep them running until cancelled.

        Args:
            on_ready: called when all of them are ready.

        Returns:
            The exit status of the first that ended before it was ready, when they were started.
        """
        first, *others = self._places
        for group in ([first], others):
            statuses = await asyncio.gather(*map(self._fill, group))
            for status in statuses:
                if status is not None:
                    return status
        on_ready()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.replace_all)
        keeping = [asyncio.ensure_future(self._keep(place)) for place in self._places]
        try:
            # None of them ends.
            return (await asyncio.gather(*keeping))[0]
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            for task in (*keeping, self._replacing):
                if task is not None:
                    task.cancel()

    def replace_all(self) -> None:
        """Replace them one after another. Nothing happens if that is going on already."""
        if self._replacing is None or self._replacing.done():
            self._replacing = asyncio.ensure_future(self._replace_all())

    async def _fill(self, place: _Place, *, is_successor: bool = False) -> int | None:
        """Start a process; return its status if it ended before it was ready."""
        child = place.child = await self._children.start(place.number, is_successor=is_successor)
        if not await child.is_ready():
            return await child.wait()
        place.ready_at = self._clock()
        _log.info("worker %d is ready", child.pid)
        return None

    async def _keep(self, place: _Place) -> NoReturn:
        """Replace the process of a place whenever it dies."""
        delay = _FIRST_DELAY
        while True:
            child = place.child
            status: int | None = await child.wait()
            async with place.lock:
                # Otherwise its successor was ready before it was stopped.
                if place.child is child:
                    if self._clock() - place.ready_at >= _SETTLED:
                        delay = _FIRST_DELAY
                    while status is not None:
                        _log.error(
                            "worker %d ended with %s; another one is started in %g seconds",
                            place.child.pid,
                            describe(status),
                            delay,
                        )
                        await self._sleep(delay)
                        delay = min(2 * delay, _LAST_DELAY)
                        status = await self._try_to_fill(place, status)

    async def _try_to_fill(self, place: _Place, status: int) -> int | None:
        try:
            return await self._fill(place)
        except OSError as error:
            _log.error("a worker cannot be started: %s", explain(error))
            return status

    async def _replace_all(self) -> None:
        _log.info("replacing all workers")
        for place in self._places:
            async with place.lock:
                old = place.child
                try:
                    status = await self._fill(place, is_successor=True)
                except OSError as error:
                    _log.error("a worker cannot be started: %s; the others stay", explain(error))
                    return
                if status is not None:
                    _log.error(
                        "worker %d ended with %s before it was ready; the others stay",
                        place.child.pid,
                        describe(status),
                    )
                    place.child = old
                    return
            old.succeeded()
            await old.stop(self._children.stop_timeout)


class _Place:
    """Where there is to be a process.

    Args:
        number: which one.

    Attributes:
        number: the same.
        child: the one that was started last.
        ready_at: when the last one that got ready did.
        lock: held by whoever exchanges it.
    """

    child: Child
    ready_at = 0.0

    def __init__(self, number: int) -> None:
        self.number = number
        self.lock = asyncio.Lock()
