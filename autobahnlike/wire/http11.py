"""Heads of HTTP/1.1 messages: readers that are fed what arrives, and writers (RFC 9112).

A reader refuses what it is fed at the first byte that cannot belong to a head, or that exceeds a bound. It judges each
byte once, however the bytes are cut into pieces: a reader that starts again at every read makes a slowly sent head cost
the square of its length (CVE-2023-43669).

Lines end with CR LF and nothing else. RFC 9112, section 2.2 would let a lone LF end a line, and str.splitlines() knows
eight more line ends; wherever a proxy in front disagrees, a header can be smuggled past it (CVE-2026-44546).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from autobahnlike.exception import HandshakeError, InvalidArgument, InvalidRequest, InvalidResponse
from autobahnlike.wire.headers import (
    TEXT_BYTES,
    TOKEN_BYTES,
    Headers,
    check_header,
    decode_value,
    is_visible,
    quote_text,
)
from autobahnlike.wire.kernel import read_fields

__all__ = (
    "HeadReader",
    "Request",
    "RequestReader",
    "Response",
    "ResponseReader",
    "clean_reason",
    "header_line",
    "read_whole_request",
    "reason_phrase",
    "write_request",
    "write_response",
)

_VISIBLE = bytes(range(0x21, 0x7F))
_REQUEST_LINE_BYTES = _VISIBLE + b" "
_FIELD_BYTES = TEXT_BYTES + bytes(range(0x80, 0x100))

# Longer than the method of any request (RFC 9110, section 16.1), to tell binary and other protocols from HTTP early.
_MAX_METHOD = 24
_PREFIX = 32
_UNLIMITED = 1 << 62

_STATUS_LINE_START = b"HTTP/1.1 "

# Statuses that have no body, whatever their headers say (RFC 9110, sections 15.2, 15.3.5 and 15.4.5).
_BODILESS = (101, 204, 304)

_PHRASES = {
    101: "Switching Protocols",
    200: "OK",
    204: "No Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    410: "Gone",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}

_CLASSES = {1: "Informational", 2: "Success", 3: "Redirection", 4: "Client Error", 5: "Server Error"}


class Request(NamedTuple):
    """The head of a request.

    Attributes:
        method: such as ``GET``.
        target: the request target as it was sent (RFC 9112, section 3.2).
        version: such as ``HTTP/1.1``.
        headers: the header fields.
    """

    method: str
    target: str
    version: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response.

    Attributes:
        status: the status code, from 100 to 599.
        reason: the reason phrase, often empty.
        headers: the header fields.
    """

    status: int
    reason: str
    headers: Headers


HeadT = TypeVar("HeadT", Request, Response)


