"""The proxy: its connections, and the bytes between them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

from autobahnlike.asgi.address import BACKLOG
from autobahnlike.asgi.failure import explain
from autobahnlike.awsproxy.authority import Authority
from autobahnlike.awsproxy.options import ProxyOptions, is_loopback
from autobahnlike.awsproxy.request import Head, Refused, Target, ascii_line
from autobahnlike.awsproxy.upstream import Upstream

__all__ = ("Proxy",)

_log = logging.getLogger("autobahnlike.awsproxy")

# How many bytes are read ahead of what the other side takes.
_CHUNK = 64 * 1024
# More than a reader ever holds: what it has is taken at once.
_ALL = 1 << 24
# How long the last bytes may take, in seconds.
_CLOSING = 5.0
# What a client that was refused may still send, in bytes, and for how many seconds.
_LINGERING_BYTES = 1 << 20
_LINGERING = 2.0


class _Pipe:
    """One connection, and its ends for bytes, which are others when TLS has begun."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        # Before TLS. A writer that nobody holds closes its transport.
        self._outer: list[asyncio.StreamWriter] = []
        self._is_lost = False

    async def start_tls(self, context: ssl.SSLContext, timeout: float) -> None:  # noqa: ASYNC109
        """Speak TLS from now on, as a server.

        Raises:
            OSError: the handshake failed, which is the end of the connection.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        self._outer.append(self.writer)
        # The protocol that it has now is not told of its end.
        self._is_lost = True
        transport = await loop.start_tls(
            self.writer.transport,
            protocol,
            context,
            server_side=True,
            ssl_handshake_timeout=timeout,
            ssl_shutdown_timeout=_CLOSING,
        )
        if transport is None:
            raise ConnectionResetError("the client has gone")
        protocol.connection_made(transport)
        self.reader, self.writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        self._is_lost = False

    def pause(self) -> None:
        """Read nothing that nobody has asked for."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def abort(self) -> None:
        """Drop it."""
        _abort(self.writer)

    async def close(self) -> None:
        """Close it when all is written, or when that takes too long."""
        if self._is_lost:
            self.abort()
            return
        self.writer.close()
        try:
            async with asyncio.timeout(_CLOSING):
                await self.writer.wait_closed()
        except (OSError, asyncio.CancelledError):
            self.abort()

    @property
    def _transport(self) -> Any:
        return self.writer.transport


