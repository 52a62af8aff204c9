"""Reading from a socket and writing to one, without the transport that owns it.

It saves what a transport does around the system call, which for a small message is as much as the call itself. Where a
platform cannot do it (``IS_AVAILABLE``), the edges leave it to their transports.

This is the second of the two modules that are written twice: here with what ``os`` has, in ``direct.pyx`` with the
system calls themselves. What they do is the same.
"""

from __future__ import annotations

import os

__all__ = ("IS_AVAILABLE", "receive", "receive_into", "send")

IS_AVAILABLE = hasattr(os, "readv") and hasattr(os, "writev")

# No more than this is handed over at once; systems allow 1024, and POSIX guarantees 16.
_MOST_CHUNKS = 16


def receive(fd: int, limit: int) -> bytes | None:
    """Read what has arrived.

    Args:
        fd: the file descriptor of a socket that does not block.
        limit: bytes to read at the most.

    Returns:
        What was read: nothing if the peer has ended its side, None if nothing has arrived.

    Raises:
        OSError: the connection is broken.
    """
    try:
        return os.read(fd, limit)
    except BlockingIOError:
        return None


def receive_into(fd: int, view: memoryview) -> int:
    """Read what has arrived into memory.

    Args:
        fd: the file descriptor of a socket that does not block.
        view: the memory.

    Returns:
        How many bytes were read: 0 if the peer has ended its side, -1 if nothing has arrived.

    Raises:
        OSError: the connection is broken.
    """
    try:
        return os.readv(fd, [view])
    except BlockingIOError:
        return -1


def send(fd: int, chunks: list[bytes | bytearray | memoryview]) -> int:
    """Write as much as the system takes now.

    Args:
        fd: the file descriptor of a socket that does not block.
        chunks: what to write, in order; at least one chunk.

    Returns:
        How many bytes were taken; it may be less than there are, and 0.

    Raises:
        OSError: the connection is broken.
    """
    try:
        if len(chunks) == 1:
            return os.write(fd, chunks[0])
        return os.writev(fd, chunks[:_MOST_CHUNKS])
    except BlockingIOError:
        return 0
