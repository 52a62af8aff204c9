"""One end of a connection in memory: a protocol over a fake link and a fake loop, with fake time."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from autobahnlike.twisted.loop import TwistedLoop
from autobahnlike.websocket.protocol import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from tests.conformance.kit import response
from tests.wire.helpers import MASK, REQUEST, Frame, frame, parse_frames


class FakeLoop(TwistedLoop):
    """A loop whose time stands still until a test moves it, and which keeps what it is told to log."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.failures: list[tuple[str, BaseException]] = []
        super().__init__(self.clock)

    def log_failure(self, message: str, error: BaseException) -> None:
        self.failures.append((message, error))


class FakeLink:
    """A transport that takes everything, or, once it is told to be full, asks for a pause.

    Attributes:
        written: what was written and not looked at yet.
        calls: what else was asked of it.
        is_full: whether it asks for a pause when something is written.
    """

    def __init__(self, *, is_secure: bool = False) -> None:
        self.peer = "tcp4:192.0.2.1:1234"
        self.own = "tcp4:192.0.2.2:80"
        self.is_secure = is_secure
        self.written = bytearray()
        self.calls: list[str] = []
        self.writes = 0
        self.is_full = False
        self.buffered = 0
        self.end: End

    def write(self, chunks: list[bytes | bytearray | memoryview]) -> None:
        self.writes += 1
        for chunk in chunks:
            self.written += chunk
        if self.is_full:
            self.end.session.writing_paused()

    def go_direct(self, readable: Any) -> int:
        return -1

    def finish(self) -> None:
        self.calls.append("finish")

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class FakeLog:
    """What a protocol logs beside failures."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.details: list[str] = []

    def warn(self, text: str, **values: Any) -> None:
        self.warnings.append(text.format(**values))

    def debug(self, text: str, **values: Any) -> None:
        self.details.append(text.format(**values))


class Noting:
    """Hooks that note what they are told in ``events``."""

    events: list[tuple[Any, ...]]

    def onConnecting(self, transport_details: Any) -> Any:
        self.events.append(("connecting",))

    def onConnect(self, request_or_response: Any) -> Any:
        self.events.append(("connect",))

    def onOpen(self) -> Any:
        self.events.append(("open",))

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        self.events.append(("message", payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> Any:
        self.events.append(("close", wasClean, code, reason))


class NotingServer(Noting, WebSocketServerProtocol):
    """A server that notes."""


class NotingClient(Noting, WebSocketClientProtocol):
    """A client that notes."""


class End:
    """One end.

    Args:
        protocol: its class.
        is_secure: whether the link claims to be TLS.
        **options: options of the factory.
    """

    def __init__(self, protocol: type[Any] = NotingServer, *, is_secure: bool = False, **options: Any) -> None:
        self.loop = FakeLoop()
        is_server = issubclass(protocol, WebSocketServerProtocol)
        base: Any = WebSocketServerFactory if is_server else WebSocketClientFactory
        self.factory: Any = type("Factory", (base,), {"_event_loop": self.loop})()
        self.factory.setProtocolOptions(**options)
        self.protocol = protocol()
        self.protocol.factory = self.factory
        self.events: list[Any] = []
        self.protocol.events = self.events
        self.protocol.log = self.log = FakeLog()
        self.link = FakeLink(is_secure=is_secure)
        self.link.end = self
        self.mask = MASK if is_server else None

    @property
    def session(self) -> Any:
        """The session, once it is connected."""
        return self.protocol._session

    def connect(self) -> End:
        """The transport is connected."""
        self.protocol._connectionMade(self.link, self.factory._resolve_options(self.protocol))
        return self

    def receive(self, *data: bytes) -> None:
        """The transport has read something."""
        self.session.data_received(b"".join(data))

    def frame(self, opcode: int, payload: bytes = b"", **details: Any) -> bytes:
        """A frame as the peer of this end sends it."""
        return frame(opcode, payload, **{"mask": self.mask, **details})

    def open(self) -> End:
        """Connect and, on a server, do the opening handshake."""
        self.connect()
        self.receive(REQUEST)
        self.take()
        self.events.clear()
        return self

    def take(self) -> bytes:
        """Take what was written."""
        data = bytes(self.link.written)
        self.link.written.clear()
        return data

    def sent(self) -> list[Frame]:
        """Take what was written, as frames."""
        return parse_frames(self.take())

    def advance(self, seconds: float) -> None:
        """Let time go by, in steps as small as no deadline in a test."""
        self.loop.clock.pump([0.0] if not seconds else [0.05] * round(seconds / 0.05))

    def names(self) -> list[str]:
        """The names of the events."""
        return [event[0] for event in self.events]


def answer_to(request: bytes, headers: str = "") -> bytes:
    """A server's answer to the opening handshake of a client."""
    return response(request.decode(), headers)
