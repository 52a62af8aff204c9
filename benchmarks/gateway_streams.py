"""The connections of :mod:`benchmarks.gateway_load`: WebSockets, requests, and over what a node is asked to send."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote

__all__ = ("Http", "Owner", "Stream", "Way", "WebSocket")

# Seconds after which a connection for requests that was not used is replaced; nodes close it after 5.
_UNUSED = 2.0
_READ = 65536


class Owner(Protocol):
    """Whose the connections are, and who is told what comes in.

    Attributes:
        poller: what they are registered with.
        streams: those that are there.
        ports: those of the nodes.
        problems: what went wrong, and how often.
    """

    poller: select.epoll
    streams: dict[int, Stream]
    ports: list[int]
    problems: Counter[str]

    def progress(self) -> None:
        """Something happened that was waited for."""

    def arrived(self, client: WebSocket, text: str, /) -> None:
        """A message has come."""

    def arrived_in_room(self, client: WebSocket, text: str, /) -> None:
        """A message of the room has come."""

    def judged(self, number: int, kind: str, verdict: str, /) -> None:
        """It is known what became of a message."""


class Stream:
    """One TCP connection.

    Args:
        load: whose it is.
        port: of the server.
        source: the address of ours.
    """

    def __init__(self, load: Owner, port: int, source: str = "127.0.0.1") -> None:
        self.load = load
        self.port = port
        self.is_connected = False
        self.buffer = b""
        self._out = bytearray()
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Otherwise a port is taken that no other connection from there may have, whatever its server.
        self._socket.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        self._socket.bind((source, 0))
        self.fd = self._socket.fileno()
        self._socket.connect_ex(("127.0.0.1", port))
        load.poller.register(self.fd, select.EPOLLIN | select.EPOLLOUT)
        load.streams[self.fd] = self

    def ready(self, mask: int) -> None:
        """The socket can be read, or written."""
        if mask & select.EPOLLOUT:
            if not self.is_connected and not (mask & (select.EPOLLERR | select.EPOLLHUP)):
                self.is_connected = True
                self.connected()
            if self.is_connected:
                self._flush()
        if mask & ~select.EPOLLOUT:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(f"a connection was lost: {error.strerror}")
            return
        if not data:
            self.fail("a connection was closed")
            return
        self.buffer = self.buffer + data if self.buffer else data
        self.received()

    def write(self, data: bytes) -> None:
        """Write, now or later; nothing happens if the connection has ended."""
        if self.fd not in self.load.streams:
            return
        was_empty = not self._out
        self._out += data
        if was_empty and self.is_connected:
            self._flush()

    def _flush(self) -> None:
        # Whatever it is, reading tells.
        with contextlib.suppress(OSError):
            while self._out:
                del self._out[: self._socket.send(self._out)]
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._out else 0)
        if self.fd in self.load.streams:
            self.load.poller.modify(self.fd, wanted)

    def fail(self, what: str) -> None:
        """The connection has ended, which it must not."""
        self.load.problems[what] += 1
        self.close()

    def close(self) -> None:
        """Drop it."""
        if self.load.streams.pop(self.fd, None) is not None:
            self.load.poller.unregister(self.fd)
            self._socket.close()
            self.lost()

    def connected(self) -> None:
        """The connection is there."""

    def received(self) -> None:
        """There is more in the buffer."""
        raise NotImplementedError

    def lost(self) -> None:
        """The connection is gone."""


class WebSocket(Stream):
    """A client of a node.

    Attributes:
        node: the number of the node.
        connection_id: its id; empty until it is known.
        newest: the newest message that came from each way, to see what was overtaken.
        order: a sum over the messages of the room, in their order.
        told: how many those are.
    """

    def __init__(self, load: Owner, node: int, source: str = "127.0.0.1") -> None:
        self.node = node
        self.connection_id = ""
        self.newest: dict[int, int] = {}
        self.order = 0
        self.told = 0
        self.on_verdict: Callable[[str], None] | None = None
        self._is_open = False
        super().__init__(load, load.ports[node], source)

    def connected(self) -> None:
        """Ask for the upgrade."""
        self.write(
            b"GET /api/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % self.port
        )

    def send(self, text: str) -> None:
        """Send a message. The masking key is 0, so that masking costs nothing."""
        data = text.encode()
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
        self.write(b"\x81" + size + bytes(4) + data)

    def received(self) -> None:
        """Take the frames that are complete."""
        data, at = self.buffer, 0
        if not self._is_open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self.fail(f"a handshake was answered: {data[:64].splitlines()[0].decode('latin-1')}")
                return
            self._is_open = True
            at = end + 4
        while len(data) >= at + 2:
            size, begin = data[at + 1], at + 2
            if size >= 126:
                more = 2 if size == 126 else 8
                size = int.from_bytes(data[begin : begin + more])
                begin += more
            if len(data) < begin + size:
                break
            opcode, at = data[at] & 15, begin + size
            self._frame(opcode, data[begin:at])
        self.buffer = data[at:]

    def _frame(self, opcode: int, data: bytes) -> None:
        if opcode == 1:
            self._message(data.decode())
        elif opcode == 9:
            self.write(b"\x8a" + bytes([0x80 | len(data)]) + bytes(4) + data)
        elif opcode == 8:
            self.fail(f"a client was closed with {int.from_bytes(data[:2])} {data[2:].decode()}".rstrip())
        else:
            self.load.problems[f"a frame of the kind {opcode}"] += 1

    def _message(self, text: str) -> None:
        kind, _, rest = text.partition(" ")
        if kind == "m":
            self.load.arrived(self, rest)
        elif kind == "room":
            self.load.arrived_in_room(self, rest)
        elif kind == "verdict" and self.on_verdict is not None:
            self.on_verdict(rest.partition(" ")[2])
        elif kind == "id":
            self.connection_id = rest
            self.load.progress()
        else:
            self.load.problems[f"a message {text[:60]!r}"] += 1

    def lost(self) -> None:
        """Whoever waits for a verdict gets that."""
        if self.on_verdict is not None:
            self.on_verdict("the connection was lost")


def _ignore(_: str) -> None:
    pass


class Http(Stream):
    """A connection for requests to the @connections API."""

    def __init__(self, load: Owner, port: int) -> None:
        self.on_status: Callable[[str], None] = _ignore
        super().__init__(load, port)

    def post(self, connection_id: str, body: str) -> None:
        """Send a message to a connection."""
        self.write(
            b"POST /api/@connections/%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %d\r\n\r\n%s"
            % (quote(connection_id, safe="").encode(), self.port, len(body), body.encode())
        )

    def received(self) -> None:
        """Take the response if it is complete."""
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) >= int(size or 0):
            self.buffer = body[int(size or 0) :]
            self.on_status(head[9:12].decode())

    def fail(self, what: str) -> None:
        """The node has closed it: one that is not used is closed soon, and a request is told."""
        self.close()

    def lost(self) -> None:
        """Whoever waits for a status gets that."""
        self.on_status("the connection was lost")


class Way:
    """Over what a node is asked to send: one request at a time, so that what goes over it has an order.

    Args:
        load: whose it is.
        number: of the way.
        kind: ``http``, ``handler`` or ``thread``, or ``room``.
        node: the number of the node.
    """

    def __init__(self, load: Owner, number: int, kind: str, node: int) -> None:
        self.number = number
        self.kind = kind
        self.waiting: deque[tuple[int, str, str]] = deque()
        self._load = load
        self._node = node
        self._current = -1
        self._used_at = 0.0
        self._http: Http | None = None
        self._websocket: WebSocket | None = None
        if kind != "http":
            self._websocket = WebSocket(load, node)
            self._websocket.on_verdict = self._answered

    @property
    def is_ready(self) -> bool:
        """Whether it can be used."""
        return self._websocket is None or bool(self._websocket.connection_id)

    def send(self, number: int, target: str, text: str) -> None:
        """Have a message sent, now or when those before have their verdict."""
        self.waiting.append((number, target, text))
        if self._current < 0:
            self._next()

    def _next(self) -> None:
        self._current, target, text = self.waiting.popleft()
        if self._websocket is None:
            self._request().post(target, text)
        else:
            action = {"handler": "send", "thread": "send in a thread", "room": "publish"}[self.kind]
            self._websocket.send(json.dumps({"action": action, "number": self._current, "to": target, "what": text}))

    def _request(self) -> Http:
        """Return a connection that the node is not about to close because nothing is asked for over it."""
        now, used_at = time.monotonic(), self._used_at
        self._used_at = now
        if self._http is None or now - used_at > _UNUSED or self._http.fd not in self._load.streams:
            if self._http is not None:
                self._http.on_status = _ignore
                self._http.close()
            self._http = Http(self._load, self._load.ports[self._node])
            self._http.on_status = self._answered
        return self._http

    def _answered(self, verdict: str) -> None:
        if self._current >= 0:
            self._load.judged(self._current, self.kind, verdict)
            self._current = -1
        if self.waiting:
            self._next()
