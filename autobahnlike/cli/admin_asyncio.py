"""``--admin`` on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType

from autobahnlike.asgi.asyncio import serve
from autobahnlike.asgi.options import ServerOptions
from autobahnlike.asgi.scope import Application

__all__ = ("OnAsyncio",)


class OnAsyncio:
    """A server of an application, and another one beside it, which is there before and after.

    Args:
        serving: the server of the application.
        app: the application of the other one.
        sockets: where that one listens; they stay the caller's.
        options: of that one.
        is_late: whether that one listens only when the server of the application does.
    """

    def __init__(
        self,
        serving: AbstractAsyncContextManager[object],
        app: Application,
        sockets: Sequence[socket.socket],
        options: ServerOptions,
        *,
        is_late: bool,
    ) -> None:
        self._serving = serving
        self._app = app
        self._sockets = sockets
        self._options = options
        self._is_late = is_late
        self._admin: AbstractAsyncContextManager[object] | None = None
        self._ending: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> OnAsyncio:
        self._loop = asyncio.get_running_loop()
        if not self._is_late:
            await self._start()
        try:
            await self._serving.__aenter__()
        except BaseException:
            await self._end()
            raise
        if self._is_late:
            await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._serving.__aexit__(kind, error, traceback)
        finally:
            await self._end()

    def leave(self) -> None:
        """Have the other one listen no more. May be called on any thread."""
        if self._loop is not None:
            # The loop has ended, and with it everything.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._begin_to_end)

    async def _start(self) -> None:
        # The loop closes what it is given.
        admin = serve(self._app, sockets=[sock.dup() for sock in self._sockets], options=self._options)
        await admin.__aenter__()
        self._admin = admin

    def _begin_to_end(self) -> asyncio.Future[None]:
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._stop())
        return self._ending

    async def _end(self) -> None:
        await self._begin_to_end()

    async def _stop(self) -> None:
        if self._admin is not None:
            await self._admin.__aexit__(None, None, None)
