"""An echo server over TLS on asyncio. It needs a certificate: examples/README.md says how to make one."""

from __future__ import annotations

import asyncio
import signal
import ssl

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

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("server.pem", "server.key")
    server = await loop.create_server(factory, "127.0.0.1", 9000, ssl=context)
    await stop.wait()
    server.close()
    await factory.shutdown()


asyncio.run(main())
