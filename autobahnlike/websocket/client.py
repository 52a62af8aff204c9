"""The client's side of a session: sending the opening handshake and checking the answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from autobahnlike.exception import InvalidResponse
from autobahnlike.websocket.compress import default_offers, negotiate_client
from autobahnlike.websocket.server import extension_parameters
from autobahnlike.websocket.session import Session
from autobahnlike.websocket.types import ConnectingRequest, ConnectionResponse
from autobahnlike.wire.handshake import Acceptance, build_request, new_key

if TYPE_CHECKING:
    from autobahnlike.websocket.protocol import WebSocketClientProtocol

__all__ = ("ClientSession",)


class ClientSession(Session):
    """Drives a ``WebSocketClientProtocol``."""

    protocol: WebSocketClientProtocol

    def start(self) -> None:
        """Ask the application what to ask the server for, and send the request."""
        details = (self.protocol.transport_details,)
        self._drive(self._run_hook, "onConnecting", details, self._send_request, self._connecting_failed)

    def on_response(self, acceptance: Acceptance) -> None:
        """The server agreed: check what it says of compression, and tell the application."""
        protocol = self.protocol
        try:
            answers = [(extension[0], extension_parameters(extension)) for extension in acceptance.extensions]
            codec = negotiate_client(answers, self._offers, self.options.compression_accept)
        except InvalidResponse as error:
            self.connection.fail_handshake(error.reason)
            return
        except Exception as error:
            self.log_failure("perMessageCompressionAccept", error)
            self.connection.fail_handshake("internal error")
            return
        protocol.http_headers = acceptance.headers.joined()
        protocol.websocket_protocol_in_use = acceptance.subprotocol
        protocol.websocket_extensions_in_use = [codec] if codec is not None else []
        self.connection.establish(codec)
        response = ConnectionResponse(
            protocol.peer,
            protocol.http_headers,
            protocol.websocket_version,
            acceptance.subprotocol,
            protocol.websocket_extensions_in_use,
        )
        self._run_hook("onConnect", (response,), self._opened, self._connect_failed)

    def _send_request(self, asked: Any) -> None:
        protocol = self.protocol
        factory = protocol.factory
        if asked is None:
            asked = ConnectingRequest(
                host=factory.host,
                port=factory.port,
                resource=factory.resource,
                headers=factory.headers,
                useragent=factory.useragent,
                origin=factory.origin,
                protocols=factory.protocols,
            )
        offers = self.options.compression_offers
        self._offers = list(default_offers() if offers is None else offers)
        key = new_key(os.urandom(16))
        protocol.websocket_key = key
        protocol.websocket_version = self.options.version
        try:
            protocol.websocket_protocols = list(asked.protocols)
            protocol.websocket_origin = asked.origin or ""
            request = build_request(
                host=asked.host,
                port=asked.port,
                secure=factory.isSecure,
                resource=asked.resource,
                key=key,
                version=self.options.version,
                origin=asked.origin,
                protocols=asked.protocols,
                extensions=", ".join(offer.get_extension_string() for offer in self._offers),
                headers=asked.headers,
                useragent=asked.useragent,
            )
        except Exception as error:
            self._connecting_failed(error)
            return
        self.connection.send_request(request, key=key, protocols=tuple(protocol.websocket_protocols))

    def _connecting_failed(self, error: BaseException) -> None:
        self.log_failure("onConnecting", error)
        self.connection.drop(self.loop.now())

    def _connect_failed(self, error: BaseException) -> None:
        self._hook_failed("onConnect", error)
        self._resume()
