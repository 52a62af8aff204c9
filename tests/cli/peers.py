"""What the command line talks to in these tests: a client, and servers that run in a thread."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autobahnlike.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
    connectWS,
)
from tests.cli.process import DEADLINE


class Client(WebSocketClientProtocol):
    """Collects what it receives."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.received.put_nowait((payload, isBinary))


async def open_client(url: str) -> Client:
    factory = WebSocketClientFactory(url)
    factory.protocol = Client
    _, client = await connectWS(factory)
    assert isinstance(client, Client)
    await client.is_open
    return client


async def echo(client: Client, payload: bytes, is_binary: bool) -> tuple[bytes, bool]:
    client.sendMessage(payload, is_binary)
    return await asyncio.wait_for(client.received.get(), DEADLINE)


async def visit(url: str, talk: Callable[[Client], Any]) -> Any:
    """Open a connection, talk, close it, and return what ``talk`` returned."""
    client = await open_client(url)
    result = await talk(client)
    client.sendClose(1000)
    await client.is_closed
    assert client.wasClean
    return result


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


@contextmanager
def server(protocol: Callable[[], Any] = Echo, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server in a thread, and its URL."""
    ready = threading.Event()
    url = ""
    loop: asyncio.AbstractEventLoop
    stopped: asyncio.Event

    async def run() -> None:
        nonlocal url, loop, stopped
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        factory = WebSocketServerFactory()
        factory.protocol = protocol
        listening = await loop.create_server(factory, "127.0.0.1", 0, ssl=tls)
        url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        ready.set()
        await stopped.wait()
        listening.close()
        await factory.shutdown(timeout=0)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(DEADLINE)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(DEADLINE)
        assert not thread.is_alive()
