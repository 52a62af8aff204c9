"""The opening handshake as a connection receives it: bytes up to the end of one head, and what came behind it."""

from __future__ import annotations

from autobahnlike.wire.handshake import Acceptance, Opening, read_request, read_response
from autobahnlike.wire.http11 import Request, RequestReader, ResponseReader
from autobahnlike.wire.options import Options

__all__ = ("OpeningHandshake",)


class OpeningHandshake:
    """Reads the peer's half of the opening handshake, once.

    Args:
        options: the bounds and what a server accepts.
        is_server: whether a request is read, or a response.
        is_secure: see ``read_request``.
        external_port: see ``read_request``.

    Attributes:
        key: on a client, the key that was sent.
        protocols: on a client, the subprotocols that were offered.
        request: on a server, the request once its head is complete, also when it is refused.
        rest: what was received behind the head.
    """

    __slots__ = (
        "_complete",
        "_external_port",
        "_is_secure",
        "_options",
        "_reader",
        "key",
        "protocols",
        "request",
        "rest",
    )

    def __init__(self, options: Options, *, is_server: bool, is_secure: bool, external_port: int | None) -> None:
        self._options = options
        self._is_secure = is_secure
        self._external_port = external_port
        bounds = (options.max_handshake_size, options.max_handshake_headers)
        self._reader = RequestReader(*bounds) if is_server else ResponseReader(*bounds)
        self._complete = False
        self.key = ""
        self.protocols: tuple[str, ...] = ()
        self.request: Request | None = None
        self.rest = b""

    def receive(self, data: bytes) -> Opening | Acceptance | None:
        """Take what the peer sent.

        Returns:
            What it asks for, or agrees to; None if that is still to come, or was told already.

        Raises:
            HandshakeError: it asks for, or answers with, something else.
        """
        if self._complete:
            self.rest += data
            return None
        head = self._reader.feed(data)
        if head is None:
            return None
        self._complete = True
        self.rest = self._reader.rest
        if isinstance(head, Request):
            self.request = head
            return read_request(head, self._options, is_secure=self._is_secure, external_port=self._external_port)
        return read_response(head, key=self.key, protocols=self.protocols)
