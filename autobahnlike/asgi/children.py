"""Processes that serve on sockets of their parent: how they are started, say that they are ready, and are ended.

A child is the same command again, with ``--inherit`` and the numbers of what it inherits: one end of a socket pair, and
the sockets that listen; those that are for its place alone, where one child comes after another, stand behind a colon,
or behind two as long as its predecessor is there. Through the pair it says that it is ready, and is told when its
successor is. When the other end is closed, its parent has gone, however that came about, and it stops.

The parent ends a child with SIGTERM, and with SIGKILL where that is not enough. SIGINT, which a terminal sends to both,
is the parent's.

To be used on a loop of asyncio, which the parent runs whatever its children run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import Awaitable, Callable, Sequence

from autobahnlike.asgi.failure import CannotServe
from autobahnlike.asgi.signals import leave_interrupts_to_the_parent, on_first_signal

__all__ = ("OPTION", "Child", "Children", "Inheritance", "command_of", "describe", "require_inheritance", "supervise")

_log = logging.getLogger("autobahnlike.asgi")

_READY = b"+"
_SUCCEEDED = b"-"

OPTION = "--inherit"
"""The option of the command line that makes a process a child."""


class Inheritance:
    """In a child: what it got from its parent.

    Args:
        text: what followed ``--inherit``.
        stop_timeout: seconds that the process may take to stop when its parent has gone.

    Attributes:
        sockets: those to listen on.
        own_sockets: those that are for the place of this process alone.
        is_successor: whether its predecessor listens on these until this one is ready.
        on_succeeded: called, in a thread of its own, when the successor of this process is ready.

    Raises:
        CannotServe: it was not a parent of ours that started the process.
    """

    def __init__(self, text: str, stop_timeout: float) -> None:
        self._stop_timeout = stop_timeout
        self.on_succeeded: Callable[[], object] = lambda: None
        leave_interrupts_to_the_parent()
        shared, colons, own = text.partition("::" if "::" in text else ":")
        self.is_successor = len(colons) > 1
        try:
            self._parent, *self.sockets = _adopt(shared)
            self.own_sockets = _adopt(own) if own else []
        except (OSError, ValueError):
            raise CannotServe(f"{OPTION} is for processes that --workers and --reload start", True) from None
        for sock in (self._parent, *self.sockets, *self.own_sockets):
            sock.set_inheritable(False)
        for sock in (*self.sockets, *self.own_sockets):
            # They do not block, but a socket object made of a number does not know, and its duplicates would have them
            # block, in all processes at once: who comes too late for a connection would wait in accept() for another.
            sock.setblocking(False)
        threading.Thread(target=self._watch, daemon=True, name="parent").start()

    def _watch(self) -> None:
        try:
            while self._parent.recv(1) == _SUCCEEDED:
                self.on_succeeded()
        except OSError:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._stop_timeout)
        os.kill(os.getpid(), signal.SIGKILL)

    def ready(self) -> None:
        """Tell the parent that clients can connect."""
        try:
            self._parent.send(_READY)
        except OSError:
            # The parent has gone, which ``_watch`` sees as well.
            pass


def _adopt(numbers: str) -> list[socket.socket]:
    return [socket.socket(fileno=int(number)) for number in numbers.split(",")]


class Child:
    """In the parent: one process.

    Args:
        process: the process.
        pair: the parent's end of the socket pair.

    Attributes:
        pid: its number.
    """

    def __init__(self, process: Process, pair: socket.socket) -> None:
        self.pid = process.pid
        self._pair = pair
        self._process = process
        self._reading = asyncio.ensure_future(_read_one(pair))
        self._ended = asyncio.ensure_future(self._follow(pair))

    async def _follow(self, pair: socket.socket) -> int:
        status = await self._process.wait()
        self._reading.cancel()
        await asyncio.wait({self._reading})
        pair.close()
        return status

    async def wait(self) -> int:
        """Wait for its end, and return its status, which is -N if signal N ended it."""
        # Who waits may be cancelled, and others wait as well.
        return await asyncio.shield(self._ended)

    async def is_ready(self) -> bool:
        """Wait until it is ready; False if it ends before. How long it may take is up to the application."""
        await asyncio.wait({self._reading, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        if not self._reading.done():
            return False
        if not self._reading.cancelled() and self._reading.result() == _READY:
            return True
        # It has closed its end, which it does when it ends.
        await self.wait()
        return False

    def succeeded(self) -> None:
        """Tell it that its successor is ready."""
        try:
            self._pair.send(_SUCCEEDED)
        except OSError:
            # It has ended.
            pass

    def on_end(self, callback: Callable[[], object]) -> None:
        """Have something called when it has ended."""
        self._ended.add_done_callback(lambda _: callback())

    async def stop(self, patience: float) -> None:
        """End it, gracefully at first.

        Args:
            patience: seconds until it is killed.
        """
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), patience)
        except TimeoutError:
            _log.error("worker %d did not stop within %g seconds and is killed", self.pid, patience)
            self.kill()
            await self.wait()

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if not self._ended.done():
            try:
                self._process.send_signal(number)
            except ProcessLookupError:
                # It has ended, which the loop has not told yet.
                pass


async def _read_one(sock: socket.socket) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(sock, 1)
    except OSError:
        return b""


class Children:
    """In the parent: all processes.

    Args:
        command: what starts one, without ``--inherit``.
        sockets: what they listen on.
        stop_timeout: seconds that one may take to stop.
        places: what else the process of each place listens on; nothing if it is empty.
    """

    def __init__(
        self,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        stop_timeout: float,
        places: Sequence[Sequence[socket.socket]] = (),
    ) -> None:
        self.stop_timeout = stop_timeout
        self._places = places
        self._command = command
        self._sockets = sockets
        self._running: set[Child] = set()

    async def start(self, place: int = 0, *, is_successor: bool = False) -> Child:
        """Start another one.

        Args:
            place: the number of its place.
            is_successor: whether the one before it is there until it is ready.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            numbers = [theirs.fileno(), *(sock.fileno() for sock in self._sockets)]
            own = [sock.fileno() for sock in self._places[place]] if self._places else []
            text = ",".join(map(str, numbers))
            if own:
                text += ("::" if is_successor else ":") + ",".join(map(str, own))
            try:
                process = await create_subprocess_exec(*self._command, OPTION, text, pass_fds=[*numbers, *own])
            except BaseException:
                ours.close()
                raise
        child = Child(process, ours)
        self._running.add(child)
        child.on_end(lambda: self._running.discard(child))
        return child

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*(child.stop(self.stop_timeout) for child in self._running))

    def kill(self) -> None:
        """End all of them at once."""
        for child in list(self._running):
            child.kill()


