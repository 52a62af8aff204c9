"""An echo server on asyncio: whatever comes goes back."""

from __future__ import annotations

import asyncio
import signal

from autobahnlike.asyncio.websocket import ConnectionRequest, WebSocketServerFactory, WebSocketServerProtocol


class EchoServer(WebSocketServerProtocol):
    def onConnect(self, request: ConnectionRequest) -> None:
        print(f"{request.peer} connects")

    def onOpen(self) -> None:
        print("open")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        print(f"{len(payload)} bytes, {'binary' if isBinary else 'text'}")
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"closed: {code} {reason}")


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)

    factory = WebSocketServerFactory()
    factory.protocol = EchoServer
    server = await loop.create_server(factory, "127.0.0.1", 9000)
    await stop.wait()
    server.close()
    await factory.shutdown()


asyncio.run(main())
