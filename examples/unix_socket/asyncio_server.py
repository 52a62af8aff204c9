"""An echo server on a Unix domain socket, on asyncio."""

from __future__ import annotations

import asyncio
import signal

from autobahnlike.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol


class EchoServer(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)

    factory = WebSocketServerFactory()
    factory.protocol = EchoServer
    server = await loop.create_unix_server(factory, "echo.sock")
    await stop.wait()
    server.close()
    await factory.shutdown()


asyncio.run(main())
