"""All four callbacks on asyncio, in the shape of Autobahn's programming guide; the port is the argument."""

from __future__ import annotations

import asyncio
import sys

from autobahnlike.asyncio.websocket import ConnectionRequest, WebSocketServerFactory, WebSocketServerProtocol


class MyServerProtocol(WebSocketServerProtocol):
    def onConnect(self, request: ConnectionRequest) -> None:
        print(f"Client connecting: {request.peer}")

    def onOpen(self) -> None:
        print("WebSocket connection open.")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if isBinary:
            print(f"Binary message received: {len(payload)} bytes")
        else:
            print(f"Text message received: {payload.decode('utf8')}")
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        print(f"WebSocket connection closed: {reason}")


if __name__ == "__main__":
    factory = WebSocketServerFactory()
    factory.protocol = MyServerProtocol

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(factory, "127.0.0.1", int(sys.argv[1])))

    try:
        loop.run_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
        loop.close()
