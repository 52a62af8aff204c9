"""Standard input without blocking the loop, whatever it is: a terminal, a pipe, a file or nothing."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

__all__ = ("StdinReader",)

_SIZE = 65536


class StdinReader:
    """Reads standard input in a thread, a piece each time that one is asked for.

    A thread, because ``loop.connect_read_pipe`` takes neither files nor /dev/null, and makes a terminal non-blocking
    for the shell as well. It is a daemon, because a read from a terminal cannot be ended; and it reads the descriptor
    itself, because a daemon that holds the lock of ``sys.stdin`` makes the interpreter abort when it exits.

    To be made while a loop runs.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._wanted = threading.Semaphore(0)
        # None if the process was started without standard input: then its number may be that of any other file by now.
        self._descriptor = None if sys.stdin is None else sys.stdin.fileno()
        threading.Thread(target=self._run, daemon=True, name="stdin").start()

    async def read(self) -> bytes:
        """Return the next piece, ``b""`` at the end."""
        self._wanted.release()
        return await self._chunks.get()

    def _run(self) -> None:
        chunk = None
        while chunk != b"":
            self._wanted.acquire()
            chunk = self._read()
            try:
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                return

    def _read(self) -> bytes:
        if self._descriptor is None:
            return b""
        try:
            return os.read(self._descriptor, _SIZE)
        except OSError:
            # A terminal whose other end has gone gives an error instead of an end.
            return b""
