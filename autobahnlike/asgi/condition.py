"""Waiting for something to happen, with the futures of a loop."""

from __future__ import annotations

from typing import Any

from autobahnlike.websocket.link import EventLoop

__all__ = ("Condition", "next_turn")


class Condition:
    """Something that happens again and again, for those that wait for it.

    Args:
        loop: whose futures are waited for.
    """

    __slots__ = ("_loop", "_waiters")

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._waiters: list[Any] = []

    def wait(self) -> Any:
        """Return an awaitable that is done when it happens next."""
        txaio = self._loop.txaio
        if self._waiters:
            # Who waits with a time-out, over and over, must not leave a future behind each time.
            self._waiters = [future for future in self._waiters if not txaio.is_called(future)]
        future = txaio.create_future()
        self._waiters.append(future)
        return future

    def notify_all(self) -> None:
        """It has happened: wake up all that wait. On Twisted they go on before this returns."""
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            txaio = self._loop.txaio
            for future in waiters:
                # One that was cancelled is called already.
                if not txaio.is_called(future):
                    txaio.resolve(future, None)


async def next_turn(loop: EventLoop) -> None:
    """Let the loop do what else there is to do."""
    turn = Condition(loop)
    loop.call_later(0, turn.notify_all)
    await turn.wait()
