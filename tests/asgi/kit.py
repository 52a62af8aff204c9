"""What scenarios about ASGI are written against: the kits of the conformance suite, with a server for applications."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autobahnlike.asgi import ServerOptions
from tests.conformance.kit import Kit, request
from tests.conformance.peers import Listener, RawPeer
from tests.wire.helpers import TEXT

if TYPE_CHECKING:
    from autobahnlike.asgi.scope import Event, Receive, Scope, Send

Application = Callable[["Scope", "Receive", "Send"], Awaitable[None]]


class AppKit(Kit):
    """A loop that serves applications.

    Attributes:
        sites: what is served, stopped at the end of the scenario.
    """

    sites: list[Any]

    async def serve_app(
        self, app: Application, *, unix: str | None = None, host: str = "127.0.0.1", tls: Any = None, **options: Any
    ) -> Listener:
        """Serve an application; without lifespan, unless ``lifespan`` is given."""
        settings = ServerOptions(**{"lifespan": "off", **options})
        sockets = [_listen(unix, host)]
        address: Any = sockets[0].getsockname()
        stop = await self._start(app, sockets, tls, settings)
        is_stopped = False

        async def stop_once() -> None:
            nonlocal is_stopped
            if not is_stopped:
                is_stopped = True
                await stop()

        self.sites = [*getattr(self, "sites", ()), stop_once]
        if unix is not None:
            return Listener("", 0, unix, stop_once)
        return Listener(address[0], address[1], None, stop_once)

    async def _start(
        self, app: Application, sockets: list[socket.socket], tls: Any, options: ServerOptions
    ) -> Callable[[], Awaitable[None]]:
        raise NotImplementedError

    async def ask(self, app: Application, *more: bytes, headers: str = "", target: str = "/", **options: Any) -> Any:
        """Serve an application and ask it for a WebSocket; returns the raw peer that waits for the answer."""
        where = await self.serve_app(app, **options)
        peer = await self.open_raw(where)
        peer.send(request(target, headers), *more)
        return peer

    async def talk(self, app: Application, *more: bytes, headers: str = "", **options: Any) -> RawPeer:
        """The same, for an application that accepts."""
        peer: RawPeer = await self.ask(app, *more, headers=headers, **options)
        head = await peer.read_head()
        assert head.startswith("HTTP/1.1 101 "), head
        return peer

    async def end_sites(self) -> None:
        """Stop what is served; its clients are gone by then."""
        for peer in self.raw_peers:
            if not peer.is_over:
                peer.abort()
        for stop in getattr(self, "sites", ()):
            await stop()


def _listen(unix: str | None, host: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind(unix or (host, 0))
    sock.listen(128)
    sock.setblocking(False)
    return sock


@dataclass
class Answer:
    """A response: its status, its header fields in order, names in lower case, and its body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header field, None if it is not there; several are joined."""
        values = [value for found, value in self.headers if found == name]
        return ", ".join(values) if values else None


def parse_answer_head(head: str) -> Answer:
    first, *lines = head.rstrip("\r\n").split("\r\n")
    found = re.fullmatch(r"HTTP/1\.1 (\d{3}) [ -~]+", first)
    assert found, first
    pairs = [line.split(":", 1) for line in lines]
    return Answer(int(found[1]), [(name.lower(), value.strip()) for name, value in pairs], b"")


def _has(peer: RawPeer, size: int) -> bool:
    return len(peer.received) >= size


async def read_answer(peer: RawPeer, method: str = "GET") -> Answer:
    """Read a response, with its body."""
    answer = parse_answer_head(await peer.read_head())
    length = answer.header("content-length")
    if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
        return answer
    if answer.header("transfer-encoding") == "chunked":
        body = bytearray()
        while True:
            await peer._until(lambda: b"\r\n" in peer.received, "a chunk's header")
            size = int(peer._take(peer.received.index(b"\r\n") + 2), 16)
            await peer._until(partial(_has, peer, size + 2), "a chunk")
            body += peer._take(size + 2)[:-2]
            if not size:
                answer.body = bytes(body)
                return answer
    elif length is not None:
        await peer._until(lambda: len(peer.received) >= int(length), "a body")
        answer.body = peer._take(int(length))
    else:
        answer.body = await peer.read_rest()
    return answer


def get(target: str = "/", headers: str = "", method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    """A request."""
    if body:
        headers += f"Content-Length: {len(body)}\r\n"
    return f"{method} {target} HTTP/{version}\r\nHost: localhost\r\n{headers}\r\n".encode() + body


# -- Applications


def websocket_app(view: Callable[[Receive, Send], Awaitable[None]]) -> Application:
    """An application that accepts and then goes on as a function does."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await view(receive, send)

    return app


async def echo_view(receive: Receive, send: Send) -> None:
    """Send back what comes, to the end."""
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})


async def respond(send: Send, body: bytes = b"", status: int = 200, headers: Any = ()) -> None:
    """Send a response in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes | None:
    """Receive a body; None if the client goes away before."""
    body = b""
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return None
        body += bytes(event["body"])
        if not event["more_body"]:
            return body


async def hello_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Says hello over HTTP, with what it was sent, and echoes on WebSockets."""
    if scope["type"] == "websocket":
        await websocket_app(echo_view)(scope, receive, send)
        return
    body = await read_body(receive)
    await respond(send, f"{scope['method']} {scope['path']} ".encode() + (body or b""))


async def chat(kit: AppKit, peer: RawPeer, text: str = "hello") -> None:
    """Show that an echo still answers."""
    peer.send_frame(TEXT, text.encode())
    got = await peer.read_frame()
    assert (got.opcode, got.payload) == (TEXT, text.encode())


async def disconnected(receive: Receive) -> Event:
    """Receive until the end."""
    while True:
        event = await receive()
        if event["type"].endswith("disconnect"):
            return event


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
