"""A server on Twisted that reads headers and cookies of the request and sets some in the response."""

from __future__ import annotations

from http.cookies import SimpleCookie

from twisted.internet import reactor

from autobahnlike.twisted.websocket import ConnectionRequest, WebSocketServerFactory, WebSocketServerProtocol


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


factory = WebSocketServerFactory()
factory.protocol = Visits

reactor.listenTCP(9000, factory, interface="127.0.0.1")
reactor.run()
