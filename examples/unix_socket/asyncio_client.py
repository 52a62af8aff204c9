"""A client on a Unix domain socket, on asyncio."""

from __future__ import annotations

import asyncio

from autobahnlike.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol


class EchoClient(WebSocketClientProtocol):
    def onOpen(self) -> None:
        self.sendMessage(b"Hello, world")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode())
        self.sendClose(1000)


async def main() -> None:
    # What the request asks for; where it goes is said below.
    factory = WebSocketClientFactory("ws://localhost/")
    factory.protocol = EchoClient
    loop = asyncio.get_running_loop()
    _, client = await loop.create_unix_connection(factory, "echo.sock")
    await client.is_closed


asyncio.run(main())
