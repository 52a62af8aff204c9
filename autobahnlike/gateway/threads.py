"""The threads in which handlers run that block: plain functions.

They are daemons, which is what the pool of the standard library cannot do: a handler that never returns must not keep
the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Protocol, TypeVar

from autobahnlike.app.waiting import Latch
from autobahnlike.gateway.loop import Loop

__all__ = ("Threads", "Workers", "run_blocking")

_T = TypeVar("_T")


class Threads(Protocol):
    """What runs functions elsewhere."""

    def submit(self, job: Callable[[], None], done: Callable[[], None], /) -> None:
        """Have two functions called one after the other, which raise nothing.

        Args:
            job: what is to be done.
            done: says that it is. By then the thread may be given the next job.
        """
        ...


class Workers:
    """Threads that are made when they are needed, and then kept.

    Args:
        limit: how many, at most. What is submitted beyond that waits.
    """

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[tuple[Callable[[], None], Callable[[], None]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._idle = 0
        self._is_stopped = False

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread."""
        return self._jobs.qsize()

    def submit(self, job: Callable[[], None], done: Callable[[], None] = lambda: None, /) -> None:
        """Have two functions called in one of the threads; see :class:`Threads`."""
        with self._lock:
            if self._is_stopped:
                threading.Thread(target=_call, args=(job, done), name="gateway-late", daemon=True).start()
                return
            if self._idle:
                self._idle -= 1
            elif self._count < self._limit:
                self._count += 1
                threading.Thread(target=self._work, name=f"gateway-{self._count}", daemon=True).start()
            self._jobs.put((job, done))

    def stop(self) -> None:
        """Let the threads end when they have done what was submitted. What is submitted later gets one of its own."""
        with self._lock:
            self._is_stopped = True
            for _ in range(self._count):
                self._jobs.put(None)

    def _work(self) -> None:
        while (submitted := self._jobs.get()) is not None:
            job, done = submitted
            job()
            # Before anybody knows: who then submits the next job finds this thread idle, however late it gets on.
            with self._lock:
                if self._jobs.empty():
                    self._idle += 1
            done()
            del submitted, job, done


def _call(*functions: Callable[[], None]) -> None:
    for function in functions:
        function()


async def run_blocking(loop: Loop, threads: Threads, function: Callable[[], _T]) -> _T:
    """Call a function in a thread, and wait for what it returns.

    Who is cancelled meanwhile waits no more; the function goes on. It sees the context variables of the caller.

    Raises:
        Exception: whatever it raises; what is no ``Exception`` comes as ``RuntimeError``.
    """
    latch = Latch()
    results: list[_T] = []
    errors: list[BaseException] = []
    context = copy_context()

    def job() -> None:
        try:
            results.append(context.run(function))
        except BaseException as error:
            errors.append(error)

    def done() -> None:
        try:
            loop.call_soon_threadsafe(latch.open)
        except RuntimeError:
            pass  # the loop has ended, and nobody waits

    threads.submit(job, done)
    await latch.wait()
    if errors:
        if not isinstance(errors[0], Exception):
            # It must not end the loop, which is not the one that it was meant for.
            raise RuntimeError(f"{errors[0]!r} was raised in a thread of the gateway") from errors[0]
        raise errors[0]
    return results[0]
