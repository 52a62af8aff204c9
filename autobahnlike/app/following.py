"""Who follows a room: connections, until they end; and processes, which are subscribed as long as there are any."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from starlette.types import Scope

from autobahnlike.app.waiting import Latch

if TYPE_CHECKING:
    from autobahnlike.backplane import Subscription

__all__ = ("JOINED", "Follower", "leave_all")

JOINED = "autobahnlike.rooms"
"""In the scope of a connection: the rooms by name that it has joined, each with the WebSocket that is in it."""


def leave_all(scope: Scope) -> None:
    """Have a connection that has ended leave the rooms that its view has not left.

    Args:
        scope: that of its WebSocket.
    """
    joined = scope.pop(JOINED, None)
    if joined is not None:
        for room, ws in joined.items():
            room.forget(ws)


class _Round:
    """One time of subscribing or cancelling until all is as it should be.

    Attributes:
        latch: opens at the end.
        error: with which it has ended.
    """

    def __init__(self) -> None:
        self.latch = Latch()
        self.error: Exception | None = None


class Follower:
    """A room, which follows what is published to it, or not.

    One coroutine at a time subscribes or cancels, whoever asks for it, and goes on when who asked is cancelled: so
    nothing is told twice, and no subscription is left over.
    """

    _subscription: Subscription | None = None
    _round: _Round | None = None

    @property
    def is_following(self) -> bool:
        """Whether it is subscribed."""
        return self._subscription is not None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is going on."""
        return self._round is None

    def settle(self) -> _Round | None:
        """Begin to subscribe or to cancel, if that is called for.

        Returns:
            What is going on, for :meth:`settled`; None if nothing is.
        """
        current = self._round
        if current is None and self._wants_to_follow() != self.is_following:
            current = self._round = _Round()
            self._start(self._change(current))
        return current

    async def settled(self) -> None:
        """Subscribe or cancel, if that is called for, and wait until it has happened.

        Raises:
            Exception: what subscribing raises.
        """
        current = self.settle()
        if current is not None:
            await current.latch.wait()
            if current.error is not None:
                raise current.error

    async def _change(self, current: _Round) -> None:
        try:
            while self._wants_to_follow() != self.is_following:
                if self._subscription is None:
                    self._subscription = await self._subscribe()
                else:
                    subscription, self._subscription = self._subscription, None
                    await subscription.cancel()
        except Exception as error:
            current.error = error
        finally:
            self._round = None
            self._has_settled()
            current.latch.open()

    # What a room says to this, by overriding.

    def _wants_to_follow(self) -> bool:
        """Whether somebody is in the room."""
        raise NotImplementedError

    async def _subscribe(self) -> Subscription:
        """Subscribe to the room."""
        raise NotImplementedError

    def _start(self, work: Coroutine[Any, Any, None]) -> object:
        """Run a coroutine beside the current one."""
        raise NotImplementedError

    def _has_settled(self) -> None:
        """Nothing is going on any more."""
