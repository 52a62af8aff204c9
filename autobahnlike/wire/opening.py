"""The opening handshake as a connection receives it: bytes up to the end of one head, and what came behind it."""

from __future__ import annotations

from autobahnlike.wire.handshake import Acceptance, Opening, read_request, read_response
from autobahnlike.wire.http11 import Request, RequestReader, Response, ResponseReader, read_whole_request
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
        "_is_server",
        "_options",
        "_reader",
        "key",
        "protocols",
        "request",
        "rest",
    )

    def __init__(self, options: Options, *, is_server: bool, is_secure: bool, external_port: int | None) -> None:
        self._options = options
        self._is_server = is_server
        self._is_secure = is_secure
        self._external_port = external_port
        # Only for a head that does not come whole
        self._reader: RequestReader | ResponseReader | None = None
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
        head = self._read_head(data)
        if head is None:
            return None
        self._complete = True
        if isinstance(head, Request):
            self.request = head
            return read_request(head, self._options, is_secure=self._is_secure, external_port=self._external_port)
        return read_response(head, key=self.key, protocols=self.protocols)

    def _read_head(self, data: bytes) -> Request | Response | None:
        """Read on in the head; give it, and set ``rest``, when it is complete."""
        reader = self._reader
        if reader is None:
            max_size, max_headers = self._options.max_handshake_size, self._options.max_handshake_headers
            if self._is_server:
                request, end = read_whole_request(data, max_size, max_headers)
                if request is not None:
                    self.rest = data[end:]
                    return request
                reader = RequestReader(max_size, max_headers)
            else:
                reader = ResponseReader(max_size, max_headers)
            self._reader = reader
        head = reader.feed(data)
        self.rest = reader.rest
        return head