class Proxy:
    """A proxy for https, on asyncio.

    Args:
        upstream: the gateway.
        authority: what certifies that the proxy is the hosts that it answers for.
        options: what it does, and its limits.
    """

    def __init__(self, upstream: Upstream, authority: Authority, options: ProxyOptions | None = None) -> None:
        self._upstream = upstream
        self._authority = authority
        self._options = options or ProxyOptions()
        self._running: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
        """Serve on sockets that listen, until the end of the block. They are closed then, as are all connections."""
        try:
            with contextlib.ExitStack() as stack:
                for sock in sockets:
                    server = await asyncio.start_server(self._connected, sock=sock, limit=_CHUNK, backlog=BACKLOG)
                    stack.callback(server.close)
                yield
        finally:
            running = list(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit = self._options.max_connections
        if len(self._running) >= limit:
            # Nothing of it is waited for, or those who are too many would be counted themselves.
            refusal = Refused(503, f"there are {limit} connections, which is the limit")
            _log.warning("%s", refusal)
            writer.write(Head(self._options.head_size).refused(refusal))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(_Pipe(reader, writer)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, near: _Pipe) -> None:
        name = near.writer.get_extra_info("peername")
        # None if the client is gone already.
        client = name[0] if name else ""
        who = f"{name[0]} port {name[1]}" if name else "a client"
        try:
            await self._converse(near, client, who)
        except asyncio.CancelledError:
            near.abort()
            raise
        except OSError as error:
            _log.info("%s: %s", who, explain(error))
            near.abort()
        except EOFError:
            pass
        except Exception:
            _log.exception("%s: the proxy failed", who)
            near.abort()
        finally:
            await near.close()

    async def _converse(self, near: _Pipe, client: str, who: str) -> None:
        head = Head(self._options.head_size)
        try:
            self._check_client(client)
            target = await self._receive(near.reader, head)
            # From now on nothing is read that nobody asks for: it may be TLS.
            near.pause()
            is_ours = self._options.answers_for(*target)
            if is_ours and head.rest:
                raise Refused(400, "TLS began before the answer to CONNECT")
            far = await self._connect(target, is_ours, client)
        except Refused as refusal:
            _log.warning("%s: %d, %s", who, refusal.status, refusal.text)
            near.writer.write(head.refused(refusal))
            await _linger(near)
            return
        try:
            near.writer.write(head.accepted())
            if is_ours:
                if await self._start_tls(near, target, who):
                    await self._pass(near, far, f"{who}: {target}, to the gateway")
            else:
                far.writer.write(head.rest)
                near.resume()
                await self._pass(near, far, f"{who}: {target}, passed through")
        except asyncio.CancelledError:
            far.abort()
            raise
        finally:
            await far.close()

    def _check_client(self, client: str) -> None:
        if client and not self._options.is_allowed(client):
            raise Refused(403, f"{client} may not use this proxy: see its option --allow")

    async def _receive(self, reader: asyncio.StreamReader, head: Head) -> Target:
        try:
            async with asyncio.timeout(self._options.head_timeout):
                while True:
                    target = head.feed(await reader.read(_ALL))
                    if target is not None:
                        return target
        except TimeoutError:
            raise Refused(408, f"no request within {self._options.head_timeout:g} s") from None

    async def _connect(self, target: Target, is_ours: bool, client: str) -> _Pipe:
        where = f"the gateway at {self._upstream.url}" if is_ours else str(target)
        if not is_ours and self._options.only_hosts:
            raise Refused(403, f"{target} is none of {', '.join(self._options.hosts)} at port 443")
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                if is_ours:
                    return _Pipe(*await self._upstream.connect(_CHUNK))
                far = _Pipe(*await asyncio.open_connection(*target, limit=_CHUNK))
        except TimeoutError:
            raise Refused(504, ascii_line(f"{where} does not answer")) from None
        except (OSError, UnicodeError) as error:
            why = explain(error) if isinstance(error, OSError) else "no such name"
            raise Refused(502, ascii_line(f"{where} cannot be reached: {why}")) from None
        # Who comes from elsewhere is not to get at what listens for this machine alone.
        peer = far.writer.get_extra_info("peername")
        if client and not is_loopback(client) and (peer is None or is_loopback(peer[0])):
            far.abort()
            raise Refused(403, f"{target} is the machine of the proxy")
        return far

    async def _start_tls(self, near: _Pipe, target: Target, who: str) -> bool:
        try:
            await near.start_tls(self._authority.context_for(target.host), self._options.handshake_timeout)
        except OSError as error:
            _log.warning("%s: %s, the TLS handshake failed: %s", who, target, _tls_error(error))
            return False
        return True

    async def _pass(self, near: _Pipe, far: _Pipe, what: str) -> None:
        """Pass bytes on in both directions, until both have ended, or none comes for too long."""
        begin = asyncio.get_running_loop().time()
        idle = _Idle(self._options.idle_timeout, near, far)
        try:
            async with asyncio.TaskGroup() as group:
                up = group.create_task(_pump(near.reader, far.writer, idle))
                down = group.create_task(_pump(far.reader, near.writer, idle))
        finally:
            idle.cancel()
        seconds = asyncio.get_running_loop().time() - begin
        end = f", given up after {self._options.idle_timeout:g} s without a byte" if idle.is_over else ""
        _log.info("%s: %d bytes there, %d back, %.1f s%s", what, up.result(), down.result(), seconds, end)


class _Idle:
    """Aborts two connections if none of them has anything to say for a while."""

    def __init__(self, seconds: float, *pipes: _Pipe) -> None:
        self._seconds = seconds
        self._pipes = pipes
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_at(self._last + seconds, self._due)
        self.is_over = False

    def touch(self) -> None:
        self._last = self._loop.time()

    def cancel(self) -> None:
        self._timer.cancel()

    def _due(self) -> None:
        due = self._last + self._seconds
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._due)
            return
        self.is_over = True
        for pipe in self._pipes:
            pipe.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle: _Idle) -> int:
    """Pass on what comes, no faster than it is taken, and then the end; returns the number of bytes."""
    count = 0
    try:
        while data := await reader.read(_CHUNK):
            idle.touch()
            writer.write(data)
            await writer.drain()
            idle.touch()
            count += len(data)
        if writer.can_write_eof():
            writer.write_eof()
        else:
            # TLS has no half of an end here: what was written is sent, and that is all.
            writer.close()
    except OSError:
        _abort(writer)
    return count


def _abort(writer: asyncio.StreamWriter) -> None:
    # One that is closed, and had something to write when that began, does not know its loop any more.
    with contextlib.suppress(AttributeError):
        writer.transport.abort()


async def _linger(pipe: _Pipe) -> None:
    """Let a client read what it is told while it still sends: an early end could take that from it."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(_LINGERING):
            await pipe.writer.drain()
            pipe.writer.write_eof()
            pipe.resume()
            size = 0
            while size < _LINGERING_BYTES and (data := await pipe.reader.read(_CHUNK)):
                size += len(data)


def _tls_error(error: OSError) -> str:
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    what = reason.lower().replace("_", " ") or explain(error)
    if isinstance(error, ConnectionResetError):
        what = "the client has ended it"
    if "ALERT" in reason or isinstance(error, ConnectionResetError):
        return f"{what}; does it trust the certificate of the proxy, with AWS_CA_BUNDLE or the like?"
    return what
