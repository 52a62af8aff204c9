"""Every exception this package raises on purpose, in one tree.

::

    WebSocketError
    ├── LocalProtocolError              the application broke the contract; nothing was sent
    │   ├── Disconnected                sending on a connection that is not open (also RuntimeError)
    │   ├── PayloadExceededError        an outgoing message is over the limit (also RuntimeError)
    │   └── InvalidArgument             a code, reason, payload or option that may not be used (also ValueError)
    ├── RemoteProtocolError             the peer broke the protocol; carries .close_code
    │   ├── FrameError                  1002: framing, masking, opcodes, closing handshake
    │   ├── InvalidUtf8                 1007: text that is not UTF-8
    │   ├── PayloadCorruptError         1007: compressed data that does not inflate (also RuntimeError)
    │   └── MessageTooBig               1009: a frame or message over a limit
    └── HandshakeError                  the opening handshake failed; carries .http_status
        ├── InvalidRequest              a server refuses what it was sent
        │   └── NotAnUpgrade            valid HTTP, but not a request for a WebSocket
        └── InvalidResponse             a client refuses what it was answered

``Disconnected``, ``PayloadExceededError`` and ``PayloadCorruptError`` are Autobahn's names and, as there, derive
from ``RuntimeError``. Local misuse and misbehaving peers are different branches, so that an application can catch
the one without hiding the other.
"""

from __future__ import annotations

__all__ = (
    "Disconnected",
    "FrameError",
    "HandshakeError",
    "InvalidArgument",
    "InvalidRequest",
    "InvalidResponse",
    "InvalidUtf8",
    "LocalProtocolError",
    "MessageTooBig",
    "NotAnUpgrade",
    "PayloadCorruptError",
    "PayloadExceededError",
    "RemoteProtocolError",
    "WebSocketError",
)


class WebSocketError(Exception):
    """The root of the tree."""


class LocalProtocolError(WebSocketError):
    """The application asked for something that the protocol, or the state of the connection, does not allow.

    Nothing was sent.
    """


class Disconnected(LocalProtocolError, RuntimeError):
    """A message was sent on a connection that is not open."""


class PayloadExceededError(LocalProtocolError, RuntimeError):
    """An outgoing message is larger than ``maxMessagePayloadSize``."""


class InvalidArgument(LocalProtocolError, ValueError):
    """A value that the application gave may not be used: a close code, a reason, a header, an option."""


class RemoteProtocolError(WebSocketError):
    """The peer broke the protocol. The connection is failed with a close frame that carries code and reason.

    Attributes:
        close_code: the close code the violation is answered with (RFC 6455, section 7.4.1).
        reason: what was wrong, for the close frame and the log; at most 123 bytes of ASCII.
    """

    close_code = 1002

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FrameError(RemoteProtocolError):
    """A frame, or a sequence of frames, that RFC 6455 forbids."""


class InvalidUtf8(RemoteProtocolError):
    """A text message or a close reason that is not UTF-8 (RFC 6455, section 8.1)."""

    close_code = 1007


class PayloadCorruptError(RemoteProtocolError, RuntimeError):
    """Compressed data that does not inflate (RFC 7692, section 7.2.2)."""

    close_code = 1007


class MessageTooBig(RemoteProtocolError):
    """A frame, a message or what it inflates to is over its limit."""

    close_code = 1009


class HandshakeError(WebSocketError):
    """The opening handshake failed.

    Attributes:
        http_status: the status a server answers with, or the status a client was answered with (0 if none).
        reason: what was wrong, as one line of text.
        headers: header fields for the answer, as (name, value) pairs.
    """

    http_status = 0

    def __init__(
        self,
        reason: str,
        http_status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        if http_status is not None:
            self.http_status = http_status
        self.headers = headers


class InvalidRequest(HandshakeError):
    """A server refuses a request; ``http_status`` is 400 unless something more fitting is known."""

    http_status = 400


class NotAnUpgrade(InvalidRequest):
    """A valid HTTP request that does not ask for a WebSocket; answered with 426 unless a page is served."""

    http_status = 426


class InvalidResponse(HandshakeError):
    """A client refuses a response; ``http_status`` is the status of the response, if it had one."""
