"""Running a server on asyncio or uvloop until a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from autobahnlike.asgi.address import url_of
from autobahnlike.asgi.signals import on_first_signal

if TYPE_CHECKING:
    from autobahnlike.asgi.runner import Server

__all__ = ("run_asyncio",)


def run_asyncio(
    server: Server,
    sockets: Sequence[socket.socket],
    loop: str,
    on_ready: Callable[[list[str]], object],
    supervised: bool = False,
) -> None:
    """Run a server until a signal ends it.

    Args:
        server: what to run.
        sockets: where it listens.
        loop: "asyncio" or "uvloop".
        on_ready: called with the URLs as soon as clients can connect.
        supervised: whether it is a parent that ends the process; see ``on_first_signal``.

    Raises:
        Exception: whatever the server raises when it starts.
    """
    urls = [url_of(sock, server.scheme) for sock in sockets]
    with contextlib.ExitStack() as stack:
        # The loop closes what it is given.
        serving = server.on_asyncio([stack.enter_context(sock.dup()) for sock in sockets])
        runner = stack.enter_context(asyncio.Runner(loop_factory=_loop_factory(loop)))
        runner.run(_until_stopped(serving, lambda: on_ready(urls), supervised))


def _loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if loop != "uvloop":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _until_stopped(
    serving: AbstractAsyncContextManager[object], on_ready: Callable[[], object], supervised: bool
) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    assert running is not None
    stopped = asyncio.Event()
    starts = True

    def stop() -> None:
        stopped.set()
        if starts:
            # What may take for ever to start must not take for ever to end.
            running.cancel()

    on_first_signal(lambda: loop.call_soon_threadsafe(stop), loop, supervised)
    try:
        async with serving:
            starts = False
            on_ready()
            await stopped.wait()
    except asyncio.CancelledError:
        if not (starts and stopped.is_set()):
            raise
