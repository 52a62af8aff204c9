"""What a server for applications has done, counted as it goes along.

To count a message costs two additions. What there is at the moment, such as connections and what waits to be written,
is not counted but looked at when somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from autobahnlike.exception import HandshakeError
from autobahnlike.wire.connection import Connection
from autobahnlike.wire.opening import OpeningHandshake
from autobahnlike.wire.options import Options

if TYPE_CHECKING:
    from autobahnlike.asgi.server import Server
    from autobahnlike.websocket.session import Session

__all__ = ("Closer", "Phase", "ServerCounters", "closing_of", "status_of_invalid")

Closer: TypeAlias = Literal["client", "server", "lost"]

Phase: TypeAlias = Literal["starting", "serving", "draining"]

_MAX_CODES = 64
_OTHER = 0
_NO_CODE = 1005
_ABNORMAL = 1006


class ServerCounters:
    """What a server has done since it was made; that it is stopped and started again makes no difference.

    To be read on any thread.

    Attributes:
        connections: the connections that were made, of HTTP and for WebSockets alike.
        requests: the responses to HTTP requests, by their status. A request whose client goes before there is a
            response has none.
        accepted: the WebSockets that were opened.
        refused: the opening handshakes that failed, by the reason and the status that the client was answered, 0 if
            there was no answer. The reasons are ``denied`` (by the application), ``failed`` (the application raised an
            exception, or returned without an answer), ``invalid`` (it is not the opening handshake of RFC 6455, section
            4.2.1), ``unavailable`` (the server was stopping, or had too many connections), ``timeout`` (the application
            did not answer within ``accept_timeout``) and ``lost`` (the client went before it had its answer).
        closed: the WebSockets that were closed, by the close code of the side that closed first, and by who that was:
            ``client``, ``server`` or, if there was no closing handshake, ``lost``, with 1006. A client can send any of
            4,000 codes: those above the first 64 that were seen are counted as 0.
        messages_in: the messages of clients.
        bytes_in: what they had, in bytes, without framing and after inflation.
        messages_out: the messages that the application has sent.
        bytes_out: what they had, in bytes, without framing and before compression.
        requests_in_progress: the HTTP requests that the application is dealing with.
        websockets: the WebSockets that are open.
        congested: the sessions of the WebSockets whose transport takes no more for now, as the client does not read.
    """

    __slots__ = (
        "accepted",
        "bytes_in",
        "bytes_out",
        "closed",
        "congested",
        "connections",
        "has_started",
        "messages_in",
        "messages_out",
        "refused",
        "requests",
        "requests_in_progress",
        "server",
        "websockets",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.requests: dict[int, int] = {}
        self.accepted = 0
        self.refused: dict[tuple[str, int], int] = {}
        self.closed: dict[tuple[int, Closer], int] = {}
        self.messages_in = 0
        self.bytes_in = 0
        self.messages_out = 0
        self.bytes_out = 0
        self.requests_in_progress = 0
        self.websockets = 0
        self.congested: set[Session] = set()
        # For what is not counted. The server sets them.
        self.server: Server | None = None
        self.has_started = False

    # -- What there is at the moment

    @property
    def phase(self) -> Phase:
        """Whether the server listens; before, it is starting, and from when it was told to stop, draining."""
        if not self.has_started:
            return "starting"
        return "draining" if self.server is None or self.server.is_stopping else "serving"

    @property
    def open_connections(self) -> int:
        """The connections that are open, of HTTP and for WebSockets alike."""
        server = self.server
        if server is None:
            return 0
        return len(server._http) + (server.websockets.countConnections if server.websockets is not None else 0)

    @property
    def queued_bytes(self) -> int:
        """What waits for the clients of the congested WebSockets, in bytes, as far as the transports tell.

        The others have no more than what a transport takes in any case, and are not worth looking at all of them.
        """
        return sum(session.buffered_amount() for session in list(self.congested))

    # -- What the server counts

    def count_request(self, status: int) -> None:
        """A response was begun."""
        self.requests[status] = self.requests.get(status, 0) + 1

    def count_opened(self) -> None:
        """A WebSocket is open."""
        self.accepted += 1
        self.websockets += 1

    def count_refused(self, reason: str, status: int) -> None:
        """An opening handshake has failed."""
        key = (reason, status)
        self.refused[key] = self.refused.get(key, 0) + 1

    def count_closed(self, code: int, by: Closer) -> None:
        """A WebSocket was closed."""
        self.websockets -= 1
        key = (code, by)
        if key not in self.closed and len(self.closed) >= _MAX_CODES:
            key = (_OTHER, by)
        self.closed[key] = self.closed.get(key, 0) + 1


def closing_of(connection: Connection, *, closes: bool, was_clean: bool) -> tuple[int, Closer]:
    """Return with which code a WebSocket was closed, and by whom.

    Args:
        connection: it, when it is over.
        closes: whether it was this side that has closed it.
        was_clean: whether both sides did the closing handshake.
    """
    if closes:
        return (_NO_CODE if connection.sent_close_code is None else connection.sent_close_code), "server"
    if was_clean:
        return (_NO_CODE if connection.close_code is None else connection.close_code), "client"
    return _ABNORMAL, "lost"


def status_of_invalid(head: bytes, options: Options) -> int:
    """Return the status with which the core has refused a request.

    It does not keep that, for there are few who want to know it: the request is read once more.

    Args:
        head: the head of the request.
        options: those of the connection.
    """
    opening = OpeningHandshake(options, is_server=True, is_secure=False, external_port=None)
    try:
        opening.receive(head)
    except HandshakeError as error:
        return error.http_status
    return 400
