"""What a client of the proxy asks for: the head of one request, parsed by h11."""

from __future__ import annotations

import re
from typing import NamedTuple

import h11

__all__ = ("Head", "Refused", "Target", "ascii_line")

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_ADDRESS_6 = re.compile(r"[0-9a-f:.]+")
_MAX_NAME = 253
_MAX_LINE = 300

_HELP = "this is a proxy for https: set HTTPS_PROXY to it, and leave HTTP_PROXY alone"


class Target(NamedTuple):
    """Where a client wants to be connected to.

    Attributes:
        host: a name in lower case, without a dot at its end, or an address, IPv6 without brackets.
        port: from 1 to 65535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Refused(Exception):
    """A client does not get what it asked for.

    Args:
        status: the HTTP status.
        text: why, in one line of printable ASCII.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Head:
    """The only request of a connection, and the answer to it.

    Args:
        limit: how many bytes it may have.
    """

    def __init__(self, limit: int) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limit)

    def feed(self, data: bytes) -> Target | None:
        """Take what has come; ``b""`` is the end.

        Returns:
            What is asked for, or None as long as it is not all there.

        Raises:
            Refused: it is not what a proxy for https does.
            EOFError: the client has gone without having asked for anything.
        """
        try:
            self._h11.receive_data(data)
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise Refused(error.error_status_hint, ascii_line(f"this is no request: {error}")) from None
        if event is h11.NEED_DATA:
            return None
        if isinstance(event, h11.ConnectionClosed):
            raise EOFError
        assert isinstance(event, h11.Request)
        if event.method != b"CONNECT":
            raise Refused(405, _HELP)
        # RFC 9110, section 9.3.6: it has no content. h11 gives away what follows when it has said so.
        if not isinstance(self._h11.next_event(), h11.EndOfMessage):
            raise Refused(400, "a CONNECT request has no body")
        return _parse_target(event.target.decode("ascii", "replace"))

    @property
    def rest(self) -> bytes:
        """What has come behind the request."""
        return self._h11.trailing_data[0]

    def accepted(self) -> bytes:
        """Return the answer to a client that is connected."""
        return self._h11.send(h11.Response(status_code=200, headers=[], reason=b"Connection established")) or b""

    def refused(self, refusal: Refused) -> bytes:
        """Return the answer to a client that is not. The reason phrase is the only part that many of them show."""
        body = f"{refusal.text}\n".encode()
        headers = [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        if refusal.status == 405:
            headers.append(("allow", "CONNECT"))
        # As a request that could not be parsed leaves h11 in no state to answer, it is answered by another one.
        answering = h11.Connection(h11.SERVER)
        response = h11.Response(status_code=refusal.status, headers=headers, reason=refusal.text.encode("ascii"))
        parts = (response, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(answering.send(part) or b"" for part in parts)


def _parse_target(text: str) -> Target:
    """Parse authority-form, RFC 9112, section 3.2.3."""
    host, colon, port = text.rpartition(":")
    host = host.lower()
    # RFC 9110, section 9.3.6: a server MUST reject a CONNECT request that targets an empty or invalid port.
    if not (colon and port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise Refused(400, "the target of CONNECT has to be like host:443")
    if host.startswith("[") and host.endswith("]") and _ADDRESS_6.fullmatch(host[1:-1]):
        return Target(host[1:-1], int(port))
    host = host.removesuffix(".")
    if len(host) > _MAX_NAME or not _NAME.fullmatch(host):
        raise Refused(400, "the target of CONNECT has to be like host:443, with the name of a host")
    return Target(host, int(port))


def ascii_line(text: str) -> str:
    """Return a text as it can be a reason phrase."""
    return "".join(character if " " <= character <= "~" else "?" for character in text[:_MAX_LINE])
