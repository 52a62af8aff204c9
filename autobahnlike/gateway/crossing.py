"""What handlers ask of the gateway, from whichever thread they run in.

A plain function runs in a thread of its own: it waits until the loop has done what it asks for. A coroutine function
runs on the thread of the loop, which must not wait: it awaits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from autobahnlike.app.waiting import Latch
from autobahnlike.gateway.loop import Loop

__all__ = ("Answer", "NoAnswer", "ask")

_log = logging.getLogger("autobahnlike.gateway")

_T = TypeVar("_T")


class NoAnswer(Exception):
    """The loop did not answer in time."""


class Answer(Generic[_T]):
    """Something that was asked for on the thread of the loop; to be awaited there.

    An exception that nobody awaits is logged.
    """

    def __init__(self) -> None:
        self._latch = Latch()
        self._results: list[_T] = []
        self._error: BaseException | None = None
        self._is_awaited = False

    def __await__(self) -> Generator[Any, Any, _T]:
        self._is_awaited = True
        yield from self._latch.wait().__await__()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def __del__(self) -> None:
        if self._error is not None and not self._is_awaited:
            _log.error("what a handler asked for failed, and it did not await it: %r", self._error)

    async def run(self, work: Coroutine[Any, Any, _T]) -> None:
        """Do what was asked for."""
        try:
            self._results.append(await work)
        except Exception as error:
            self._error = error
        self._latch.open()

    def result_if_done(self) -> bool:
        """Whether the result is there. An exception that is there is raised."""
        if self._error is not None:
            self._is_awaited = True
            raise self._error
        return bool(self._results)


def ask(loop: Loop, work: Callable[[], Coroutine[Any, Any, _T]], patience: float) -> tuple[bool, Any]:
    """Have something done on the thread of a loop.

    Args:
        loop: the loop.
        work: makes the coroutine that does it.
        patience: how many seconds another thread waits for it.

    Returns:
        True and the result; or, on the thread of the loop, False and the :class:`Answer` to be awaited.

    Raises:
        NoAnswer: another thread has waited long enough.
        RuntimeError: the loop has ended.
        Exception: whatever it raises, if that is known already.
    """
    if loop.is_own_thread():
        answer: Answer[_T] = Answer()
        loop.spawn(answer.run(work()))
        if answer.result_if_done():
            return True, answer._results[0]
        return False, answer
    results: list[_T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    async def run() -> None:
        try:
            results.append(await work())
        except BaseException as error:
            errors.append(error)
        done.set()

    loop.call_soon_threadsafe(lambda: loop.spawn(run()))
    if not done.wait(patience):
        raise NoAnswer(f"the loop did not answer within {patience:g} s")
    if errors:
        raise errors[0]
    return True, results[0]
