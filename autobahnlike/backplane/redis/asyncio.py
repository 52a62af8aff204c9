"""Connections to Redis on asyncio, whichever its loop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from autobahnlike.backplane.redis.loop import Receiver, Timer, Wire
from autobahnlike.backplane.redis.resp import RedisUnavailable
from autobahnlike.backplane.redis.tls import explain, tls_context
from autobahnlike.backplane.redis.url import Place, UnixPlace

__all__ = ("AsyncioLoop",)

_log = logging.getLogger("autobahnlike.backplane")


class AsyncioLoop:
    """The loop that is running, as a ``Loop``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.now: Callable[[], float] = self._loop.time

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call something after ``delay`` seconds."""
        # Commands are written with no delay, and the heap of timers would be the dearest part of that.
        return self._loop.call_later(delay, callback) if delay > 0 else self._loop.call_soon(callback)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("something failed in the backplane", exc_info=error)

    def waiter(self) -> asyncio.Future[None]:
        """Return a future."""
        return self._loop.create_future()

    def wake(self, waiter: asyncio.Future[None]) -> None:
        """Give a future its result."""
        if not waiter.done():
            waiter.set_result(None)

    async def connect(self, place: Place, receiver: Receiver, patience: float) -> Wire:
        """Connect, TLS included."""
        try:
            async with asyncio.timeout(patience):
                return await self._connect(place, receiver)
        except TimeoutError:
            raise RedisUnavailable(f"cannot connect to Redis at {place} within {patience:g} seconds") from None
        except OSError as error:
            raise RedisUnavailable(f"cannot connect to Redis at {place}: {_explain(error)}") from error

    async def _connect(self, place: Place, receiver: Receiver) -> Wire:
        def make_protocol() -> _Protocol:
            return _Protocol(receiver)

        if isinstance(place, UnixPlace):
            _, protocol = await self._loop.create_unix_connection(make_protocol, place.path)
        else:
            context = None if place.tls is None else tls_context(place.tls)
            _, protocol = await self._loop.create_connection(make_protocol, place.host, place.port, ssl=context)
        return protocol


def _explain(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return explain(error)
    # What asyncio says has the address in it, and not what happened.
    if not isinstance(error, socket.gaierror) and error.errno is not None:
        return os.strerror(error.errno)
    return error.strerror or str(error)


class _Protocol(asyncio.Protocol):
    """A transport as a ``Wire``."""

    _transport: asyncio.Transport

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.connection_lost(exc)

    def write(self, data: bytes) -> None:
        """Write."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()
