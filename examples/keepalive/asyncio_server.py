"""A server on asyncio with short deadlines: clients that fall silent are dropped soon."""

from __future__ import annotations

import asyncio
import signal

from autobahnlike.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol


class Impatient(WebSocketServerProtocol):
    def onPong(self, payload: bytes) -> None:
        print(f"{self.peer} lives")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"{self.peer} is gone: {reason}")


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)

    factory = WebSocketServerFactory()
    factory.protocol = Impatient
    factory.setProtocolOptions(
        # From connecting to open, whatever the client does.
        openHandshakeTimeout=2,
        # A ping after a second of silence, and two for the answer.
        autoPingInterval=1,
        autoPingTimeout=2,
        # From a close frame to the answer.
        closeHandshakeTimeout=2,
    )
    server = await loop.create_server(factory, "127.0.0.1", 9000)
    await stop.wait()
    server.close()
    await factory.shutdown()


asyncio.run(main())
