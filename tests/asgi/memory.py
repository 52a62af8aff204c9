"""A server for applications in memory: a fake loop whose time stands still, a fake link, and the application itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from autobahnlike.asgi import ServerOptions
from autobahnlike.asgi.http import HttpConnection
from autobahnlike.asgi.server import Server
from autobahnlike.asgi.websocket import ASGIWebSocket
from autobahnlike.websocket.protocol import WebSocketServerFactory
from tests.asgi.kit import Answer, Application, parse_answer_head
from tests.conformance.kit import request
from tests.websocket.ends import FakeLink, FakeLoop
from tests.wire.helpers import MASK, Frame, frame, parse_frames


class Site:
    """An application and its server.

    Attributes:
        loop: the loop; ``loop.failures`` has what was logged with an exception.
    """

    def __init__(self, app: Application, **options: Any) -> None:
        self.loop = FakeLoop()
        self.server = Server(app, self.loop, ServerOptions(**{"lifespan": "off", **options}))
        factory: Any = type("Factory", (WebSocketServerFactory,), {"_event_loop": self.loop})()
        factory.protocol = ASGIWebSocket
        factory.setProtocolOptions(**self.server.options.of_websockets())
        self.server.websockets = factory

    def connect(self, *data: bytes) -> Conversation:
        """A client connects, and sends."""
        conversation = Conversation(self)
        conversation.receive(*data)
        return conversation

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        if not seconds:
            self.loop.clock.advance(0)
        else:
            self.loop.clock.pump([0.05] * round(seconds / 0.05))

    def run(self, coroutine: Any) -> Deferred[Any]:
        """Run something of the server's."""
        return Deferred.fromCoroutine(coroutine)


class Conversation:
    """A connection of a client with the server.

    Attributes:
        link: what the server writes to.
        session: what the server has for the connection: first of HTTP, then of a WebSocket.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        link: Any = FakeLink()
        link.end = self
        self.link = link
        self.protocol: Any = None
        self.session: Any = HttpConnection(site.server, link, self._upgrade)

    def _upgrade(self, head: bytes, rest: bytes) -> None:
        factory = self.site.server.websockets
        protocol = self.protocol = factory.protocol()
        protocol.factory = factory
        protocol.asgi_server = self.site.server
        protocol.head = head
        protocol._connectionMade(self.link, factory._resolve_options(protocol))
        self.session = protocol._session
        self.session.data_received(head + rest)

    def receive(self, *data: bytes) -> None:
        """The client sends something."""
        for piece in data:
            self.session.data_received(piece)

    def frame(self, opcode: int, payload: bytes = b"", **details: Any) -> None:
        """The client sends a frame."""
        self.receive(frame(opcode, payload, **{"mask": MASK, **details}))

    def lose(self) -> None:
        """The connection is lost."""
        self.session.connection_lost()

    def take(self) -> bytes:
        """Take what the server has written."""
        data = bytes(self.link.written)
        self.link.written.clear()
        return data

    def frames(self) -> list[Frame]:
        """Take what the server has written, as frames."""
        return parse_frames(self.take())

    def answers(self, *methods: str) -> list[Answer]:
        """Take what the server has written, as responses; to what, if that is not GET."""
        answers: list[Answer] = []
        data = self.take()
        while data:
            head, end, data = data.partition(b"\r\n\r\n")
            assert end, head
            answer = parse_answer_head(head.decode("latin-1"))
            method = methods[len(answers)] if len(answers) < len(methods) else "GET"
            answers.append(answer)
            if method == "HEAD" or answer.status in (100, 204, 304):
                continue
            if answer.header("transfer-encoding") == "chunked":
                while data:
                    size, _, data = data.partition(b"\r\n")
                    count = int(size, 16)
                    answer.body += data[:count]
                    data = data[count + 2 :]
                    if not count:
                        break
            else:
                length = answer.header("content-length")
                count = len(data) if length is None else int(length)
                answer.body, data = data[:count], data[count:]
        return answers

    def answer(self, method: str = "GET") -> Answer:
        """Take the one response that was written."""
        (answer,) = self.answers(method)
        return answer

    @property
    def is_over(self) -> bool:
        """Whether the server has ended the connection."""
        return bool({"finish", "close", "abort"} & set(self.link.calls))

    @property
    def is_aborted(self) -> bool:
        """Whether it was dropped."""
        return "abort" in self.link.calls


def start(awaitable: Any) -> Deferred[Any]:
    """Run an awaitable of an application's beside it."""
    return Deferred.fromCoroutine(awaitable)


def websocket(site: Site, target: str = "/", headers: str = "") -> Conversation:
    """A client asks for a WebSocket."""
    return site.connect(request(target, headers))


class Journaled:
    """An application made of a function that is given the journal, too."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.journal: list[Any] = []
        self._function = function

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._function(self.journal, scope, receive, send)


class Records(logging.Handler):
    """What is logged with Python's ``logging``."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
