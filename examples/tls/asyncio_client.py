"""A client over TLS on asyncio that trusts one certificate and nothing else."""

from __future__ import annotations

import asyncio
import ssl

from autobahnlike.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS


class EchoClient(WebSocketClientProtocol):
    def onOpen(self) -> None:
        self.sendMessage(b"Hello, world")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(payload.decode())
        self.sendClose(1000)


async def main() -> None:
    factory = WebSocketClientFactory("wss://localhost:9000/")
    factory.protocol = EchoClient
    # Without `ssl`, the trust roots of the platform decide. The name is verified either way.
    _, client = await connectWS(factory, ssl=ssl.create_default_context(cafile="client.pem"))
    await client.is_closed


asyncio.run(main())
