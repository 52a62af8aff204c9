"""A server on asyncio with hooks that take their time."""

from __future__ import annotations

import asyncio
import signal

from autobahnlike.asyncio.util import sleep
from autobahnlike.asyncio.websocket import (
    ConnectionDeny,
    ConnectionRequest,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)


class Slow(WebSocketServerProtocol):
    async def onConnect(self, request: ConnectionRequest) -> None:
        # The client waits for its answer until this is done.
        await sleep(0.01)
        if "token" not in request.params:
            raise ConnectionDeny(ConnectionDeny.FORBIDDEN, "no token")

    async def onMessage(self, payload: bytes, isBinary: bool) -> None:
        # The next message of this client waits as well, so answers keep their order; other clients do not wait.
        await sleep(0.1 / (1 + len(payload)))
        self.sendMessage(payload.upper(), isBinary)


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)

    factory = WebSocketServerFactory()
    factory.protocol = Slow
    server = await loop.create_server(factory, "127.0.0.1", 9000)
    await stop.wait()
    server.close()
    await factory.shutdown()


asyncio.run(main())
