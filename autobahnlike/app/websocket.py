"""The WebSocket that a view is given: one connection, from the server's side.

It stands between the view and the ASGI server, and keeps the rules of both: what may be sent or received is decided by
two states, how far the application is and how far the client::

    application     CONNECTING ──accept──> ACCEPTED ──close──> CLOSED
                        │                                        ^
                        ├──close: the client gets HTTP 403───────┤
                        └──an HTTP response──> DENYING ──────────┘

    client          CONNECTING ──connect──> CONNECTED ──disconnect──> GONE

When a view is run with ``auto_accept``, acceptance is *held back* until the view first uses the connection or waits for
something (:mod:`autobahnlike.app.view`); until then it can still be rejected.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

from starlette.datastructures import URL, QueryParams
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect as StarletteWebSocketDisconnect

from autobahnlike.app.errors import ConnectionRejected, SendAfterDisconnect, WebSocketDisconnect
from autobahnlike.app.options import WebSocketOptions
from autobahnlike.app.paths import full_path

__all__ = ("WebSocket",)

_Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]

# A control frame has at most 125 bytes, of which the code takes two (RFC 6455, section 5.5).
_MAX_REASON = 123

_SENT_CLOSE = 'Cannot call "send" once a close message has been sent.'
_RECEIVED_CLOSE = 'Cannot call "receive" once a close message has been sent.'
_RECEIVED_DISCONNECT = 'Cannot call "receive" once a disconnect message has been received.'

_HINTS = {
    "message": "messages are received with receive()",
    "recv": "messages are received with receive()",
    "sessions": "the session is in .session",
}


class _Application(enum.Enum):
    CONNECTING = 0
    ACCEPTED = 1
    DENYING = 2
    CLOSED = 3


class _Client(enum.Enum):
    CONNECTING = 0
    CONNECTED = 1
    GONE = 2


# What the application becomes by sending an event.
_AFTER = {
    (_Application.CONNECTING, "websocket.accept"): _Application.ACCEPTED,
    (_Application.CONNECTING, "websocket.close"): _Application.CLOSED,
    (_Application.CONNECTING, "websocket.http.response.start"): _Application.DENYING,
    (_Application.DENYING, "websocket.http.response.body"): _Application.CLOSED,
    (_Application.ACCEPTED, "websocket.send"): _Application.ACCEPTED,
    (_Application.ACCEPTED, "websocket.close"): _Application.CLOSED,
}


class WebSocket(HTTPConnection):
    """One WebSocket connection, as its view sees it.

    Of the request it has ``url``, ``headers``, ``query_params``, ``path_params``, ``cookies``, ``client``,
    ``session``, ``state``, ``app`` and ``scope``, all as in Starlette, and ``ws["path"]`` is ``ws.scope["path"]``. It
    is hashable and equal to itself only. Messages may be sent from any coroutine on the thread of the loop.

    Iterating over it, ``async for message in ws``, receives until the client goes, which ends it with
    :exc:`WebSocketDisconnect` like ``receive()``. A block ``async with ws`` accepts the connection if that has not been
    done, and closes it: with code 1000, with 1011 after an exception. An exception that says that this client has gone,
    with a code that the route catches, ends the block and goes no further.

    Args:
        scope: the ASGI scope.
        receive: the ASGI function that receives events.
        send: the ASGI function that sends events.
        options: how the view is run.

    Attributes:
        auto_accept: whether the connection is accepted and closed for the view.
        receive_type: what :meth:`receive` returns: ``"text"``, ``"bytes"``, ``"json"`` or ``"event"``.
        send_type: what :meth:`send` takes.
        caught_close_codes: the codes of clients whose disconnect is no error.
        held: whether acceptance is held back.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, options: WebSocketOptions | None = None) -> None:
        super().__init__(scope)
        options = options or WebSocketOptions(auto_accept=False)
        self.auto_accept = options.auto_accept
        self.receive_type = options.receive_type
        self.send_type = options.send_type
        self.caught_close_codes = options.caught_close_codes
        self._receive = receive
        self._send = send
        self._application = _Application.CONNECTING
        self._client = _Client.CONNECTING
        self._disconnect = (1006, "")
        self.held = options.auto_accept
        self._entered = options.auto_accept
        self._rejected = False
        self._is_dismissed = False

    def __repr__(self) -> str:
        return f"<WebSocket {full_path(self.scope)!r} {self._application.name} {self._client.name}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Tell what is meant by names that other libraries, or Bocadillo's guide, have."""
            error = AttributeError(f"'WebSocket' object has no attribute {name!r}", name=name, obj=self)
            if name in _HINTS:
                error.add_note(_HINTS[name])
            raise error

    # The request

    @property
    def url(self) -> URL:
        """The URL that the client asked for: ``str(ws.url)``, ``.scheme``, ``.hostname``, ``.port``, ``.path``, ..."""
        if not hasattr(self, "_url"):
            self._url = URL(scope={**self.scope, "path": full_path(self.scope)})
        return self._url

    @property
    def query_parameters(self) -> QueryParams:
        """The name that Bocadillo's guide has for ``query_params``."""
        return self.query_params

    # Opening and closing

    @property
    def accepted(self) -> bool:
        """Whether messages can be sent: the connection was accepted, and neither side has closed it as far as known."""
        return self._application is _Application.ACCEPTED and self._client is not _Client.GONE

    @property
    def answered(self) -> bool:
        """Whether the opening handshake was answered: the connection was accepted or rejected."""
        return self._application is not _Application.CONNECTING

    @property
    def closed(self) -> bool:
        """Whether it was closed or rejected, or the client is known to have gone."""
        return self._application is _Application.CLOSED or self._client is _Client.GONE

    async def accept(self, subprotocol: str | None = None, headers: _Headers = ()) -> None:
        """Accept the connection; the client is answered with HTTP 101.

        When it has been accepted automatically, this does nothing; as long as that is held back, the arguments count.

        Args:
            subprotocol: one of those that the client offers, ``ws.scope["subprotocols"]``.
            headers: header fields for the response, as a mapping or as pairs.

        Raises:
            AssertionError: it has been accepted already.
            RuntimeError: it was closed.
            ValueError: a header field that cannot be sent.
            WebSocketDisconnect: the client has gone.
        """
        fields = _header_fields(headers)
        if self.held:
            self.held = False
        elif self.auto_accept and self._application is _Application.ACCEPTED and subprotocol is None and not fields:
            return
        elif self.answered:
            pass
        elif self._client is _Client.CONNECTING and not await self.connected():
            # The event with which every connection begins, which was still to come, was the last one.
            raise self._gone()
        await self._send_event({"type": "websocket.accept", "subprotocol": subprotocol, "headers": fields})

    async def accept_held(self) -> None:
        """Accept the connection now if that is held back; for who runs the view."""
        if self.held:
            await self.accept()

    async def connected(self) -> bool:
        """Wait for the event with which the connection begins; for who runs the view.

        Returns:
            Whether the client is still there.
        """
        event = await self._next_event()
        return bool(event["type"] == "websocket.connect")

    def abandon(self) -> None:
        """Send nothing any more, not even a close; for who runs the view."""
        self.held = False
        self._application = _Application.CLOSED

    async def reject(self) -> None:
        """Refuse the connection; the client is answered with HTTP 403. The view has nothing more to do.

        Raises:
            ValueError: it has been accepted already; the code 403 cannot be sent over a WebSocket.
            RuntimeError: it was closed or rejected already.
        """
        if self._application is _Application.ACCEPTED:
            raise ValueError(
                "reject() answers the opening handshake with HTTP 403, but the connection has been accepted already: "
                "reject before anything is sent, received or waited for, or use close()"
            )
        self.held = False
        await self._send_event({"type": "websocket.close", "code": 403, "reason": ""})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; nothing can be sent afterwards.

        Before it was accepted this rejects it, and neither code nor reason reach the client. Where acceptance is held
        back it is accepted first; see :meth:`reject` for HTTP 403.

        Args:
            code: the close code: 1000 to 1003, 1007 to 1014 or 3000 to 4999, of which those from 4000 on are for
                applications to use as they like.
            reason: text that goes with it, up to 123 bytes of UTF-8.

        Raises:
            ValueError: the code or the reason may not be sent.
            RuntimeError: it was closed already. See :meth:`ensure_closed`.
        """
        if self.held or self._application is _Application.ACCEPTED:
            code = _checked_code(code, reason)
        await self.accept_held()
        await self._send_event({"type": "websocket.close", "code": code, "reason": reason})

    async def dismiss(self, code: int, reason: str = "") -> None:
        """Close the connection over the head of its view, as a room does with a member that is too slow.

        To the view it is as if the client had gone: what it does with the connection raises ``WebSocketDisconnect``,
        and that is no error, whichever codes the route catches.

        Args:
            code: the close code, as for :meth:`close`.
            reason: text that goes with it, up to 123 bytes of UTF-8.

        Raises:
            ValueError: the code or the reason may not be sent.
        """
        if self._application is _Application.ACCEPTED:
            self._is_dismissed = True
            self._disconnect = (_checked_code(code, reason), reason)
            with suppress(RuntimeError, OSError):
                await self.close(code, reason)

    async def ensure_closed(self, code: int = 1000) -> None:
        """Close the connection if it is not closed, or gone, already.

        Args:
            code: the close code, as for :meth:`close`.

        Raises:
            ValueError: the code may not be sent.
        """
        if self._application in (_Application.CLOSED, _Application.DENYING):
            return
        try:
            await self.close(code)
        except (RuntimeError, OSError):
            # Someone else was faster: another coroutine, or the client.
            pass

    # Messages

    async def receive(self) -> Any:
        """Wait for the next message, and return it as the route's ``receive_type`` says.

        Raises:
            WebSocketDisconnect: the client has gone.
            Exception: what the method for the type raises.
        """
        return await getattr(self, f"receive_{self.receive_type}")()

    async def send(self, message: Any) -> None:
        """Send a message as the route's ``send_type`` says. Waits while the client is slow to take what was sent.

        Raises:
            WebSocketDisconnect: the client has gone.
            RuntimeError: the connection was closed.
            Exception: what the method for the type raises.
        """
        await getattr(self, f"send_{self.send_type}")(message)

    async def receive_text(self) -> str:
        """Wait for the next message and return it as text.

        Raises:
            WebSocketDisconnect: the client has gone.
            KeyError: the message is binary.
            AssertionError: the connection was not accepted.
        """
        text: str = await self._receive_message("text")
        return text

    async def receive_bytes(self) -> bytes:
        """Wait for the next message and return it as bytes.

        Raises:
            WebSocketDisconnect: the client has gone.
            KeyError: the message is text.
            AssertionError: the connection was not accepted.
        """
        data: bytes = await self._receive_message("bytes")
        return data

    async def receive_json(self) -> Any:
        """Wait for the next message and return what it stands for as JSON.

        Raises:
            WebSocketDisconnect: the client has gone.
            KeyError: the message is binary.
            json.JSONDecodeError: it is not JSON.
            AssertionError: the connection was not accepted.
        """
        return json.loads(await self._receive_message("text"))

    async def send_text(self, data: str) -> None:
        """Send text.

        Raises:
            WebSocketDisconnect: the client has gone.
            RuntimeError: the connection was closed.
            TypeError: it is not text.
        """
        if not isinstance(data, str):
            raise TypeError(
                f"a text message must be str, not {type(data).__name__}: "
                'use send_bytes() or send_json(), or set send_type="bytes" or "json"'
            )
        await self.send_event({"type": "websocket.send", "text": data})

    async def send_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """Send a binary message.

        Raises:
            WebSocketDisconnect: the client has gone.
            RuntimeError: the connection was closed.
            TypeError: it is not bytes.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"a binary message must be bytes, not {type(data).__name__}")
        await self.send_event({"type": "websocket.send", "bytes": bytes(data)})

    async def send_json(self, data: Any) -> None:
        """Send something as JSON, in a text message.

        Raises:
            WebSocketDisconnect: the client has gone.
            RuntimeError: the connection was closed.
            TypeError: JSON has nothing for it.
        """
        await self.send_event({"type": "websocket.send", "text": json.dumps(data)})

    async def receive_event(self) -> Message:
        """Wait for the next ASGI event: ``websocket.connect``, ``websocket.receive`` or ``websocket.disconnect``.

        A connection that was accepted by ``accept()`` or automatically has had its ``websocket.connect``.

        Raises:
            RuntimeError: the disconnect was received before.
        """
        await self.accept_held()
        return await self._next_event()

    async def send_event(self, event: Message) -> None:
        """Send an ASGI event: ``websocket.accept``, ``.send``, ``.close`` or ``.http.response.start`` and ``.body``.

        Raises:
            AssertionError: an event that may not come now.
            ValueError: a close code or reason that may not be sent.
            WebSocketDisconnect: the client has gone.
            RuntimeError: the connection was closed.
        """
        kind = event["type"]
        if self.held:
            if kind in ("websocket.accept", "websocket.http.response.start"):
                self.held = False
            else:
                await self.accept_held()
        if kind == "websocket.close" and self._application is _Application.ACCEPTED:
            _checked_code(event.get("code", 1000), event.get("reason") or "")
        await self._send_event(event)

    async def __aenter__(self) -> Self:
        """Accept the connection, unless that has been done automatically or by an outer block."""
        if self._rejected:
            raise ConnectionRejected(_SENT_CLOSE, self)
        await self.accept_held()
        if not self._entered:
            await self.accept()
            self._entered = True
        return self

    async def __aexit__(self, _: Any, exc: BaseException | None, __: Any) -> bool:
        """Close the connection; tell whether the exception was the client going as clients may."""
        if isinstance(exc, GeneratorExit):
            # The coroutine is being thrown away, and cannot wait for anything.
            return False
        if self.is_own_disconnect(exc):
            return self.catches(exc)
        await self.ensure_closed(1000 if exc is None else 1011)
        return False

    def __aiter__(self) -> Self:
        """Iterate over the messages, without end."""
        return self

    async def __anext__(self) -> Any:
        """Return the next message."""
        return await self.receive()

    def is_own_disconnect(self, exc: BaseException | None) -> bool:
        """Tell whether an exception says that the client of this connection has gone, not that of another one.

        A group, as an ``asyncio.TaskGroup`` raises it, says so if all that is in it does.
        """
        return self._says(exc, lambda _: True)

    def catches(self, exc: BaseException | None) -> bool:
        """Tell whether an exception says that this client has gone, with a code that is no error for the route."""
        return self._says(exc, lambda code: self._is_dismissed or code in self.caught_close_codes)

    def _says(self, exc: BaseException | None, is_meant: Callable[[int], bool]) -> bool:
        if isinstance(exc, BaseExceptionGroup):
            return all(self._says(each, is_meant) for each in exc.exceptions)
        return (
            isinstance(exc, StarletteWebSocketDisconnect)
            and getattr(exc, "connection", None) in (None, self)
            and is_meant(exc.code)
        )

    # Events

    async def _receive_message(self, kind: str) -> Any:
        await self.accept_held()
        if self._rejected:
            raise ConnectionRejected(_RECEIVED_CLOSE, self)
        if self._application is _Application.CLOSED:
            raise self._gone() if self._is_dismissed else RuntimeError(_RECEIVED_CLOSE)
        if self._application is not _Application.ACCEPTED:
            raise _assertion("messages can be received when the connection has been accepted: await ws.accept() first")
        event = await self._next_event()
        if event["type"] == "websocket.disconnect":
            raise self._gone()
        value = event.get(kind)
        if value is None:
            error = KeyError(kind)
            error.add_note(f"a message was to be received as {kind}, but the client sent the other kind")
            raise error
        return value

    async def _next_event(self) -> Message:
        if self._client is _Client.GONE:
            raise RuntimeError(_RECEIVED_DISCONNECT)
        event = await self._receive()
        kind = event["type"]
        if kind == "websocket.disconnect":
            self._client = _Client.GONE
            # Servers that say nothing of the code mean that there was none.
            self._disconnect = (event.get("code") or 1005, event.get("reason") or "")
        elif kind == "websocket.connect" and self._client is _Client.CONNECTING:
            self._client = _Client.CONNECTED
        elif kind != "websocket.receive" or self._client is _Client.CONNECTING:
            raise _assertion(f"the ASGI server sent the event {kind!r}, which may not come now")
        return event

    async def _send_event(self, event: Message) -> None:
        kind = event["type"]
        if self._application is _Application.CLOSED:
            if self._is_dismissed:
                if kind == "websocket.close":
                    return
                raise self._gone(SendAfterDisconnect)
            raise ConnectionRejected(_SENT_CLOSE, self) if self._rejected else RuntimeError(_SENT_CLOSE)
        following = _AFTER.get((self._application, kind))
        if following is None:
            raise _assertion(
                f"the event {kind!r} may not be sent when the connection is {self._application.name}"
                + (": it has been accepted already" if kind == "websocket.accept" else "")
            )
        if kind == "websocket.http.response.body" and event.get("more_body"):
            following = _Application.DENYING
        self._rejected = following is _Application.CLOSED and self._application is _Application.CONNECTING
        # Before waiting, because others may send meanwhile.
        self._application = following
        if self._client is _Client.GONE:
            if kind == "websocket.close":
                return
            raise self._gone(SendAfterDisconnect)
        try:
            await self._send(event)
        except OSError as exc:
            # What servers raise since version 2.4 of the specification. Views catch a disconnect, however they learn
            # of it; how the client has closed stands in an event that was not received yet.
            raise SendAfterDisconnect(1006, connection=self) from exc

    def _gone(self, kind: type[WebSocketDisconnect] = WebSocketDisconnect) -> WebSocketDisconnect:
        return kind(*self._disconnect, connection=self)


