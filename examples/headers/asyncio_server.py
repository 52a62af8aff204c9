"""A server on asyncio that reads headers and cookies of the request and sets some in the response."""

from __future__ import annotations

import asyncio
import signal
from http.cookies import SimpleCookie

from autobahnlike.asyncio.websocket import ConnectionRequest, WebSocketServerFactory, WebSocketServerProtocol


class Visits(WebSocketServerProtocol):
    visits = 0

    def onConnect(self, request: ConnectionRequest) -> tuple[None, dict[str, str | list[str]]]:
        cookies = SimpleCookie(request.headers.get("cookie", ""))
        if "visits" in cookies and cookies["visits"].value.isdecimal():
            self.visits = int(cookies["visits"].value)
        self.visits += 1
        # No subprotocol, and these header fields; a list makes one line of each of its values.
        return None, {
            "X-Served-By": "autobahnlike",
            "Set-Cookie": [f"visits={self.visits}; HttpOnly; SameSite=Strict", "theme=plain"],
        }

    def onOpen(self) -> None:
        self.sendMessage(f"visit {self.visits}".encode())


async def main() -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)

    factory = WebSocketServerFactory()
    factory.protocol = Visits
    server = await loop.create_server(factory, "127.0.0.1", 9000)
    await stop.wait()
    server.close()
    await factory.shutdown()


asyncio.run(main())
