"""A server on a real loop, and peers in a thread of their own that know nothing but a socket.

What the peers do is written down step by step, in blocking calls: each step waits for what it depends on, so no test
has to wait for time to go by.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from autobahnlike.wire.masking import apply_mask
from tests.wire.helpers import KEY, MASK, REQUEST, Frame, frame

PATIENCE = 10.0
"""Seconds after which a step has failed."""


def descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def client_frame(opcode: int, payload: bytes = b"", **details: Any) -> bytes:
    """A masked frame, also a large one in reasonable time."""
    head = frame(opcode, b"", claim=len(payload), mask=MASK, **details)
    return head + apply_mask(payload, MASK)


class Peer:
    """A client that is a socket.

    Args:
        sock: the socket, connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self._data = bytearray()

    def open(self, extensions: str = "") -> Peer:
        """Do the opening handshake."""
        self.sock.sendall(REQUEST[:-2] + extensions.encode() + b"\r\n")
        while b"\r\n\r\n" not in self._data:
            self._more()
        head, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert KEY.encode() in REQUEST
        self._data = bytearray(rest)
        return self

    def send(self, *data: bytes) -> None:
        """Send, in one call."""
        self.sock.sendall(b"".join(data))

    def send_meanwhile(self, data: bytes) -> None:
        """Send what is only taken when something was received; nothing else may be sent before that."""

        def send() -> None:
            # If that fails, what is received next shows it.
            with contextlib.suppress(OSError):
                self.sock.sendall(data)

        threading.Thread(target=send, daemon=True).start()

    def message(self, payload: bytes, opcode: int = 2) -> None:
        """Send a message."""
        self.send(client_frame(opcode, payload))

    def _more(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError
        self._data += data

    def _need(self, size: int) -> None:
        while len(self._data) < size:
            self._more()

    def frame(self) -> Frame:
        """Receive a frame."""
        self._need(2)
        first, length = self._data[0], self._data[1]
        assert length < 128, "a server's frames are not masked"
        start = {126: 4, 127: 10}.get(length, 2)
        self._need(start)
        if start > 2:
            length = int.from_bytes(self._data[2:start], "big")
        self._need(start + length)
        payload = bytes(memoryview(self._data)[start : start + length])
        del self._data[: start + length]
        return Frame(first & 15, payload, bool(first & 128), first >> 4 & 7)

    def payload(self) -> bytes:
        """Receive a message in one frame."""
        return self.frame().payload

    def echo(self, payload: bytes, opcode: int = 2) -> None:
        """Send a message, and get it back."""
        self.message(payload, opcode)
        assert self.frame() == Frame(opcode, payload)

    def end(self) -> bytes:
        """Receive to the end; a reset is one, too, and so is one that TLS was not told of."""
        try:
            while True:
                self._more()
        except (EOFError, ConnectionResetError, ssl.SSLEOFError):
            return bytes(self._data)

    def half_close(self) -> None:
        """End this side."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def reset(self) -> None:
        """Drop the connection, so that the other side gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Noting:
    """Hooks that note what they are told, and do what a test wants.

    Attributes:
        arena: where the server runs.
        events: what happened on the connection.
    """

    arena: Arena
    events: list[Any]

    def onOpen(self) -> Any:
        """Note the connection."""
        self.events = []
        self.arena.opened.append(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        """Send it back."""
        self.sendMessage(payload, isBinary)  # type: ignore[attr-defined]

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> Any:
        """Note the end."""
        self.arena.ended.append((wasClean, code, reason))


class Visit:
    """What a script has: the address, and the thread of the loop.

    Args:
        arena: where the server runs.
        address: where it listens: a port, or a path.
    """

    def __init__(self, arena: Arena, address: int | str) -> None:
        self.arena = arena
        self.address = address
        self.peers: list[Peer] = []

    def connect(self, receive_buffer: int = 0) -> Peer:
        """Connect."""
        address: Any = self.address
        is_path = isinstance(address, str)
        sock = socket.socket(socket.AF_UNIX if is_path else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE)
        sock.connect(address if is_path else ("127.0.0.1", address))
        if not is_path:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock)
        self.peers.append(peer)
        return peer

    def open(self, extensions: str = "", receive_buffer: int = 0) -> Peer:
        """Connect, and do the opening handshake."""
        return self.connect(receive_buffer).open(extensions)

    def ask(self, question: Callable[[], Any]) -> Any:
        """Call something in the thread of the loop, and return what it returns."""
        answer: Future[Any] = Future()

        def call() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:
                answer.set_exception(error)

        self.arena.in_loop(call)
        return answer.result(PATIENCE)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at whenever the loop has had a turn."""
        holds: Future[None] = Future()

        def look() -> None:
            if holds.done():
                return
            if condition():
                holds.set_result(None)
            else:
                self.arena.soon(look)

        self.arena.in_loop(look)
        holds.result(PATIENCE)

    def server(self, index: int = 0) -> Any:
        """The server's end of a connection; it opens when its peer is told so, or a little later."""
        self.until(lambda: len(self.arena.opened) > index)
        return self.arena.opened[index]

    def is_direct(self, index: int = 0) -> bool:
        """Whether the socket of a connection was left to its session."""
        server = self.server(index)
        return bool(self.ask(lambda: self.arena.is_direct(server)))

    def outcome(self, index: int = 0) -> tuple[Any, ...]:
        """How a connection ended."""
        self.until(lambda: len(self.arena.ended) > index)
        return self.arena.ended[index]


Script = Callable[[Visit], None]


class Arena:
    """One kind of loop; the subclasses know it.

    Attributes:
        opened: the servers' ends, in the order in which they opened.
        ended: how connections ended, in that order.
        errors: what was logged as an error.
    """

    server_protocol: Any
    server_factory: Any
    client_protocol: Any
    client_factory: Any
    name: str

    def __init__(self) -> None:
        self.opened: list[Any] = []
        self.ended: list[tuple[Any, ...]] = []
        self.errors: list[Any] = []
        self.serving: Any = None

    def another(self) -> Arena:
        """One of the same kind, for another run."""
        raise NotImplementedError

    def living(self) -> int:
        """How many connections the server's factory has."""
        return len(self.serving._connections)

    def in_loop(self, call: Callable[[], None]) -> None:
        """Call something in the thread of the loop."""
        raise NotImplementedError

    def soon(self, call: Callable[[], None]) -> None:
        """Call something in the next turn of the loop; to be used in its thread."""
        raise NotImplementedError

    def is_direct(self, protocol: Any) -> bool:
        """Whether the socket of a connection was left to its session."""
        raise NotImplementedError

    def run(self, factory: Any, script: Script, **how: Any) -> None:
        """Listen, have peers do what the script says, and wait for the end of all connections."""
        raise NotImplementedError

    def factory(self, hooks: type = Noting, **options: Any) -> Any:
        """A factory of servers with these hooks."""
        factory = self.server_factory()
        factory.protocol = type("Server", (hooks, self.server_protocol), {"arena": self})
        factory.setProtocolOptions(**options)
        self.serving = factory
        return factory

    def serve(self, script: Script, hooks: type = Noting, how: dict[str, Any] | None = None, **options: Any) -> None:
        """Run a script against a server with these hooks."""
        self.run(self.factory(hooks, **options), script, **(how or {}))

    def start(self, script: Script, address: int | str, done: Callable[[BaseException | None], None]) -> None:
        """Start the peers; ``done`` is called in the loop when they have finished."""

        def work() -> None:
            visit = Visit(self, address)
            failure: BaseException | None = None
            try:
                script(visit)
            except BaseException as error:
                failure = error
            finally:
                for peer in visit.peers:
                    peer.close()
                self.in_loop(lambda: done(failure))

        threading.Thread(target=work, daemon=True).start()