def _assertion(note: str) -> AssertionError:
    """Return the exception that Bocadillo's users know, without a message, and say in a note what it means."""
    error = AssertionError()
    error.add_note(note)
    return error


def _checked_code(code: int, reason: str) -> int:
    """Return a close code that may stand in a close frame (RFC 6455, section 7.4).

    Raises:
        ValueError: it may not, or the reason does not fit into the frame.
    """
    if not isinstance(code, int) or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ValueError(
            f"the close code {code!r} cannot be sent: it must be 1000 to 1003, 1007 to 1014 or 3000 to 4999"
        )
    if len(reason.encode()) > _MAX_REASON:
        raise ValueError(f"a close reason must have at most {_MAX_REASON} bytes of UTF-8, not {len(reason.encode())}")
    return int(code)


def _header_fields(headers: _Headers) -> list[tuple[bytes, bytes]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields = [(_latin_1(name).lower(), _latin_1(value)) for name, value in pairs]
    for name, value in fields:
        if any(forbidden in name + value for forbidden in (b"\r", b"\n", b"\0")):
            raise ValueError(f"the header field {name!r} has a line break or a null character in it")
        if name == b"sec-websocket-protocol":
            raise ValueError("the subprotocol is an argument of accept(), not a header field")
    return fields


def _latin_1(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else bytes(text)
