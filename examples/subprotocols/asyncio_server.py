"""A server on asyncio that speaks two subprotocols, and refuses clients that speak neither."""

from __future__ import annotations

import asyncio
import json
import signal

from autobahnlike.asyncio.websocket import (
    ConnectionDeny,
    ConnectionRequest,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)

SUPPORTED = ("numbers.json", "numbers.text")


class Doubler(WebSocketServerProtocol):
    def onConnect(self, request: ConnectionRequest) -> str:
        for protocol in request.protocols:
            if protocol in SUPPORTED:
                return protocol
        raise ConnectionDeny(ConnectionDeny.BAD_REQUEST, f"speak one of {', '.join(SUPPORTED)}")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        try:
            number = float(
                json.loads(payload)["number"] if self.websocket_protocol_in_use == "numbers.json" else payload
            )
        except (ValueError, TypeError, KeyError):
            self.sendClose(1008, "send a number")
            return
        doubled = {"number": 2 * number} if self.websocket_protocol_in_use == "numbers.json" else 2 * number
        self.sendMessage(json.dumps(doubled).encode())


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)

    factory = WebSocketServerFactory()
    factory.protocol = Doubler
    server = await loop.create_server(factory, "127.0.0.1", 9000)
    await stop.wait()
    server.close()
    await factory.shutdown()


asyncio.run(main())