def command_of(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs ``autobahnlike`` again, in the same interpreter with the same options."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-m", "autobahnlike", *arguments]


def describe(status: int) -> str:
    """Return how a process ended, in words."""
    return f"status {status}" if status >= 0 else signal.Signals(-status).name


def require_inheritance() -> None:
    """Refuse a platform where processes cannot share sockets in this way.

    Raises:
        CannotServe: it is such a one.
    """
    if os.name != "posix":
        raise CannotServe(f"--workers and --reload hand sockets to other processes, which {sys.platform} cannot", True)


def supervise(children: Children, look_after: Callable[[], Awaitable[int]]) -> int:
    """Look after children until the first SIGINT or SIGTERM; then stop them. A second signal ends all of them at once.

    Args:
        children: whose.
        look_after: starts them, and returns with an exit status when it gives up.

    Returns:
        The exit status.
    """
    return asyncio.run(_supervise(children, look_after))


async def _supervise(children: Children, look_after: Callable[[], Awaitable[int]]) -> int:
    loop = asyncio.get_running_loop()
    looking_after = asyncio.ensure_future(look_after())

    def stop() -> None:
        looking_after.cancel()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, end, each)

    def end(number: signal.Signals) -> None:
        children.kill()
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    on_first_signal(stop, loop)
    try:
        return await looking_after
    except asyncio.CancelledError:
        return 0
    finally:
        await children.stop()
