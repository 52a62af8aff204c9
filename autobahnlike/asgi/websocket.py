"""The scope ``websocket``: one conversation between a client and the application.

``ASGIWebSocket`` is a protocol like those that applications with callbacks are made of: it turns its hooks into events
for the application, and the events of the application into calls of its methods. So all that is true of our WebSockets
is true here: bounds, deadlines, keepalive, closing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from autobahnlike.asgi.condition import Condition, next_turn
from autobahnlike.asgi.counters import ServerCounters, closing_of, status_of_invalid
from autobahnlike.asgi.errors import ClientDisconnected
from autobahnlike.asgi.forwarded import peer_of
from autobahnlike.asgi.scope import HEADER_NAMES, Event, HeaderNames, websocket_scope
from autobahnlike.exception import Disconnected, InvalidArgument
from autobahnlike.websocket.link import EventLoop, Link
from autobahnlike.websocket.prepared import PreparedMessage
from autobahnlike.websocket.protocol import WebSocketServerProtocol
from autobahnlike.websocket.server import ServerSession
from autobahnlike.websocket.types import ConnectionAccept, ConnectionDeny, ConnectionRequest
from autobahnlike.wire.frames import close_payload
from autobahnlike.wire.handshake import OWN_HEADERS
from autobahnlike.wire.headers import decode_value, flatten_headers
from autobahnlike.wire.http11 import reason_phrase
from autobahnlike.wire.options import Options
from autobahnlike.wire.state import State

if TYPE_CHECKING:
    from autobahnlike.asgi.server import Server

__all__ = ("ASGIWebSocket", "Preparer", "WebSocketConversation")

_NORMAL = 1000
_NO_CODE = 1005
_ABNORMAL = 1006
_INTERNAL_ERROR = 1011

# Messages that wait for the application, beside the bound of their bytes: small ones cost more than their bytes.
_MAX_QUEUED = 64

# What an application may send before the others on the loop are given a turn, and what a message counts for it beside
# its bytes.
_TURN_SIZE = 1048576
_MESSAGE_COST = 256

# Says how long the body is, or how it is framed: that is for us to say.
_FRAMING = ("content-length", "transfer-encoding", "connection")


class Preparer:
    """The extension ``autobahnlike.broadcast``: makes messages that are framed and compressed once for many clients.

    An application sends one as ``{"type": "websocket.send", "prepared": message}``.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def prepare(self, message: str | bytes) -> PreparedMessage:
        """Prepare a message."""
        is_binary = not isinstance(message, str)
        payload = message if isinstance(message, bytes) else str(message).encode()
        prepared: PreparedMessage = self._server.websockets.prepareMessage(payload, is_binary)
        return prepared


class ASGIWebSocketSession(ServerSession):
    """A session whose hooks wait for the application to receive, for as long as that takes."""

    protocol: ASGIWebSocket
    counters: ServerCounters

    # Whether the core had a reason to fail the connection before it was lost; None until then.
    has_failed: bool | None = None

    def refuse(self, status: int, reason: str, headers: Any = (), body: bytes | None = None) -> None:
        """Answer the request with an HTTP response; see ``ServerSession``."""
        if self.connection.state is State.CONNECTING:
            self.protocol.refused(status)
        super().refuse(status, reason, headers, body)

    def connection_lost(self, why: str | None = None) -> None:
        """The transport is gone: what was received before is the application's, whenever it receives."""
        if self.has_failed is None:
            self.has_failed = self.connection.failure is not None
        self.counters.congested.discard(self)
        super().connection_lost(why)
        # Nothing more can come, so what there is need not wait here. It is bounded by what is read ahead.
        protocol: ASGIWebSocket | None = self.protocol
        if protocol is not None and protocol._conversation is not None:
            protocol._conversation.release()

    def writing_paused(self) -> None:
        """The transport has enough to write for now."""
        self.counters.congested.add(self)
        super().writing_paused()

    def writing_resumed(self) -> None:
        """The transport can take more."""
        self.counters.congested.discard(self)
        super().writing_resumed()

    def _warn_of_endless_hook(self) -> None:
        """An application may take its time: nothing is lost, and nothing piles up."""