class HeadReader(ABC, Generic[HeadT]):
    """Reads one head from a stream of bytes. Use ``RequestReader`` or ``ResponseReader``.

    Args:
        max_size: bytes in the head, its last line end included; 0 for no bound. A line may have a quarter of it.
        max_headers: header lines in the head; 0 for no bound.

    Attributes:
        rest: what came behind the head, once it is complete.
    """

    _start_bytes: bytes  # what the first line may consist of

    def __init__(self, max_size: int = 65536, max_headers: int = 128) -> None:
        self.rest = b""
        self._buffer = bytearray()
        self._line = 0  # where the current line starts in the buffer
        self._checked = 0  # bytes before this are known to be text
        self._max_size = max_size or _UNLIMITED
        self._max_line = max_size // 4 or _UNLIMITED
        self._max_headers = max_headers or _UNLIMITED
        self._in_headers = False
        self._pairs: list[tuple[str, str]] = []

    @property
    def head(self) -> bytes:
        """What has been read of the head so far, as it came."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> HeadT | None:
        """Take what arrived. Gives the head when it is complete; nothing may be fed after that.

        Raises:
            HandshakeError: ``InvalidRequest`` or ``InvalidResponse``: this is not the head of an HTTP/1.1 message, or
                not within the bounds.
        """
        position = 0
        while position < len(data):
            stop = data.find(b"\n", position) + 1 or len(data)
            line = self._extend_line(data, position, stop)
            position = stop
            if line is not None:
                head = self._end_line(line)
                if head is not None:
                    self.rest = bytes(data[position:])
                    return head
        return None

    def _extend_line(self, data: bytes, position: int, stop: int) -> bytes | None:
        """Add a piece to the current line; gives the line, without its end, when that completes it."""
        buffer, start = self._buffer, self._line
        limit = min(self._max_line, self._max_size - start - 2)
        room = start + limit + 2 - len(buffer)
        buffer += data[position : min(stop, position + room)]
        complete = buffer.endswith(b"\r\n", start)
        end = len(buffer) - (2 if complete else buffer.endswith(b"\r", start))
        bad = buffer[self._checked : end].translate(None, _FIELD_BYTES if self._in_headers else self._start_bytes)
        text_end = buffer.index(bad[0], self._checked) if bad else end
        self._checked = end
        if not self._in_headers:
            self._check_start(bytes(buffer[start : min(text_end, start + _PREFIX, start + max(limit, 0))]))
        # A byte beyond the bound is refused for the bound whatever it is, so that the answer does not depend on how
        # the bytes were cut into pieces.
        if bad and text_end - start < limit:
            raise self._refuse(f"byte 0x{bad[0]:02x} may not be in the head of an HTTP message")
        if end - start > limit:
            raise self._refuse("the head is too long", 431 if self._in_headers else 414)
        if not complete:
            return None
        self._line = self._checked = len(buffer)
        return bytes(buffer[start:end])

    def _end_line(self, line: bytes) -> HeadT | None:
        if not self._in_headers:
            self._in_headers = self._parse_start(line)
        elif line:
            self._parse_header(line)
        else:
            head = self._finish(Headers(self._pairs))
            self._in_headers = False
            self._pairs = []
            return head
        return None

    def _parse_header(self, line: bytes) -> None:
        if len(self._pairs) == self._max_headers:
            raise self._refuse("there are too many headers", 431)
        # RFC 9112, section 5.2: "A server that receives an obs-fold in a request message [...] MUST either reject the
        # message" or replace it; section 5.1: whitespace before the colon MUST be rejected with 400.
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, TOKEN_BYTES):
            raise self._refuse("a header line is malformed")
        self._pairs.append((name.decode("ascii"), decode_value(value.strip(b" \t"))))

    @abstractmethod
    def _check_start(self, text: bytes) -> None:
        """Refuse the first line as soon as its beginning, up to ``_PREFIX`` bytes, cannot be one."""

    @abstractmethod
    def _parse_start(self, line: bytes) -> bool:
        """Parse the first line; False if it is to be ignored."""

    @abstractmethod
    def _finish(self, headers: Headers) -> HeadT | None:
        """Make the head; None if it is to be ignored and another one follows."""

    @abstractmethod
    def _refuse(self, reason: str, status: int = 400) -> HandshakeError:
        """Make the error that refuses the message."""


class RequestReader(HeadReader[Request]):
    """Reads the head of the request for a WebSocket: a GET of HTTP/1.1.

    It raises ``InvalidRequest`` with the status to answer with: 405 for another method, 414 for a request line that is
    too long, 431 for headers that are too many or too long, 505 for another version, else 400.
    """

    _start_bytes = _REQUEST_LINE_BYTES

    def __init__(self, max_size: int = 65536, max_headers: int = 128) -> None:
        super().__init__(max_size, max_headers)
        self._start = ("", "", "")

    def feed(self, data: bytes) -> Request | None:
        """Take what arrived; see ``HeadReader.feed``."""
        if not self._buffer:
            request, end = read_whole_request(data, self._max_size, self._max_headers)
            if request is not None:
                self._buffer += data[:end]
                self.rest = bytes(data[end:])
                return request
        return super().feed(data)

    def _check_start(self, text: bytes) -> None:
        method, space, _ = text.partition(b" ")
        if (space and not method) or len(method) > _MAX_METHOD or method.translate(None, TOKEN_BYTES):
            raise self._refuse("this is not an HTTP request")
        # PRI begins the preface of HTTP/2 (RFC 9113, section 3.4), which is to hear of its version.
        if space and method not in (b"GET", b"PRI"):
            error = f"HTTP method {quote_text(method.decode('ascii'))} is not allowed"
            raise InvalidRequest(error, 405, (("Allow", "GET"),))

    def _parse_start(self, line: bytes) -> bool:
        # RFC 9112, section 2.2: a server "SHOULD ignore at least one empty line (CRLF) received prior to the
        # request-line". One is enough.
        if not line and self._line == 2:
            return False
        parts = line.decode("ascii").split(" ")
        if len(parts) != 3 or not parts[1]:
            raise self._refuse("the request line is malformed")
        method, target, version = parts
        if version != "HTTP/1.1":
            status = 505 if version.startswith("HTTP/") else 400
            raise self._refuse(f"HTTP version {quote_text(version, 16)} is not supported", status)
        self._start = (method, target, version)
        return True

    def _finish(self, headers: Headers) -> Request:
        return Request(*self._start, headers)

    def _refuse(self, reason: str, status: int = 400) -> InvalidRequest:
        return InvalidRequest(reason, status)


def read_whole_request(data: bytes, max_size: int, max_headers: int) -> tuple[Request | None, int]:
    """Read a head that came in one piece, as nearly all do, in a fraction of the time that a ``RequestReader`` takes.

    Args:
        data: what arrived first.
        max_size: see ``HeadReader``.
        max_headers: see ``HeadReader``.

    Returns:
        The request, and where in ``data`` its head ends. None, and 0, for whatever is not as usual in any way: a
        ``RequestReader`` will tell what is wrong with it, if anything is.
    """
    max_size = max_size or _UNLIMITED
    max_line = max_size // 4
    end = data.find(b"\r\n\r\n")
    first_end = data.find(b"\r\n")
    if end < 0 or end + 4 > max_size or first_end > max_line:
        return None, 0
    first = data[:first_end]
    if not first.startswith(b"GET ") or not first.endswith(b" HTTP/1.1"):
        return None, 0
    target = first[4 : first_end - 9].decode("latin-1")
    if not is_visible(target):
        return None, 0
    pairs = read_fields(data, first_end + 2, end, max_line, max_headers or _UNLIMITED) if first_end < end else []
    if pairs is None:
        return None, 0
    return Request("GET", target, "HTTP/1.1", Headers(pairs)), end + 4


class ResponseReader(HeadReader[Response]):
    """Reads the head of the response to a request for a WebSocket.

    Interim responses, such as 100 Continue, are skipped, but count for the bound of the size. It raises
    ``InvalidResponse``, with the status of the response if that was read.
    """

    _start_bytes = _FIELD_BYTES

    def __init__(self, max_size: int = 65536, max_headers: int = 128) -> None:
        super().__init__(max_size, max_headers)
        self._status = 0
        self._reason = ""

    def _check_start(self, text: bytes) -> None:
        digits = text[len(_STATUS_LINE_START) :][:3]
        if not _STATUS_LINE_START.startswith(text[: len(_STATUS_LINE_START)]):
            if text.startswith(b"HTTP/"):
                raise self._refuse("the server does not answer with HTTP/1.1")
            raise self._refuse("the server does not answer with HTTP")
        if digits and not (digits.isdigit() and b"1" <= digits[:1] <= b"5"):
            raise self._refuse("the status line is malformed")

    def _parse_start(self, line: bytes) -> bool:
        after = len(_STATUS_LINE_START) + 3
        # The space belongs to the line even if no reason follows it (RFC 9112, section 4), but some servers omit it.
        if len(line) < after or line[after : after + 1] not in (b"", b" "):
            raise self._refuse("the status line is malformed")
        self._status = int(line[after - 3 : after])
        self._reason = decode_value(line[after + 1 :].strip(b" \t"))
        return True

    def _finish(self, headers: Headers) -> Response | None:
        # RFC 9110, section 15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final
        # response, even if the client does not expect one."
        if self._status < 200 and self._status != 101:
            self._status = 0
            return None
        return Response(self._status, self._reason, headers)

    def _refuse(self, reason: str, status: int = 400) -> InvalidResponse:
        return InvalidResponse(f"invalid HTTP response: {reason}", self._status)


def reason_phrase(status: int) -> str:
    """The usual reason phrase of a status, or a general one for its class."""
    return _PHRASES.get(status) or _CLASSES.get(status // 100, "Unknown")


def clean_reason(reason: str) -> str:
    """Make a reason phrase that is one line: printable ASCII, other characters as ``?``, at most 256 characters."""
    return "".join(character if " " <= character <= "~" else "?" for character in reason[:256])


def write_request(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Write the head of a request.

    Args:
        method: such as ``GET``.
        target: the request target, percent-encoded.
        headers: all header fields.

    Raises:
        InvalidArgument: the target or a header has characters that it may not have.
    """
    if not is_visible(target):
        raise InvalidArgument(f"request target {target!r:.80} must be ASCII without spaces: percent-encode it")
    return _write_head(f"{method} {target} HTTP/1.1", headers)


def write_response(
    status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> bytes:
    """Write a complete response. All but 101 announce the length of the body and that the connection ends.

    Args:
        status: the status code.
        reason: the reason phrase, None for the usual one. What no reason phrase may have is replaced.
        headers: header fields; not Content-Length.
        body: the body, left out where the status has none.

    Raises:
        InvalidArgument: a header has characters that it may not have.
    """
    pairs = list(headers)
    if status != 101:
        pairs.append(("Connection", "close"))
    if status in _BODILESS:
        body = b""
    else:
        pairs.append(("Content-Length", str(len(body))))
    phrase = reason_phrase(status) if reason is None else clean_reason(reason)
    return _write_head(f"HTTP/1.1 {status} {phrase}", pairs) + body


def header_line(name: str, value: str) -> str:
    """Write a header field, with the line end behind it.

    Raises:
        InvalidArgument: name or value have characters that they may not have.
    """
    check_header(name, value)
    return f"{name}: {value}\r\n"


def _write_head(start: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = "".join([header_line(name, value) for name, value in headers])
    return f"{start}\r\n{lines}\r\n".encode()
