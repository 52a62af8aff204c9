"""The protocol classes that applications derive from: hooks to override, methods to call, attributes to read.

This is Autobahn's callback API. The classes here know no event loop; ``autobahnlike.twisted.websocket`` and
``autobahnlike.asyncio.websocket`` have the ones to derive from. They hold no logic of the protocol either: what happens
on a connection is in ``session``, ``server`` and ``client``, and below them in ``autobahnlike.wire``.

Nothing here needs ``__init__`` to have run: everything has a default on the class, and what a connection needs is made
when it is made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, cast

from zope.interface import implementer

from autobahnlike.exception import Disconnected, InvalidArgument, LocalProtocolError
from autobahnlike.websocket.attributes import OptionAttributes
from autobahnlike.websocket.channel import Channel, as_bytes
from autobahnlike.websocket.client import ClientSession
from autobahnlike.websocket.factory import (
    PreparedMessage,
    WebSocketClientFactory,
    WebSocketFactory,
    WebSocketServerFactory,
)
from autobahnlike.websocket.interfaces import IWebSocketChannel, IWebSocketClientChannel
from autobahnlike.websocket.link import EventLoop, Link
from autobahnlike.websocket.pages import status_page
from autobahnlike.websocket.server import ServerSession
from autobahnlike.websocket.session import Session
from autobahnlike.websocket.stats import TrafficStats
from autobahnlike.websocket.types import (
    ConnectionDeny,
    ConnectionRequest,
    ConnectionResponse,
    TransportDetails,
)
from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State

__all__ = (
    "ConnectionDeny",
    "ConnectionRequest",
    "ConnectionResponse",
    "PreparedMessage",
    "WebSocketClientFactory",
    "WebSocketClientProtocol",
    "WebSocketFactory",
    "WebSocketProtocol",
    "WebSocketServerFactory",
    "WebSocketServerProtocol",
)


class _OfLink:
    """An attribute that is worked out when somebody asks for it first, from the link of the connection.

    Args:
        read: gives the value for a link and a protocol.
        default: the value while there never was a connection.
    """

    def __init__(self, read: Callable[[Link, WebSocketProtocol], Any], default: Any) -> None:
        self._read = read
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, protocol: WebSocketProtocol | None, owner: type) -> Any:
        if protocol is None or protocol._link is None:
            return self._default
        value = self._read(protocol._link, protocol)
        setattr(protocol, self._name, value)
        return value


def _transport_details(link: Link, protocol: WebSocketProtocol) -> TransportDetails:
    return TransportDetails(
        channel_type=TransportDetails.CHANNEL_TYPE_TCP,
        channel_framing=TransportDetails.CHANNEL_FRAMING_WEBSOCKET,
        peer=link.peer,
        own=link.own,
        is_server=bool(protocol.factory.isServer),
        is_secure=link.is_secure,
    )


class WebSocketProtocol(Channel, OptionAttributes):
    """What server and client protocols have in common.

    Hooks may be plain functions, return an awaitable of the loop (a Deferred, a Future) or be ``async def``. They are
    called in order, one at a time, each finished before the next; an exception is logged and closes the connection with
    1011.

    Attributes:
        factory: the factory that made this protocol.
        transport: the transport of the loop, a Twisted ITransport or an asyncio.Transport.
        peer: who is at the other end: "tcp4:127.0.0.1:51234", "tcp6:::1:51234", "unix:/path", …
        state: one of the ``STATE_`` constants.
        http_headers: the header fields of the opening handshake that the peer sent, names in lower case.
        websocket_protocol_in_use: the subprotocol agreed on, or None.
        websocket_extensions_in_use: the extensions agreed on.
    """

    STATE_CLOSED: ClassVar[int] = 0
    STATE_CONNECTING: ClassVar[int] = 1
    STATE_CLOSING: ClassVar[int] = 2
    STATE_OPEN: ClassVar[int] = 3
    STATE_PROXY_CONNECTING: ClassVar[int] = 4

    CLOSE_STATUS_CODE_NORMAL: ClassVar[int] = 1000
    CLOSE_STATUS_CODE_GOING_AWAY: ClassVar[int] = 1001
    CLOSE_STATUS_CODE_PROTOCOL_ERROR: ClassVar[int] = 1002
    CLOSE_STATUS_CODE_UNSUPPORTED_DATA: ClassVar[int] = 1003
    CLOSE_STATUS_CODE_RESERVED1: ClassVar[int] = 1004
    CLOSE_STATUS_CODE_NULL: ClassVar[int] = 1005
    CLOSE_STATUS_CODE_ABNORMAL_CLOSE: ClassVar[int] = 1006
    CLOSE_STATUS_CODE_INVALID_PAYLOAD: ClassVar[int] = 1007
    CLOSE_STATUS_CODE_POLICY_VIOLATION: ClassVar[int] = 1008
    CLOSE_STATUS_CODE_MESSAGE_TOO_BIG: ClassVar[int] = 1009
    CLOSE_STATUS_CODE_MANDATORY_EXTENSION: ClassVar[int] = 1010
    CLOSE_STATUS_CODE_INTERNAL_ERROR: ClassVar[int] = 1011
    CLOSE_STATUS_CODE_SERVICE_RESTART: ClassVar[int] = 1012
    CLOSE_STATUS_CODE_TRY_AGAIN_LATER: ClassVar[int] = 1013
    CLOSE_STATUS_CODE_BAD_GATEWAY: ClassVar[int] = 1014
    CLOSE_STATUS_CODE_TLS_HANDSHAKE_FAILED: ClassVar[int] = 1015

    _link: Link | None = None
    _has_opened: bool = False
    _open_future: Any = None
    _closed_future: Any = None

    factory: Any = None
    transport: Any = None
    log: Any = None
    peer: str = cast(str, _OfLink(lambda link, protocol: link.peer, "unknown"))
    wasClean: bool | None = None
    wasNotCleanReason: str | None = None
    transport_details: TransportDetails = cast(TransportDetails, _OfLink(_transport_details, TransportDetails()))
    http_headers: dict[str, str] = {}  # noqa: RUF012 - replaced for each connection, never changed
    websocket_version: int = 0
    websocket_protocols: list[str] = []  # noqa: RUF012
    websocket_protocol_in_use: str | None = None
    websocket_extensions: list[tuple[str, dict[str, list[Any]]]] = []  # noqa: RUF012
    websocket_extensions_in_use: list[Any] = []  # noqa: RUF012
    websocket_origin: str = ""

    # -- What the edges call

    def _event_loop(self) -> EventLoop:
        loop: EventLoop = self.factory._event_loop
        return loop

    def _connectionMade(self, link: Link, options: Options) -> None:
        """The transport is connected."""
        factory = self.factory
        self._link = link
        for name in ("peer", "transport_details"):
            # Of a connection before.
            self.__dict__.pop(name, None)
        self.wasClean = None
        factory._add(self)
        self._session = session = self._make_session(link, self._event_loop(), options)
        session.connection.auto_pong = self._uses_default("onPing")
        session.connection.report_pongs = not self._uses_default("onPong")
        session.start()

    def _make_session(self, link: Link, loop: EventLoop, options: Options) -> Session:
        raise NotImplementedError

    def _uses_default(self, hook: str) -> bool:
        return getattr(getattr(self, hook), "__func__", None) is _DEFAULT_HOOKS[hook]

    def _opened(self) -> None:
        """OnOpen has finished."""
        self._has_opened = True
        if self._open_future is not None:
            self._settle(self._open_future, None)

    def _closed(self, was_clean: bool, code: int | None, reason: str | None) -> None:
        """The connection is gone and everything was delivered: the last hook."""
        session: Any = self._session
        self.wasClean = was_clean
        self.wasNotCleanReason = None if was_clean else reason
        if self._open_future is not None and not session.loop.txaio.is_called(self._open_future):
            session.loop.txaio.reject(self._open_future, self._never_opened())
        if self._closed_future is not None:
            self._settle(self._closed_future, self)
        session._run_hook(
            "onClose",
            (was_clean, code, reason),
            self._ended,
            self._close_failed,
        )

    def _close_failed(self, error: BaseException) -> None:
        cast(Session, self._session).log_failure("onClose", error)
        self._ended()

    def _ended(self, _: object = None) -> None:
        """OnClose has finished."""
        session: Any = self._session
        self.factory._remove(self)
        session.let_go()

    def _settle(self, future: Any, result: object) -> None:
        txaio = self._event_loop().txaio
        if not txaio.is_called(future):
            txaio.resolve(future, result)

    def _never_opened(self) -> Disconnected:
        return Disconnected(self.wasNotCleanReason or "the connection was closed before it was open")

    # -- What applications read

    @property
    def state(self) -> int:
        """The state of the connection, one of the ``STATE_`` constants."""
        session = self._session
        if session is None:
            return self.STATE_CLOSED
        return _STATES[session.connection.state]

    @cached_property
    def is_open(self) -> Any:
        """A Deferred or Future, done with None when ``onOpen`` has finished; it fails if that never happens."""
        txaio = self._event_loop().txaio
        if self._has_opened:
            return txaio.create_future_success(None)
        if self.wasClean is not None:
            return txaio.create_future_error(self._never_opened())
        self._open_future = txaio.create_future()
        return self._open_future

    @cached_property
    def is_closed(self) -> Any:
        """A Deferred or Future, done with this protocol when the connection is gone, just before ``onClose``."""
        txaio = self._event_loop().txaio
        if self.wasClean is not None:
            return txaio.create_future_success(self)
        self._closed_future = txaio.create_future()
        return self._closed_future

    @property
    def trafficStats(self) -> TrafficStats:
        """What was sent and received so far on this connection."""
        return TrafficStats() if self._session is None else self._session.traffic

    @property
    def bufferedAmount(self) -> int:
        """How many bytes were sent and have not been written to the network yet, as far as the transport tells."""
        return 0 if self._session is None else self._session.buffered_amount()

    @property
    def remoteCloseCode(self) -> int | None:
        """The close code that the peer sent, None if it sent none."""
        return None if self._session is None else self._session.connection.close_code

    @property
    def remoteCloseReason(self) -> str | None:
        """The close reason that the peer sent, None if it sent none."""
        return None if self._session is None else self._session.connection.close_reason

    @property
    def localCloseCode(self) -> int | None:
        """The close code that we sent, None if we sent none."""
        return None if self._session is None else self._session.connection.sent_close_code

    @property
    def localCloseReason(self) -> str | None:
        """The close reason that we sent, None if we sent none."""
        return None if self._session is None else self._session.connection.sent_close_reason

    # -- Hooks

    def onOpen(self) -> Any:
        """The connection is open: messages can be sent, and will be received."""

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        """A message was received.

        Args:
            payload: the message; valid UTF-8 if it is text.
            isBinary: whether it is binary.
        """

    def onPing(self, payload: bytes) -> Any:
        """A ping was received; the default answers it. Who overrides this has to call ``sendPong(payload)``.

        Args:
            payload: the ping's payload, at most 125 bytes.
        """
        self.sendPong(payload)

    def onPong(self, payload: bytes) -> Any:
        """A pong was received, asked for or not.

        Args:
            payload: the pong's payload, at most 125 bytes.
        """

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> Any:
        """The connection is closed. The last hook, called once, also for a connection that never opened.

        Args:
            wasClean: whether both sides did the closing handshake.
            code: the peer's close code, None if it gave none; 1006 if not clean.
            reason: the peer's close reason, None if it gave none; what happened if not clean.
        """

    # -- Methods

    def sendPing(self, payload: bytes | None = None) -> None:
        """Send a ping; ignored if the connection is not open.

        Args:
            payload: at most 125 bytes, which the pong will repeat.

        Raises:
            InvalidArgument: the payload is not bytes, or too long.
        """
        if self._session is not None:
            self._session.connection.send_ping(as_bytes(payload or b""))
            self._session.pump()

    def sendPong(self, payload: bytes | None = None) -> None:
        """Send a pong, asked for or not (RFC 6455, section 5.5.3); ignored if the connection is not open.

        Args:
            payload: at most 125 bytes.

        Raises:
            InvalidArgument: the payload is not bytes, or too long.
        """
        if self._session is not None:
            self._session.connection.send_pong(as_bytes(payload or b""))
            self._session.pump()

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        """Start the closing handshake; ignored if the connection is closing or closed.

        Args:
            code: 1000, 3000 to 4999, or another code that may be sent (1001 to 1003, 1007 to 1014); None to send none.
            reason: text to go with the code, cut to 123 bytes of UTF-8.

        Raises:
            InvalidArgument: the code may not be sent, or there is a reason without a code.
            LocalProtocolError: the connection is not open yet.
        """
        if code is not None and (not isinstance(code, int) or isinstance(code, bool)):
            raise InvalidArgument(f"the close code must be a number, not {code!r}")
        if reason is not None and not isinstance(reason, str):
            raise InvalidArgument(f"the close reason must be text, not {reason!r}")
        if reason is not None and code is None:
            raise InvalidArgument("a close reason needs a close code: give 1000 if there is nothing special to say")
        session = self._session
        if session is None:
            raise LocalProtocolError("cannot close a connection not yet connected")
        session.connection.close(code, reason, session.loop.now())
        session.pump()

    def dropConnection(self, abort: bool = False) -> None:
        """End the TCP connection without a closing handshake.

        Args:
            abort: whether to throw away what is still to be written.
        """
        session = self._session
        if session is not None:
            session.connection.drop(session.loop.now(), abort=abort)
            session.pump()

    def drained(self) -> Any:
        """Wait until what was sent has been taken by the transport, so that a fast sender can keep pace with its peer.

        Returns:
            A Deferred or Future, done with None when the transport can take more; at once if it can now. It fails with
            ``Disconnected`` if the connection is lost first.
        """
        session = self._session
        if session is None:
            return self._event_loop().txaio.create_future_error(Disconnected("the connection is closed"))
        return session.drained()


@implementer(IWebSocketChannel)
class WebSocketServerProtocol(WebSocketProtocol):
    """A server's side of a connection."""

    factory: WebSocketServerFactory

    http_request_uri: str | None = None
    http_request_path: str | None = None
    http_request_params: dict[str, list[str]] = {}  # noqa: RUF012
    http_request_host: str | None = None

    def _make_session(self, link: Link, loop: EventLoop, options: Options) -> Session:
        return ServerSession(self, link, loop, options)

    def onConnect(self, request: ConnectionRequest) -> Any:
        """A client asks for a connection.

        Args:
            request: what it asks for.

        Returns:
            None to accept, the subprotocol to accept with (one of ``request.protocols``), or a pair of a subprotocol or
            None and a dict of headers for the response; also as an awaitable.

        Raises:
            ConnectionDeny: to refuse, with an HTTP status and a reason.
        """
        return None

    def sendServerStatus(self, redirectUrl: str | None = None, redirectAfter: int = 0) -> None:
        """Answer a plain HTTP request, when the option ``webStatus`` is on; the default shows a small page.

        Args:
            redirectUrl: accepted for compatibility and ignored: a redirect that the caller chooses is an open one.
            redirectAfter: accepted for compatibility and ignored.
        """
        self.sendHtml(status_page(self.factory.server or ""))

    def sendHtml(self, html: str) -> None:
        """Answer a plain HTTP request with a page, and end the connection.

        Args:
            html: the page.
        """
        headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}
        session = cast(ServerSession, self._session)
        session.refuse(200, "OK", headers, html.encode())
        session.pump()


