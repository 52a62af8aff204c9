"""A client on asyncio, for the echo server beside it."""

from __future__ import annotations

import asyncio

from autobahnlike.asyncio.websocket import (
    ConnectionResponse,
    WebSocketClientFactory,
    WebSocketClientProtocol,
    connectWS,
)


class EchoClient(WebSocketClientProtocol):
    def onConnect(self, response: ConnectionResponse) -> None:
        print(f"connected to {response.peer}")

    def onOpen(self) -> None:
        self.sendMessage(b"Hello, world")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode())
        self.sendClose(1000, "that was all")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"closed: {code} {reason}")


async def main() -> None:
    factory = WebSocketClientFactory("ws://127.0.0.1:9000/")
    factory.protocol = EchoClient
    _, client = await connectWS(factory)
    await client.is_closed


asyncio.run(main())
