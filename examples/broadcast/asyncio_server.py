"""A broadcast server on asyncio: what one client says goes to all, and slow readers hold up nobody."""

from __future__ import annotations

import asyncio
import signal
from typing import ClassVar

from autobahnlike.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol

# A client that has more than this waiting misses messages; one that takes nothing at all is dropped by the keepalive.
MAX_WAITING = 1024 * 1024


class Broadcast(WebSocketServerProtocol):
    clients: ClassVar[set[Broadcast]] = set()

    def onOpen(self) -> None:
        self.clients.add(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        too_slow = [client for client in self.clients if client.bufferedAmount > MAX_WAITING]
        self.factory.broadcast(payload, isBinary, exclude=too_slow)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.clients.discard(self)


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)

    factory = WebSocketServerFactory()
    factory.protocol = Broadcast
    server = await loop.create_server(factory, "127.0.0.1", 9000)
    await stop.wait()
    server.close()
    await factory.shutdown()


asyncio.run(main())