@implementer(IWebSocketClientChannel)
class WebSocketClientProtocol(WebSocketProtocol):
    """A client's side of a connection."""

    factory: WebSocketClientFactory

    websocket_key: str | None = None

    def _make_session(self, link: Link, loop: EventLoop, options: Options) -> Session:
        return ClientSession(self, link, loop, options)

    def onConnecting(self, transport_details: TransportDetails) -> Any:
        """The transport is connected, and the request is about to be sent.

        Args:
            transport_details: the transport.

        Returns:
            None to send what the factory says, or a ``ConnectingRequest`` to send instead; also as an awaitable.
        """
        return None

    def onConnect(self, response: ConnectionResponse) -> Any:
        """The server has accepted; ``onOpen`` comes next.

        Args:
            response: what it answered.
        """


_DEFAULT_HOOKS: dict[str, Any] = {
    "onConnect": WebSocketServerProtocol.onConnect,
    "onPing": WebSocketProtocol.onPing,
    "onPong": WebSocketProtocol.onPong,
}

_STATES = {
    State.CONNECTING: WebSocketProtocol.STATE_CONNECTING,
    State.OPEN: WebSocketProtocol.STATE_OPEN,
    State.CLOSE_SENT: WebSocketProtocol.STATE_CLOSING,
    State.DISCONNECTING: WebSocketProtocol.STATE_CLOSING,
    State.CLOSED: WebSocketProtocol.STATE_CLOSED,
}
