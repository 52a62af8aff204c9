"""An asyncio loop and an asyncio transport, as the shared code wants them. uvloop's are the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from inspect import isawaitable
from typing import Any

import txaio.aio

from autobahnlike.asyncio.util import address2str

__all__ = ("AsyncioLink", "AsyncioLoop")

_log = logging.getLogger("autobahnlike")

# Bytes up to which joining chunks costs less than a system call for each.
_JOIN = 65536


class AsyncioLoop:
    """An event loop as an ``EventLoop``.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.txaio = txaio.aio.with_config(loop=loop)  # type: ignore[no-untyped-call]
        self.now: Callable[[], float] = loop.time

    def call_later(self, delay: float, callback: Callable[[], object]) -> asyncio.Handle:
        """Call ``callback`` after ``delay`` seconds."""
        return self.loop.call_later(delay, callback) if delay else self.loop.call_soon(callback)

    def wait(
        self,
        result: object,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> Callable[[], object] | None:
        """Wait for a coroutine, a Future, or whatever else can be awaited."""
        if not isawaitable(result):
            return None
        future = asyncio.ensure_future(result, loop=self.loop)
        given_up = False

        def finished(future: asyncio.Future[Any]) -> None:
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            if given_up:
                return
            if error is not None:
                failed(error)
            else:
                done(future.result())

        def give_up() -> None:
            nonlocal given_up
            given_up = True
            future.cancel()

        if future.done():
            finished(future)
        else:
            future.add_done_callback(finished)
        return give_up

    def log_failure(self, message: str, error: BaseException) -> None:
        """Log an exception of the application."""
        _log.error("%s", message, exc_info=error)


class AsyncioLink:
    """A transport as a ``Link``.

    Args:
        transport: the transport.
        high_water: bytes that may be waiting to be written before ``pause_writing`` is called.
    """

    def __init__(self, transport: asyncio.Transport, high_water: int) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=high_water)
        self.peer = address2str(transport, "peername")
        self.own = address2str(transport, "sockname")
        self.is_secure = transport.get_extra_info("sslcontext") is not None

    @property
    def buffered(self) -> int:
        """What is waiting to be written."""
        return self._transport.get_write_buffer_size()

    def write(self, chunks: Sequence[bytes | bytearray | memoryview]) -> None:
        """Write."""
        # Not with writelines: that of Python 3.12 and 3.13, up to some maintenance release, never calls pause_writing.
        if len(chunks) == 1:
            self._transport.write(chunks[0])
        elif sum(map(len, chunks)) <= _JOIN:
            self._transport.write(b"".join(chunks))
        else:
            for chunk in chunks:
                self._transport.write(chunk)

    def finish(self) -> None:
        """Half-close plain TCP; TLS has no such thing."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self) -> None:
        """Close when everything is written."""
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Stop reading."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()
