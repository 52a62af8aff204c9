"""The server's side of a session: the opening handshake with the application's say in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autobahnlike.exception import InvalidArgument, NotAnUpgrade
from autobahnlike.websocket.compress import negotiate_server
from autobahnlike.websocket.session import Session
from autobahnlike.websocket.types import ConnectionAccept, ConnectionDeny, ConnectionRequest
from autobahnlike.wire.handshake import Opening, accept_response, refuse_response
from autobahnlike.wire.headers import Extension
from autobahnlike.wire.http11 import Request, reason_phrase
from autobahnlike.wire.state import State

if TYPE_CHECKING:
    from autobahnlike.websocket.protocol import WebSocketServerProtocol

__all__ = ("ServerSession", "extension_parameters")


def extension_parameters(extension: Extension) -> dict[str, list[Any]]:
    """Return the parameters of an extension as Autobahn's compression classes take them; True for one without value."""
    parameters: dict[str, list[Any]] = {}
    for name, value in extension[1]:
        parameters.setdefault(name, []).append(True if value is None else value)
    return parameters


class ServerSession(Session):
    """Drives a ``WebSocketServerProtocol``."""

    is_server = True

    protocol: WebSocketServerProtocol

    def _external_port(self) -> int | None:
        return self.protocol.factory.externalPort

    def start(self) -> None:
        """The transport is connected: a server has nothing to do but to mind the time."""
        self._arm_timer()

    def on_request(self, opening: Opening) -> None:
        """A client asks for a WebSocket: ask the application."""
        protocol = self.protocol
        factory = protocol.factory
        self._opening = opening
        self._note_request(opening)
        if factory._stopping:
            self.refuse(503, "the server is shutting down")
        elif self.options.max_connections and factory.countConnections > self.options.max_connections:
            self.refuse(503, "maximum number of connections reached")
        elif protocol._uses_default("onConnect"):
            # It accepts, and looks at nothing.
            self._accept(None)
        else:
            request = ConnectionRequest(
                protocol.peer,
                protocol.http_headers,
                opening.host,
                opening.path,
                opening.params,
                opening.version,
                opening.origin,
                list(opening.protocols),
                protocol.websocket_extensions,
            )
            self._run_hook("onConnect", (request,), self._accept, self._deny)

    def on_plain_request(self, request: Request, error: NotAnUpgrade) -> None:
        """A plain HTTP request: show a page, or say that an upgrade is required."""
        protocol = self.protocol
        protocol.http_headers = request.headers.joined()
        protocol.http_request_uri = request.target
        if self.options.web_status:
            protocol.sendServerStatus()
        else:
            self.refuse(error.http_status, error.reason, error.headers)

    def refuse(
        self,
        status: int,
        reason: str,
        headers: Any = (),
        body: bytes | None = None,
    ) -> None:
        """Answer the request with an HTTP response and end the connection, unless it is lost by now.

        Args:
            status: the HTTP status, from 200 to 599.
            reason: why: the reason phrase, and what ``onClose`` is told.
            headers: header fields of the response.
            body: its body, None for a line of text.
        """
        if self.connection.state is not State.CONNECTING:
            return
        response = refuse_response(status, reason, headers, body, self.protocol.factory.server or "")
        self.connection.refuse(response, reason, self.loop.now())

    def _note_request(self, opening: Opening) -> None:
        """Set what applications read off the protocol."""
        protocol = self.protocol
        protocol.http_headers = headers = opening.headers.joined()
        protocol.http_request_uri = opening.resource
        protocol.http_request_path = opening.path
        protocol.http_request_params = opening.params
        protocol.http_request_host = opening.host
        protocol.websocket_version = opening.version
        protocol.websocket_protocols = list(opening.protocols)
        protocol.websocket_origin = opening.origin
        protocol.websocket_extensions = [
            (extension[0], extension_parameters(extension)) for extension in opening.extensions
        ]
        hops = self.options.trust_x_forwarded_for
        if hops:
            # The proxies we trust append what they saw; what stands before that, the client may have made up.
            forwarded = [address.strip() for address in headers.get("x-forwarded-for", "").split(",")]
            address = forwarded[-hops] if len(forwarded) >= hops else forwarded[0]
            if address:
                protocol.peer = address

    def _accept(self, result: Any) -> None:
        """Open the connection as ``onConnect`` wants it."""
        opening = self._opening
        assert opening is not None
        # It holds the whole request, and a connection may be idle for a long time.
        self._opening = None
        protocol = self.protocol
        factory = protocol.factory
        try:
            subprotocol, headers = self._read_result(result)
            extensions, codec = negotiate_server(protocol.websocket_extensions, self.options.compression_accept)
            response = accept_response(
                opening,
                subprotocol=subprotocol,
                extensions=extensions,
                headers=[*factory.headers.items(), *headers.items()],
                server=factory.server or "",
            )
        except Exception as error:
            self._deny(error)
            return
        protocol.websocket_protocol_in_use = subprotocol
        protocol.websocket_extensions_in_use = [codec] if codec is not None else []
        self.connection.accept(response, codec)
        self._opened()

    def _read_result(self, result: Any) -> tuple[str | None, dict[str, Any]]:
        if result is None:
            return None, {}
        if isinstance(result, ConnectionAccept):
            result = (result.subprotocol, result.headers)
        subprotocol, headers = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
        if subprotocol is not None and not isinstance(subprotocol, str):
            raise InvalidArgument(
                "onConnect must return None, a subprotocol, or a subprotocol or None with a dict of headers, "
                f"not {result!r}"
            )
        return subprotocol, headers or {}

    def _deny(self, error: BaseException) -> None:
        if isinstance(error, ConnectionDeny) and 300 <= error.code <= 599:
            self.refuse(error.code, error.reason or reason_phrase(error.code))
        else:
            self.log_failure("onConnect", error)
            self.refuse(500, "Internal Server Error")
