"""One request of the scope ``http`` and its response: what the application talks to.

How bodies are framed is h11's business. What the client may make us hold or wait for is bounded here and in ``http``.
"""

from __future__ import annotations

from email.utils import formatdate
from enum import Enum
from typing import TYPE_CHECKING

import h11

from autobahnlike.asgi.condition import Condition, next_turn
from autobahnlike.asgi.errors import ClientDisconnected
from autobahnlike.asgi.forwarded import peer_of
from autobahnlike.asgi.scope import HEADER_NAMES, Event, HeaderNames, http_scope
from autobahnlike.wire.http11 import reason_phrase

if TYPE_CHECKING:
    from autobahnlike.asgi.http import HttpConnection

__all__ = ("HttpExchange",)

# What is received of a body that the application does not read.
_READ_AHEAD = 65536

# What a response may bring before the others on the loop are given a turn.
_TURN_SIZE = 1048576


class _Stage(Enum):
    NEW = "http.response.start is expected"
    STARTED = "http.response.body is expected"
    SENDING = "http.response.body is expected, or nothing"
    DONE = "the response is complete"
    LOST = "the client is gone"


class HttpExchange:
    """One request, and what the application answers.

    Args:
        connection: where it came from.
        parser: has read the head.
        request: that head.

    Attributes:
        has_request: whether all of the request has been received.
    """

    def __init__(self, connection: HttpConnection, parser: h11.Connection, request: h11.Request) -> None:
        self._connection = connection
        self._server = connection.server
        self._parser = parser
        self._request = request
        self._peer = connection.peer
        self._stage = _Stage.NEW
        self._body: list[bytes] = []
        self._body_size = 0
        self._received = 0
        # Whether the application knows that the body is complete.
        self._has_read = False
        # Whether the client sends nothing more, and perhaps is gone.
        self._peer_ended = False
        self._response: h11.Response | None = None
        self._sent_in_turn = 0
        self._came = Condition(connection.server.apps)
        self.has_request = False

    # -- The request

    def begin(self, data: bytes) -> None:
        """Call the application.

        Args:
            data: what came behind the head.
        """
        request, server, link = self._request, self._server, self._connection.link
        bound = server.options.max_body_size
        length = next((int(value) for name, value in request.headers if name == b"content-length"), 0)
        if bound and length > bound:
            self._refuse(413, "the body of the request is too large")
            return
        self.data_received(data)
        if self._stage is _Stage.LOST:
            return
        scope = http_scope(
            request.method.decode("ascii"),
            request.http_version.decode("ascii"),
            request.target,
            [(name, value) for name, value in request.headers],
            link.peer,
            link.own,
            server.options.root_path,
            is_secure=link.is_secure,
            state=server.lifespan.state,
            extensions={HEADER_NAMES: HeaderNames(name for name, _ in request.headers.raw_items())},
            proxies=server.options.proxies,
        )
        self._peer = peer_of(scope, self._peer)
        server.counters.requests_in_progress += 1
        server.run(scope, self.receive, self.send, self._returned)

    def data_received(self, data: bytes) -> None:
        """More of the body came."""
        try:
            if data:
                self._parser.receive_data(data)
            while not self.has_request:
                event = self._parser.next_event()
                if isinstance(event, h11.Data):
                    self._body.append(bytes(event.data))
                    self._body_size += len(event.data)
                    self._received += len(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self.has_request = True
                else:
                    break
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))
            return
        bound = self._server.options.max_body_size
        if bound and self._received > bound:
            self._refuse(413, "the body of the request is too large")
            return
        if self._body_size > _READ_AHEAD:
            self._connection.pause_reading()
        if self._body or self.has_request:
            self._came.notify_all()

    def _refuse(self, status: int, reason: str) -> None:
        """The client has sent what cannot be dealt with; if the application has answered already, drop it."""
        is_new = self._stage in (_Stage.NEW, _Stage.STARTED)
        self._stage = _Stage.LOST
        if is_new:
            self._log_access(status)
            self._connection.refuse(status, reason)
        else:
            self._connection.abort()
        self._came.notify_all()

    def peer_ended(self) -> None:
        """The client sends nothing more: it is gone, or it wants nothing but the response."""
        if self.has_request:
            self._peer_ended = True
            self._came.notify_all()
        else:
            self._stage = _Stage.LOST
            self._came.notify_all()
            self._connection.abort()

    def lost(self) -> None:
        """The client is gone."""
        self._stage = _Stage.LOST
        self._came.notify_all()

    async def receive(self) -> Event:
        """Give the next piece of the body; after the end of it, wait for the client to go or the response to end."""
        connection = self._connection
        if self._parser.they_are_waiting_for_100_continue and self._stage is _Stage.NEW:
            event = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
            connection.write(self._parser.send(event) or b"")
        while self._stage is not _Stage.LOST and self._stage is not _Stage.DONE:
            if self._body or (self.has_request and not self._has_read):
                body = b"".join(self._body)
                self._body.clear()
                self._body_size = 0
                self._has_read = self.has_request
                if not self.has_request:
                    connection.resume_reading()
                return {"type": "http.request", "body": body, "more_body": not self.has_request}
            if self._peer_ended:
                break
            self._sent_in_turn = 0
            if self.has_request:
                await self._came.wait()
            else:
                await self._more_body()
        return {"type": "http.disconnect"}

    async def _more_body(self) -> None:
        self._connection.set_timer(self._server.options.body_timeout, self._starved)
        try:
            await self._came.wait()
        finally:
            # Also when the application has waited long enough: then it is not waiting any more.
            if self._stage is not _Stage.LOST and self._stage is not _Stage.DONE:
                self._connection.clear_timer()

    def _starved(self) -> None:
        self._refuse(408, "the body of the request took too long")

    # -- The response

    async def send(self, event: Event) -> None:
        """Do what the application wants done.

        Raises:
            ClientDisconnected: the client is gone.
            RuntimeError: the event cannot be sent now, or has something that it cannot have.
            TypeError: a value of another type.
        """
        kind = event["type"]
        if self._stage is _Stage.LOST or self._connection.is_lost:
            raise ClientDisconnected("the client has disconnected")
        if kind == "http.response.start" and self._stage is _Stage.NEW:
            self._response = self._make_response(event)
            self._stage = _Stage.STARTED
        elif kind == "http.response.body" and self._stage in (_Stage.STARTED, _Stage.SENDING):
            await self._send_body(event.get("body", b""), more=bool(event.get("more_body", False)))
        else:
            raise RuntimeError(f"{kind!r} cannot be sent now: {self._stage.value}")

    def _make_response(self, event: Event) -> h11.Response:
        """Check what the application has for the head of its response, and make what h11 has for it."""
        status = event["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise RuntimeError(f"the status of a response must be from 200 to 599, not {status!r}")
        if event.get("trailers"):
            raise RuntimeError("trailers are an extension that this server does not offer")
        headers = []
        for pair in event.get("headers") or ():
            name, value = pair
            if not isinstance(name, bytes) or not isinstance(value, bytes):
                raise TypeError(f"headers are pairs of bytes, unlike {pair!r:.80}")
            # RFC 9110, section 8.6: a response 204 must not have one.
            if status != 204 or name.lower() != b"content-length":
                headers.append((name, value))
        try:
            return h11.Response(status_code=status, headers=headers, reason=reason_phrase(status))
        except h11.LocalProtocolError as error:
            raise RuntimeError(f"this response cannot be sent: {error}") from None

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f"the body of a response must be bytes, not {type(body).__name__}")
        connection = self._connection
        data = b""
        try:
            if self._stage is _Stage.STARTED:
                data = self._parser.send(self._head_of_response(body, more=more)) or b""
            if body and not self._has_no_body():
                data += self._parser.send(h11.Data(data=bytes(body))) or b""
            if not more:
                data += self._parser.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError as error:
            raise RuntimeError(f"this response cannot be sent: {error}") from None
        if self._stage is _Stage.STARTED:
            self._stage = _Stage.SENDING
            self._server.counters.count_request(self._status)
            self._log_access(self._status)
        if data:
            connection.write(data)
        if more:
            await self._paced(len(data))
        else:
            self._complete()

    async def _paced(self, size: int) -> None:
        """Wait until the client takes more, and let others have a turn even if it always does."""
        connection = self._connection
        self._sent_in_turn += size
        if self._sent_in_turn > _TURN_SIZE and connection.is_drained:
            self._sent_in_turn = 0
            await next_turn(self._server.apps)
        while not connection.is_drained and not connection.is_lost:
            self._sent_in_turn = 0
            await connection.can_write.wait()
        if connection.is_lost:
            raise ClientDisconnected("the client has disconnected")

    @property
    def _status(self) -> int:
        assert self._response is not None
        return self._response.status_code

    def _has_no_body(self) -> bool:
        return self._request.method == b"HEAD" or self._status in (204, 304)

    def _head_of_response(self, body: bytes, *, more: bool) -> h11.Response:
        """Add to the head what is the server's part."""
        response = self._response
        assert response is not None
        headers = list(response.headers)
        names = {name for name, _ in headers}
        is_framed = b"content-length" in names or b"transfer-encoding" in names
        # A response to HEAD may leave the body out, and then nobody knows how long it would have been.
        is_known = body or self._request.method != b"HEAD"
        if not is_framed and not more and is_known and self._status not in (204, 304):
            headers.append((b"content-length", str(len(body)).encode()))
        if b"date" not in names:
            headers.append((b"date", formatdate(usegmt=True).encode()))
        server = self._server.options.server_header
        if server and b"server" not in names:
            headers.append((b"server", server.encode()))
        if not self.has_request or self._server.is_stopping:
            # What is left of the body would have to be read to get at the next request.
            headers = [pair for pair in headers if pair[0] != b"connection"]
            headers.append((b"connection", b"close"))
        return h11.Response(status_code=self._status, headers=headers, reason=response.reason)

    def _complete(self) -> None:
        self._stage = _Stage.DONE
        parser, connection = self._parser, self._connection
        is_reusable = parser.our_state is h11.DONE and parser.their_state is h11.DONE
        connection.exchanged(parser.trailing_data[0] if is_reusable else b"", is_reusable=is_reusable)
        self._came.notify_all()

    def _log_access(self, status: int) -> None:
        request = self._request
        self._server.log_access(
            self._peer,
            request.method.decode("ascii"),
            request.target.decode("latin-1"),
            request.http_version.decode("ascii"),
            status,
        )

    # -- The application has ended

    def _returned(self, error: BaseException | None) -> None:
        self._server.counters.requests_in_progress -= 1
        target = ascii(self._request.target.decode("latin-1"))[1:-1]
        is_gone = self._stage is _Stage.LOST or self._connection.is_lost
        if self._server.has_given_up:
            # The server has cancelled it, and says so.
            error = None
        elif error is not None and not (isinstance(error, ClientDisconnected) and is_gone):
            self._server.log_failure(f"the application raised an exception for the request {target}", error)
        elif error is None and self._stage is not _Stage.DONE and not is_gone:
            self._server.log_failure(
                f"the application has not answered the request {target}",
                RuntimeError(f"the application returned, and {self._stage.value}"),
            )
        if self._stage is _Stage.DONE or is_gone:
            return
        if self._stage is _Stage.SENDING:
            # So that the client does not take what it has for all there is.
            self._stage = _Stage.LOST
            self._connection.abort()
        else:
            self._refuse(500, "Internal Server Error")
