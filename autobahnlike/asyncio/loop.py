"""An asyncio loop and an asyncio transport, as the shared code wants them. uvloop's are the same."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import txaio.aio

from autobahnlike.asyncio.util import address_text
from autobahnlike.websocket.direct import IS_AVAILABLE
from autobahnlike.websocket.session import Batch

__all__ = ("PLAIN_TRANSPORTS", "AsyncioLink", "AsyncioLoop")

_log = logging.getLogger("autobahnlike")

# Bytes up to which joining chunks costs less than a system call for each.
_JOIN = 65536


# Whose transports do nothing with what they read but hand it over, so that they may as well not read it.
PLAIN_TRANSPORTS = ("asyncio.selector_events", "uvloop.loop")


def _may_double(descriptor: int) -> bool:
    """Whether a socket with this descriptor may have another one.

    The second half of the descriptors that a process may have is for connections, not for their speed.
    """
    import resource  # which Windows does not have

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most == resource.RLIM_INFINITY or descriptor < most // 2


class AsyncioLoop:
    """An event loop as an ``EventLoop``.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.txaio = txaio.aio.with_config(loop=loop)  # type: ignore[no-untyped-call]
        self.batch = Batch()
        # asyncio's own method does no more than that, in Python.
        plain = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.monotonic if plain else loop.time

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
        protocol: the protocol it belongs to.
        high_water: bytes that may be waiting to be written before ``pause_writing`` is called.
    """

    # What reads from the socket instead of the transport: the loop, a descriptor of our own, and what it calls.
    _loop: asyncio.AbstractEventLoop | None = None
    _fd = -1
    _readable: Callable[[], Any] | None = None

    def __init__(self, transport: asyncio.Transport, protocol: Any, high_water: int) -> None:
        self._transport = transport
        self._protocol = protocol
        transport.set_write_buffer_limits(high=high_water)
        self.queued: Callable[[], int] = transport.get_write_buffer_size
        self.is_secure = transport.get_extra_info("sslcontext") is not None
        # Nobody can tell any more when the connection is gone. They are hardly ever asked for, so not written out.
        self._peername = transport.get_extra_info("peername")
        self._sockname = transport.get_extra_info("sockname")

    @property
    def peer(self) -> str:
        """Who is at the other end."""
        return address_text(self._peername)

    @property
    def own(self) -> str:
        """The same for this end."""
        return address_text(self._sockname)

    @property
    def buffered(self) -> int:
        """What is waiting to be written."""
        return self._transport.get_write_buffer_size()

    def go_direct(self, readable: Callable[[], Any]) -> int:
        """Read from the socket by a descriptor of our own; the transport is only paused, and still writes and closes.

        Loops call nobody for a descriptor that one of their transports has, hence another one.
        """
        transport = self._transport
        if not IS_AVAILABLE or self.is_secure or transport.is_closing():
            return -1
        if type(transport).__module__ not in PLAIN_TRANSPORTS or not self._protocol._may_go_direct():
            return -1
        sock = transport.get_extra_info("socket")
        if sock is None or not _may_double(sock.fileno()):
            return -1
        try:
            self._fd = os.dup(sock.fileno())
        except OSError:
            return -1
        transport.pause_reading()
        self._readable = readable
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, readable)
        return self._fd

    def lost(self) -> None:
        """The connection is gone: give our descriptor back, and let go of what refers back."""
        self._protocol = None
        if self._loop is not None:
            self._stop_reading()
            os.close(self._fd)
            self._loop = None
            self._readable = None

    def __del__(self) -> None:
        # A loop that is closed tells no protocol. Its transports close their sockets in the same way.
        if self._loop is not None:
            os.close(self._fd)

    def _stop_reading(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._fd)

    def peer_ended(self) -> None:
        """Do what asyncio's transports do: ask the protocol, and close unless it minds."""
        self._stop_reading()
        if not self._protocol.eof_received():
            self._transport.close()

    def reading_failed(self, error: OSError) -> None:
        """Drop the connection, as asyncio's transports do."""
        self._stop_reading()
        self._transport.abort()

    def write(self, chunks: list[bytes | bytearray | memoryview]) -> None:
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
        """Close when everything is written; as transports do, read no more until then."""
        self._stop_reading()
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Stop reading."""
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
        elif not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._transport.is_closing():
            return
        if self._loop is not None and self._readable is not None:
            self._loop.add_reader(self._fd, self._readable)
        else:
            self._transport.resume_reading()
