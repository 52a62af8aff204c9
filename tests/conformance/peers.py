"""The other end of a connection, by hand: bytes out, bytes in, and what they mean only when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.wire.helpers import CLOSE, MASK, Frame, frame, parse_frames

if TYPE_CHECKING:
    from tests.conformance.kit import Kit


@dataclass
class Listener:
    """Where something listens.

    Attributes:
        host, port: its address; the port is 0 for a Unix socket.
        unix: the path of a Unix socket, or None.
        stop: stops listening.
    """

    host: str
    port: int
    unix: str | None
    stop: Callable[[], Awaitable[object]]


class RawPeer:
    """One end of a connection without any WebSocket; the loop's transport is put under it.

    Attributes:
        received: what came and was not taken yet.
        is_over: whether the other side has ended the connection.
        request: the request that this peer answered, if it is a server.
    """

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.mask: bytes | None = MASK
        self.received = bytearray()
        self.is_over = False
        self.request = ""
        self._waiter: Any = None
        self._transport: Any = None
        kit.raw_peers.append(self)

    # -- What the transport tells

    def feed(self, data: bytes) -> None:
        self.received += data
        self._wake()

    def lost(self) -> None:
        self.is_over = True
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self.kit.fire(waiter, None)

    # -- What scenarios do

    def send(self, *pieces: bytes) -> None:
        """Send, in one write."""
        self._transport.write(b"".join(pieces))

    def send_frame(self, opcode: int, payload: bytes = b"", **details: Any) -> None:
        """Send a frame, masked if this peer is a client."""
        self.send(self.frame(opcode, payload, **details))

    def frame(self, opcode: int, payload: bytes = b"", **details: Any) -> bytes:
        """A frame as this peer sends it."""
        return frame(opcode, payload, **{"mask": self.mask, **details})

    def send_close(self, code: int | None = None, reason: bytes = b"") -> None:
        """Send a close frame."""
        self.send_frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)

    def pause(self) -> None:
        """Stop reading."""
        raise NotImplementedError

    def resume(self) -> None:
        """Read again."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection."""
        raise NotImplementedError

    def abort(self) -> None:
        """Reset the connection."""
        raise NotImplementedError

    @property
    def unsent(self) -> int:
        """How much of what was sent the other side has not taken, as far as our own transport knows."""
        raise NotImplementedError

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        while not condition():
            assert not self.is_over, f"the connection ended without {what}: {bytes(self.received[:200])!r}"
            self._waiter = self.kit.future()
            await self.kit.within(self._waiter, f"{what}, only {bytes(self.received[:200])!r}")

    def _take(self, count: int) -> bytes:
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken

    async def read_head(self) -> str:
        """Read the head of a request or response."""
        await self._until(lambda: b"\r\n\r\n" in self.received, "an HTTP head")
        return self._take(self.received.index(b"\r\n\r\n") + 4).decode("latin-1")

    async def read_frame(self) -> Frame:
        """Read a frame."""
        await self._until(lambda: len(self.received) >= 2, "a frame")
        length, start = self.received[1] & 127, 2
        if length > 125:
            start = 4 if length == 126 else 10
            await self._until(lambda: len(self.received) >= start, "a frame's header")
            length = int.from_bytes(self.received[2:start], "big")
        size = start + length + (4 if self.received[1] & 128 else 0)
        await self._until(lambda: len(self.received) >= size, "a whole frame")
        return parse_frames(self._take(size))[0]

    async def read_rest(self) -> bytes:
        """Read until the other side ends the connection."""
        while not self.is_over:
            self._waiter = self.kit.future()
            await self.kit.within(self._waiter, f"the end, only {bytes(self.received[:200])!r}")
        return self._take(len(self.received))

    async def read_close(self) -> tuple[int | None, str]:
        """Read a close frame; returns its code and reason."""
        got = await self.read_frame()
        assert got.opcode == CLOSE, got
        code = int.from_bytes(got.payload[:2], "big") if got.payload else None
        return code, got.payload[2:].decode()


class AsyncioPeer(RawPeer, asyncio.Protocol):
    """On an asyncio transport."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.feed(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost()

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    @property
    def unsent(self) -> int:
        return int(self._transport.get_write_buffer_size())


@implementer(IHalfCloseableProtocol)
class TwistedPeer(RawPeer, Protocol):
    """On a Twisted transport. When the other side has ended, what is still to be written goes out, as on asyncio."""

    def connectionMade(self) -> None:
        self._transport = self.transport

    def dataReceived(self, data: bytes) -> None:
        self.feed(data)

    def readConnectionLost(self) -> None:
        self.lost()
        self._transport.loseConnection()

    def writeConnectionLost(self) -> None:
        raise AssertionError("we do not half-close")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost()

    def pause(self) -> None:
        self._transport.pauseProducing()

    def resume(self) -> None:
        self._transport.resumeProducing()

    def close(self) -> None:
        self._transport.loseConnection()

    def abort(self) -> None:
        self._transport.abortConnection()

    @property
    def unsent(self) -> int:
        transport = self._transport
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)
