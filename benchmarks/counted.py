"""What ``benchmarks.instructions`` counts: connections without a loop, driven by a batch of frames, or only opened.

It imports nothing but the core, because its start is counted as well and takes most of the time.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

from autobahnlike.wire.connection import Connection
from autobahnlike.wire.handshake import accept_response
from autobahnlike.wire.options import Options

__all__ = ("CASES", "work")

_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_MASK = b"\x37\xfa\x21\x3d"
_BATCH = 50
# A factory makes them once for all its connections.
_OPTIONS = Options()


class _Handler:
    """Accepts a connection, and does with messages what a case wants."""

    connection: Connection

    def __init__(self, answer: bool) -> None:
        self.answer = answer

    def on_request(self, opening: Any) -> None:
        self.connection.accept(accept_response(opening))
        self.connection.resume_delivery(0)

    def on_message(self, payload: bytes, is_binary: bool) -> None:
        if self.answer:
            self.connection.send_message(payload, is_binary)

    def on_output(self) -> None:
        self.connection.data_to_send()


def _open(answer: bool) -> Connection:
    handler: Any = _Handler(answer)
    connection = handler.connection = Connection(handler, _OPTIONS, is_server=True, now=0)
    connection.receive_data(_REQUEST, 0)
    connection.data_to_send()
    return connection


def _frame(payload: bytes) -> bytes:
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
    masked = bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))
    return bytes([0x82]) + length + _MASK + masked


def _decode(size: int, count: int) -> None:
    """Messages that arrive many at a time, and are not answered."""
    connection = _open(answer=False)
    batch = _frame(b"x" * size) * _BATCH
    for _ in range(count // _BATCH):
        connection.receive_data(batch, 0)


def _encode(size: int, count: int) -> None:
    """Messages that are sent, many before any is taken to be written."""
    connection = _open(answer=False)
    payload = b"x" * size
    for _ in range(count // _BATCH):
        for _ in range(_BATCH):
            connection.send_message(payload, True)
        connection.data_to_send()


def _echo(size: int, count: int) -> None:
    """Messages that arrive one at a time, and are answered."""
    connection = _open(answer=True)
    frame = _frame(b"x" * size)
    for _ in range(count):
        connection.receive_data(frame, 0)
        connection.data_to_send()


def _handshake(_: int, count: int) -> None:
    """Connections that are opened, by a request that comes in one piece."""
    for _ in range(count):
        _open(answer=False)


_MESSAGES: dict[str, Callable[[int, int], None]] = {"decode": _decode, "encode": _encode, "echo": _echo}
_KINDS = {**_MESSAGES, "handshake": _handshake}
CASES = (*(f"{kind}-{size}" for kind in _MESSAGES for size in (16, 1024)), "handshake")


def work(case: str, count: int) -> None:
    """Do one case.

    Args:
        case: one of ``CASES``.
        count: how many messages, or connections; a multiple of 50.
    """
    kind, _, size = case.partition("-")
    _KINDS[kind](int(size or 0), count)


if __name__ == "__main__":
    # When it collects depends on everything that was imported.
    gc.disable()
    for name in CASES:
        work(name, _BATCH)
    if len(sys.argv) > 2:
        work(sys.argv[1], int(sys.argv[2]))
