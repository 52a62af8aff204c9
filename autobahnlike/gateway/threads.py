"""The threads in which handlers run that block: plain functions.

They are daemons, which is what the pool of the standard library cannot do: a handler that never returns must not keep
the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol, TypeVar

from autobahnlike.app.waiting import Latch
from autobahnlike.gateway.loop import Loop

__all__ = ("Threads", "Workers", "run_blocking")

_T = TypeVar("_T")


class Threads(Protocol):
    """What runs functions elsewhere."""

    def submit(self, job: Callable[[], None], /) -> None:
        """Have a function called, which raises nothing."""
        ...


class Workers:
    """Threads that are made when they are needed, and then kept.

    Args:
        limit: how many, at most. What is submitted beyond that waits.
    """

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._idle = 0
        self._is_stopped = False

    def submit(self, job: Callable[[], None], /) -> None:
        """Have a function called in one of the threads."""
        with self._lock:
            if self._is_stopped:
                threading.Thread(target=job, name="gateway-late", daemon=True).start()
                return
            if self._idle:
                self._idle -= 1
            elif self._count < self._limit:
                self._count += 1
                threading.Thread(target=self._work, name=f"gateway-{self._count}", daemon=True).start()
            self._jobs.put(job)

    def stop(self) -> None:
        """Let the threads end when they have done what was submitted. What is submitted later gets one of its own."""
        with self._lock:
            self._is_stopped = True
            for _ in range(self._count):
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job
            with self._lock:
                if self._jobs.empty():
                    self._idle += 1


async def run_blocking(loop: Loop, threads: Threads, function: Callable[[], _T]) -> _T:
    """Call a function in a thread, and wait for what it returns.

    Who is cancelled meanwhile waits no more; the function goes on.

    Raises:
        Exception: whatever it raises; what is no ``Exception`` comes as ``RuntimeError``.
    """
    latch = Latch()
    results: list[_T] = []
    errors: list[BaseException] = []

    def job() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)
        try:
            loop.call_soon_threadsafe(latch.open)
        except RuntimeError:
            pass  # the loop has ended, and nobody waits

    threads.submit(job)
    await latch.wait()
    if errors:
        if not isinstance(errors[0], Exception):
            # It must not end the loop, which is not the one that it was meant for.
            raise RuntimeError(f"{errors[0]!r} was raised in a thread of the gateway") from errors[0]
        raise errors[0]
    return results[0]
