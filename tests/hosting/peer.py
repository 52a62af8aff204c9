"""A client without any rules: it sends what it is told to, and writes down what it sees."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from urllib.parse import urlsplit

from tests.wire.helpers import BINARY, CLOSE, KEY, MASK, PING, PONG, TEXT, Frame, frame, parse_frames

__all__ = ("WirePeer", "World")

# Nothing here takes a second; this is for a machine that is busy with something else.
PATIENCE = 15.0


class WirePeer:
    """One connection to a server.

    Args:
        seen: what was seen is written down here.
        name: stands before it, to tell connections apart.

    Attributes:
        is_open: whether the opening handshake has succeeded, and the connection has not ended.
    """

    def __init__(self, seen: list[str], name: str = "") -> None:
        self._seen = seen
        self._prefix = f"{name}: " if name else ""
        self.is_open = False
        self._is_closing = False

    def note(self, text: str) -> None:
        """Write down what was seen."""
        self._seen.append(self._prefix + text)

    async def open(
        self,
        host: str,
        port: int,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        subprotocols: str = "",
    ) -> None:
        """Connect, and note what the opening handshake is answered with."""
        self._reader, self._writer = await asyncio.open_connection(host, port)
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in headers),
        ]
        if subprotocols:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocols}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        try:
            async with asyncio.timeout(PATIENCE):
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            self.note(f"no answer: {type(error).__name__}")
            await self.drop()
            return
        status = int(head[0].split(" ")[1])
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:])]
        self.is_open = status == 101
        if not self.is_open:
            self.note(f"HTTP {status}")
            await self.drop()
            return
        chosen = [f" {value}" for name, value in fields if name == "sec-websocket-protocol"]
        cookies = [f" set-cookie {value}" for name, value in fields if name == "set-cookie"]
        self.note("101" + "".join(chosen + cookies))

    # -- Sending

    def send_frame(self, opcode: int, payload: bytes = b"") -> None:
        """Send a frame, if there is a connection."""
        if self.is_open and not self._writer.is_closing():
            self._writer.write(frame(opcode, payload, mask=MASK))

    def text(self, text: str) -> None:
        """Send a text message."""
        self.send_frame(TEXT, text.encode())

    def binary(self, payload: bytes) -> None:
        """Send a binary message."""
        self.send_frame(BINARY, payload)

    async def close(self, code: int | None = None, reason: str = "") -> None:
        """Close the connection, and note what the server says to that."""
        self._is_closing = True
        self.send_frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode())
        await self.rest()

    async def drop(self) -> None:
        """End the TCP connection."""
        self.is_open = False
        if not self._writer.is_closing():
            self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    # -- Receiving

    async def _next(self) -> Frame | None:
        """Return the next frame, None at the end."""
        try:
            async with asyncio.timeout(PATIENCE):
                head = await self._reader.readexactly(2)
                length, more = head[1] & 127, 0
                if length > 125:
                    more = 2 if length == 126 else 8
                extended = await self._reader.readexactly(more)
                if more:
                    length = int.from_bytes(extended, "big")
                return parse_frames(head + extended + await self._reader.readexactly(length))[0]
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def see(self, count: int = 1) -> None:
        """Note so many messages, or fewer if the connection ends."""
        while count and self.is_open:
            count -= 1
            while (got := await self._next_or_nothing()) is not None and got.opcode == PING:
                self.send_frame(PONG, got.payload)
            if got is None:
                await self._end()
            elif got.opcode == TEXT:
                text = got.payload.decode()
                self.note(f"text {text!r}" if len(text) < 300 else f"text of {len(text)} characters")
            elif got.opcode == BINARY:
                self.note(f"binary {got.payload!r}")
            elif got.opcode == CLOSE:
                code = int.from_bytes(got.payload[:2], "big") if got.payload else None
                self.note(f"close {code} {got.payload[2:].decode()}".rstrip())
                if not self._is_closing:
                    self._is_closing = True
                    self.send_frame(CLOSE, got.payload[:2])

    async def _next_or_nothing(self) -> Frame | None:
        try:
            return await self._next()
        except TimeoutError:
            self.note("nothing more")
            return None

    async def _end(self) -> None:
        self.note("end" if self._is_closing else "end without close")
        await self.drop()

    async def rest(self) -> None:
        """Note everything until the end."""
        while self.is_open:
            await self.see()


class World:
    """What a scenario sees of a server.

    Args:
        url: where the server is.

    Attributes:
        seen: what was seen, in order.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.seen: list[str] = []
        self._peers: list[WirePeer] = []

    async def connect(
        self, target: str, *, name: str = "", subprotocols: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> WirePeer:
        """Open a WebSocket."""
        peer = WirePeer(self.seen, name)
        self._peers.append(peer)
        await peer.open(self.host, self.port, target, headers, subprotocols)
        return peer

    async def http(
        self, target: str, method: str = "GET", *headers: tuple[str, str], body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        """Send an HTTP request; returns status, header and body."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}:{self.port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(PATIENCE):
            whole = await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        head, _, content = whole.partition(b"\r\n\r\n")
        if not head:
            raise ConnectionError(f"no answer to {method} {target}")
        first, *rest = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        if fields.get("transfer-encoding") == "chunked":
            content = _unchunk(content)
        return int(first.split(" ")[1]), fields, content

    async def leave(self) -> None:
        """End all connections that are still open."""
        for peer in self._peers:
            await peer.drop()


def _unchunk(content: bytes) -> bytes:
    joined = b""
    while content:
        size, _, content = content.partition(b"\r\n")
        length = int(size, 16)
        joined, content = joined + content[:length], content[length + 2 :]
    return joined