class ASGIWebSocket(WebSocketServerProtocol):
    """What the protocols of both loops have in common.

    Attributes:
        asgi_server: whose application the WebSocket is for; the edge sets it.
        head: the head of the request, as it was received; the same.
    """

    asgi_server: Server | None = None
    head: bytes = b""

    _conversation: WebSocketConversation | None = None
    _is_refused = False
    _closes = False

    def _make_session(self, link: Link, loop: EventLoop, options: Options) -> ServerSession:
        assert self.asgi_server is not None
        session = ASGIWebSocketSession(self, link, loop, options)
        session.counters = self.asgi_server.counters
        return session

    def onConnect(self, request: ConnectionRequest) -> Any:
        """A client asks for a connection: call the application, and wait for what it says."""
        assert self.asgi_server is not None
        self._conversation = WebSocketConversation(self.asgi_server, self, request.protocols)
        return self._conversation.begin()

    def onOpen(self) -> None:
        """The application has accepted, and the client knows."""
        if self._conversation is not None:
            self._conversation.opened()

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        """A message for the application; the next one waits if it has received too little of what came before."""
        assert self._conversation is not None
        return self._conversation.received(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Whatever the application waits for, it is the end."""
        conversation, self._conversation = self._conversation, None
        self._count_end(conversation)
        if conversation is not None:
            conversation.closed(wasClean, code, reason)

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        """Start the closing handshake; see ``WebSocketServerProtocol``."""
        was_open = self.state == self.STATE_OPEN
        super().sendClose(code, reason)
        self._closes = self._closes or was_open

    def refused(self, status: int) -> None:
        """The request is answered with an HTTP response."""
        assert self.asgi_server is not None
        self._is_refused = True
        if self._conversation is not None:
            reason = self._conversation.refusal
        else:
            reason = "unavailable" if status == 503 else "invalid"
        self.asgi_server.counters.count_refused(reason, status)

    def _count_end(self, conversation: WebSocketConversation | None) -> None:
        server, session = self.asgi_server, self._session
        assert server is not None
        assert isinstance(session, ASGIWebSocketSession)
        connection = session.connection
        if conversation is not None and conversation.was_opened:
            closes = self._closes or (session.has_failed and connection.sent_close_code is not None)
            server.counters.count_closed(*closing_of(connection, closes=bool(closes), was_clean=bool(self.wasClean)))
        elif self._is_refused:
            pass
        elif conversation is None and connection.handshake_octets_sent:
            server.counters.count_refused("invalid", status_of_invalid(self.head, session.options))
        elif session.has_failed:
            # It was dropped, by the deadline or by the end of the server.
            server.counters.count_refused("unavailable" if server.is_stopping else "timeout", 0)
        else:
            server.counters.count_refused("lost", 0)


class _Stage(Enum):
    OPENING = "the application has not answered yet"
    ACCEPTING = "it has accepted"
    DENYING = "it has begun to send a response instead"
    OPEN = "the WebSocket is open"
    OVER = "the application has closed, or denied"
    LOST = "the client is gone"


# They are looked at for every message.
_ACCEPTING = _Stage.ACCEPTING
_OPEN = _Stage.OPEN
_OVER = _Stage.OVER


class WebSocketConversation:
    """What the application and a client say to each other.

    Args:
        server: whose application it is.
        protocol: the WebSocket.
        subprotocols: those that the client offers.

    Attributes:
        was_opened: whether there was a WebSocket.
        refusal: why there is none, in the words of ``ServerCounters``.
    """

    def __init__(self, server: Server, protocol: ASGIWebSocket, subprotocols: list[str]) -> None:
        self.was_opened = False
        self.refusal = "failed"
        self._server = server
        self._counters = server.counters
        self._loop = server.loop
        self._protocol = protocol
        self._peer = protocol.peer
        self._session: Any = protocol._session
        self._subprotocols = subprotocols
        self._stage = _Stage.OPENING
        self._events: deque[tuple[Event, int]] = deque([({"type": "websocket.connect"}, 0)])
        self._size = 0
        self._max_size = server.options.receive_queue_size
        self._has_returned = False
        self._sent_in_turn = 0
        self._came = Condition(server.apps)
        self._disconnect: Event | None = None
        # What the hooks wait for: the answer to the request, and that the application receives.
        self._answer: Any = None
        self._hold: Any = None
        # A response instead of a WebSocket.
        self._denial: tuple[int, list[tuple[str, str]]] = (0, [])
        self._denial_body = bytearray()

    def begin(self) -> Any:
        """Call the application.

        Returns:
            A future, done when it has accepted.
        """
        server = self._server
        protocol = self._protocol
        # One for all connections: what it prepares, all of them can be sent.
        server.preparer = server.preparer or Preparer(server)
        scope = websocket_scope(
            protocol.head,
            self._subprotocols,
            protocol.peer,
            protocol.transport_details.own or "",
            server.options.root_path,
            is_secure=bool(protocol.transport_details.is_secure),
            state=server.lifespan.state,
            extensions={
                "websocket.http.response": {},
                "autobahnlike.broadcast": server.preparer,
                HEADER_NAMES: HeaderNames.of(protocol.head),
            },
            proxies=server.options.proxies,
        )
        self._peer = peer_of(scope, protocol.peer)
        protocol.head = b""
        # On Twisted the application may have answered when the call returns.
        answer = self._answer = self._loop.txaio.create_future()
        self._target = decode_value(scope["raw_path"])
        server.run(scope, self.receive, self.send, self._returned, connection_id=token_urlsafe(9))
        return answer

    # -- What the WebSocket tells

    def opened(self) -> None:
        """The client knows that the application has accepted."""
        self._stage = _Stage.OPEN
        self.was_opened = True
        self._counters.count_opened()
        if self._has_returned:
            self._end(_NORMAL)
        self._came.notify_all()

    def received(self, payload: bytes, is_binary: bool) -> Any:
        """A message came.

        Returns:
            None, or a future that is done when there is room for more.
        """
        counters = self._counters
        counters.messages_in += 1
        counters.bytes_in += len(payload)
        if self._has_returned or (self._stage is _OVER and self._is_full()):
            # There is nobody to receive it, or who closed does not: the closing handshake must not wait for that.
            return None
        if is_binary:
            event: Event = {"type": "websocket.receive", "bytes": payload}
        else:
            event = {"type": "websocket.receive", "text": payload.decode()}
        self._events.append((event, len(payload)))
        self._size += len(payload)
        self._came.notify_all()
        if self._is_full() and self._protocol.state == self._protocol.STATE_OPEN:
            self._hold = self._loop.txaio.create_future()
            return self._hold
        return None

    def _is_full(self, share: int = 1) -> bool:
        bound = self._max_size
        return bool(bound) and (self._size * share > bound or len(self._events) * share > _MAX_QUEUED)

    def release(self) -> None:
        """Have the next messages delivered."""
        hold, self._hold = self._hold, None
        if hold is not None and not self._loop.txaio.is_called(hold):
            self._loop.txaio.resolve(hold, None)

    def closed(self, was_clean: bool, code: int | None, reason: str | None) -> None:
        """The WebSocket is gone, or never was."""
        self._disconnect = {
            "type": "websocket.disconnect",
            "code": (_NO_CODE if code is None else code) if was_clean else _ABNORMAL,
            "reason": (reason or "") if was_clean else "",
        }
        if self._stage is not _Stage.OVER:
            self._stage = _Stage.LOST
        self._came.notify_all()

    # -- What the application calls

    async def receive(self) -> Event:
        """Give the next event; after the end, the disconnection again and again."""
        while not self._events:
            if self._disconnect is not None:
                return dict(self._disconnect)
            self._sent_in_turn = 0
            await self._came.wait()
        event, size = self._events.popleft()
        self._size -= size
        # Not for each message that makes room for one.
        if self._hold is not None and not self._is_full(2):
            self.release()
        return event

    async def send(self, event: Event) -> None:
        """Do what the application wants done.

        Raises:
            ClientDisconnected: the client is gone.
            RuntimeError: the event cannot be sent now, or has something that it cannot have.
            ValueError: a close code that may not be sent, or a message that is not one of text and bytes.
            TypeError: a value of another type.
        """
        kind = event["type"]
        while self._stage is _ACCEPTING and kind != "websocket.accept":
            # Another coroutine of the application is accepting; what was to come after that waits for it.
            await self._came.wait()
        if self._stage is _OPEN:
            if kind == "websocket.send":
                self._send_message(event)
                if self._must_wait():
                    await self._wait_to_send()
                return
            if kind == "websocket.close":
                self._close(event)
                return
        elif self._stage is _Stage.OPENING:
            if kind == "websocket.accept":
                await self._accept(event)
                return
            if kind == "websocket.close":
                self.refusal = "denied"
                self._deny(403, [], None)
                return
            if kind == "websocket.http.response.start":
                self._start_denial(event)
                return
        elif self._stage is _Stage.DENYING:
            if kind == "websocket.http.response.body":
                self._continue_denial(event)
                return
        elif self._stage is _Stage.LOST:
            raise ClientDisconnected("the client has disconnected")
        elif self._stage is _Stage.OVER:
            raise RuntimeError('Cannot call "send" once a close message has been sent.')
        raise RuntimeError(f"{kind!r} cannot be sent now: {self._stage.value}")

    def _send_message(self, event: Event) -> None:
        protocol = self._protocol
        text, data, prepared = event.get("text"), event.get("bytes"), event.get("prepared")
        if self._events:
            # What the application answers to the others that wait for it may go with this one.
            self._session.write_later()
        try:
            if prepared is not None:
                if not isinstance(prepared, PreparedMessage):
                    raise TypeError(f"{prepared!r:.80} is not a message that was prepared")
                data = prepared.payload
                protocol.sendPreparedMessage(prepared)
            elif (text is None) == (data is None):
                raise ValueError("websocket.send has to have one of text and bytes, and not both")
            elif data is None:
                if not isinstance(text, str):
                    raise TypeError(f"the text of websocket.send must be str, not {type(text).__name__}")
                data = text.encode()
                protocol.sendMessage(data, False)
            else:
                if not isinstance(data, (bytes, bytearray, memoryview)):
                    raise TypeError(f"the bytes of websocket.send must be bytes, not {type(data).__name__}")
                protocol.sendMessage(bytes(data), True)
        except Disconnected:
            raise ClientDisconnected("the client has disconnected") from None
        size = len(data)
        self._sent_in_turn += _MESSAGE_COST + size
        counters = self._counters
        counters.messages_out += 1
        counters.bytes_out += size

    def _must_wait(self) -> bool:
        return self._sent_in_turn > _TURN_SIZE or not self._session.is_writable

    async def _wait_to_send(self) -> None:
        """Wait until the client has taken what was sent to it, and if it has, let the others have their turn."""
        self._sent_in_turn = 0
        if self._session.is_writable:
            await next_turn(self._server.apps)
            return
        try:
            await self._drained()
        except Disconnected:
            raise ClientDisconnected("the client has disconnected") from None

    async def _drained(self) -> None:
        """Wait until the client has taken what was sent to it."""
        drained = self._protocol.drained()
        if self._server.apps is self._loop:
            await drained
            return
        # A future of the one loop for one of the other.
        settled: list[BaseException | None] = []
        done = Condition(self._server.apps)

        def settle(error: BaseException | None) -> None:
            settled.append(error)
            done.notify_all()

        self._loop.txaio.add_callbacks(drained, lambda _: settle(None), lambda failure: settle(failure.value))
        if not settled:
            await done.wait()
        if settled and settled[0] is not None:
            raise settled[0]

    async def _accept(self, event: Event) -> None:
        subprotocol = event.get("subprotocol")
        if subprotocol is not None and subprotocol not in self._subprotocols:
            offered = ", ".join(self._subprotocols) or "none"
            raise RuntimeError(f"the client does not offer the subprotocol {subprotocol!r} (it offers: {offered})")
        headers = _read_headers(event)
        for name, _ in headers:
            if name.lower() in OWN_HEADERS:
                hint = ": set subprotocol instead" if name.lower() == "sec-websocket-protocol" else ""
                raise RuntimeError(f"the header {name} of websocket.accept belongs to the handshake{hint}")
        self._stage = _Stage.ACCEPTING
        self._log_access(101)
        self._settle_answer(ConnectionAccept(subprotocol, _as_dict(headers)))
        # Not to be sent to before the client can be.
        while self._stage is _Stage.ACCEPTING:
            await self._came.wait()
        if self._stage is not _Stage.OPEN:
            raise ClientDisconnected("the client has disconnected")

    def _close(self, event: Event) -> None:
        code = event.get("code", _NORMAL)
        reason = event.get("reason") or ""
        if not isinstance(code, int) or not isinstance(reason, str):
            raise ValueError(
                f"websocket.close: the code must be a number and the reason text, not {code!r}, {reason!r}"
            )
        try:
            # Also where the client is gone by now: a wrong code is wrong every time.
            close_payload(code, reason)
            self._protocol.sendClose(code, reason or None)
        except InvalidArgument as error:
            raise ValueError(f"websocket.close: {error}") from None
        self._stage = _Stage.OVER

    def _start_denial(self, event: Event) -> None:
        status = event["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise RuntimeError(f"the status of a response must be from 200 to 599, not {status!r}")
        headers = [(name, value) for name, value in _read_headers(event) if name.lower() not in _FRAMING]
        self._denial = (status, headers)
        self._stage = _Stage.DENYING

    def _continue_denial(self, event: Event) -> None:
        self._denial_body += event.get("body", b"")
        bound = self._server.options.max_denial_size
        if bound and len(self._denial_body) > bound:
            raise RuntimeError(f"the body of a response that denies a WebSocket has {bound} bytes at most")
        if not event.get("more_body", False):
            status, headers = self._denial
            self.refusal = "denied"
            self._deny(status, headers, bytes(self._denial_body))

    # -- The answer to the request

    def _deny(self, status: int, headers: list[tuple[str, str]], body: bytes | None) -> None:
        self._stage = _Stage.OVER
        self._log_access(status)
        phrase = reason_phrase(status)
        self._session.refuse(status, phrase, headers, body)
        self._session.pump()
        self._settle_answer(None, ConnectionDeny(max(status, 300), phrase))

    def _settle_answer(self, answer: ConnectionAccept | None, error: BaseException | None = None) -> None:
        txaio = self._loop.txaio
        future, self._answer = self._answer, None
        # It is called already if the client went away, and the hook was cancelled.
        if future is None or txaio.is_called(future):
            return
        if error is not None:
            txaio.reject(future, error)
        else:
            txaio.resolve(future, answer)

    def _log_access(self, status: int) -> None:
        self._server.log_access(self._peer, "GET", self._target, "1.1", status)

    # -- The application has ended

    def _returned(self, error: BaseException | None) -> None:
        self._has_returned = True
        stage, protocol = self._stage, self._protocol
        is_gone = stage is _Stage.LOST or protocol.state == protocol.STATE_CLOSED
        # One that sends when the client has closed has done nothing wrong, nor has one that was cancelled by us.
        has_left = is_gone or protocol.state == protocol.STATE_CLOSING
        if self._server.has_given_up:
            pass
        elif error is not None and not (isinstance(error, ClientDisconnected) and has_left):
            self._server.log_failure(f"the application raised an exception for the WebSocket {self._target}", error)
        elif error is None and stage in (_Stage.OPENING, _Stage.DENYING) and not is_gone:
            self._server.log_failure(
                f"the application neither accepted nor closed the WebSocket {self._target}",
                RuntimeError(f"the application returned, and {stage.value}"),
            )
        if stage in (_Stage.OPENING, _Stage.DENYING) and not is_gone:
            self._deny(500, [], None)
        elif stage is _Stage.OPEN:
            self._end(_NORMAL if error is None else _INTERNAL_ERROR)
        # What is still received is received for nobody.
        self._events.clear()
        self._size = 0
        self.release()

    def _end(self, code: int) -> None:
        self._stage = _Stage.OVER
        self._protocol.sendClose(code)


def _read_headers(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Check the header fields of an event."""
    pairs = []
    for pair in event.get("headers") or ():
        name, value = pair
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(f"headers are pairs of bytes, unlike {pair!r:.80}")
        pairs.append((decode_value(name), decode_value(value)))
    try:
        return flatten_headers(pairs)
    except InvalidArgument as error:
        raise RuntimeError(str(error)) from None


def _as_dict(headers: list[tuple[str, str]]) -> dict[str, Any]:
    """Give header fields as applications with callbacks do: several of one name as a list."""
    fields: dict[str, Any] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value)
    return fields
