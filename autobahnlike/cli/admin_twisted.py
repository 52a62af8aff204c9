"""``--admin`` on the reactors of Twisted."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.run_twisted import Places, Startable, StartableService
from autobahnlike.asgi.scope import Application
from autobahnlike.asgi.twisted import ASGIService

__all__ = ("OnTwisted",)


class OnTwisted:
    """A server of an application, and another one beside it, which is there before and after.

    Args:
        reactor: the reactor.
        serving: the server of the application.
        app: the application of the other one.
        sockets: where that one listens; they stay the caller's.
        options: of that one.
        is_late: whether that one listens only when the server of the application does.
    """

    def __init__(
        self,
        reactor: Any,
        serving: Startable,
        app: Application,
        sockets: Sequence[socket.socket],
        options: ServerOptions,
        *,
        is_late: bool,
    ) -> None:
        self._reactor = reactor
        self._serving = serving
        self._is_late = is_late
        places = Places(reactor, sockets, "http")
        self._admin = StartableService(ASGIService(app, places, reactor=reactor, options=options))

    def start(self) -> Deferred[Any]:
        """Start; done when both listen."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        if not self._is_late:
            await self._admin.start()
        await self._serving.start()
        if self._is_late:
            await self._admin.start()

    def stop(self) -> Deferred[Any]:
        """Stop; done when everything has ended."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        try:
            await self._serving.stop()
        finally:
            await self._admin.stop()

    def leave(self) -> None:
        """Have the other one listen no more. May be called on any thread."""
        self._reactor.callFromThread(self._admin.stop)
