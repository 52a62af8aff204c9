"""``serve echo`` on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from autobahnlike.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahnlike.cli.address import BACKLOG, UnixAddress, open_sockets, parse_address, url_of
from autobahnlike.cli.demo import EchoDemo, announce
from autobahnlike.cli.failure import USAGE, CommandFailed, explain
from autobahnlike.cli.signals import on_first_signal
from autobahnlike.exception import InvalidArgument

__all__ = ("serve",)


class EchoServer(EchoDemo, WebSocketServerProtocol):
    """The demo on asyncio."""


def serve(listen: str, loop: str) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        listen: where; see ``parse_address``.
        loop: "asyncio" or "uvloop".

    Raises:
        CommandFailed: it is not possible to listen there.
    """
    try:
        address = parse_address(listen)
        sockets = open_sockets(address)
    except InvalidArgument as error:
        raise CommandFailed(f"cannot listen on {listen}: {error}", USAGE) from None
    except OSError as error:
        raise CommandFailed(f"cannot listen on {listen}: {explain(error)}") from None
    try:
        with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
            runner.run(_serve(sockets, loop))
    finally:
        if isinstance(address, UnixAddress) and os.path.exists(address.path):
            os.unlink(address.path)


def _loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if loop != "uvloop":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve(sockets: list[socket.socket], name: str) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    on_first_signal(lambda: loop.call_soon_threadsafe(stopped.set), loop)
    factory = WebSocketServerFactory()
    factory.protocol = EchoServer
    urls = list(map(url_of, sockets))
    servers = [await _listen(loop, factory, sock) for sock in sockets]
    announce(urls, name)
    await stopped.wait()
    for server in servers:
        server.close()
    await factory.shutdown()


async def _listen(
    loop: asyncio.AbstractEventLoop, factory: WebSocketServerFactory, sock: socket.socket
) -> asyncio.AbstractServer:
    if isinstance(sock.getsockname(), str):
        return await loop.create_unix_server(factory, sock=sock, backlog=BACKLOG)
    return await loop.create_server(factory, sock=sock, backlog=BACKLOG)
