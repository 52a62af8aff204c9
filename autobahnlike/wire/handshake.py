"""The opening handshake of both sides (RFC 6455, section 4), on parsed heads wherever they come from.

A server passes a ``Request`` to ``read_request`` and answers with what ``accept_response`` or ``refuse_response`` give.
A client sends what ``build_request`` gives and passes the ``Response`` to ``read_response``. Extensions are parsed here
and negotiated elsewhere.
"""

from __future__ import annotations

import hashlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs

from autobahnlike.exception import InvalidArgument, InvalidRequest, InvalidResponse, NotAnUpgrade
from autobahnlike.wire.headers import (
    Extension,
    Headers,
    HeaderSource,
    flatten_headers,
    has_member,
    is_token,
    is_visible,
    parse_extensions,
    parse_token_list,
    quote_text,
)
from autobahnlike.wire.http11 import (
    Request,
    Response,
    clean_reason,
    header_line,
    reason_phrase,
    write_request,
    write_response,
)
from autobahnlike.wire.options import Options
from autobahnlike.wire.uri import host_header, origin_allowed, parse_host, parse_origin

__all__ = (
    "Acceptance",
    "Opening",
    "accept_key",
    "accept_response",
    "build_request",
    "new_key",
    "read_request",
    "read_response",
    "refuse_response",
)

# RFC 6455, section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Specifications as Autobahn counts them: drafts of hybi, and 18 for RFC 6455.
_WIRE_VERSIONS = {10: 8, 11: 8, 12: 8, 13: 13, 14: 13, 15: 13, 16: 13, 17: 13, 18: 13}

_ACCEPTED = "HTTP/1.1 101 Switching Protocols\r\n"
_UPGRADE_LINES = "Upgrade: WebSocket\r\nConnection: Upgrade\r\n"

_SCHEMES = ("ws", "wss", "http", "https")
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding"})
OWN_HEADERS = _FRAMING_HEADERS | {
    "connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
}


class Opening(NamedTuple):
    """A valid request for a WebSocket.

    Attributes:
        key: Sec-WebSocket-Key.
        version: Sec-WebSocket-Version, 13 or 8.
        host: the host the client asked for, in lower case, IPv6 without brackets.
        port: its port; the default of the scheme if the client named none.
        resource: path and query as they were sent.
        path: the path as it was sent, not percent-decoded, as in Autobahn.
        params: the parameters of the query, decoded, with all the values of each.
        origin: the origin as it was sent, ``""`` if there was none.
        protocols: the subprotocols offered, in the client's order of preference.
        extensions: the extensions offered, in the client's order of preference.
        headers: all header fields.
    """

    key: str
    version: int
    host: str
    port: int
    resource: str
    path: str
    params: dict[str, list[str]]
    origin: str
    protocols: list[str]
    extensions: list[Extension]
    headers: Headers


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A valid acceptance by a server.

    Attributes:
        subprotocol: the subprotocol the server chose, None if none.
        extensions: the extensions the server chose; the caller has to compare them with what it offered.
        headers: all header fields.
    """

    subprotocol: str | None
    extensions: list[Extension]
    headers: Headers


def read_request(
    request: Request, options: Options, *, is_secure: bool = False, external_port: int | None = None
) -> Opening:
    """Validate a client's request (RFC 6455, section 4.2.1).

    Args:
        request: its head.
        options: ``versions``, ``allowed_origins`` and ``allow_null_origin`` are used.
        is_secure: whether it came over TLS; decides the default of ``Opening.port``.
        external_port: the port that clients see, if it is to be compared with the one in Host.

    Raises:
        NotAnUpgrade: the request does not ask for an upgrade (426).
        InvalidRequest: 405 not a GET, 505 not HTTP/1.1, 403 the origin is not allowed (Autobahn says 400, which blames
            the syntax), 426 the version is not supported, else 400. Its headers belong into the answer.
    """
    headers = request.headers
    _check_request_line(request)
    _check_no_body(headers)
    authority, resource = _split_target(request.target)
    host, port = _read_host(headers, authority)
    if external_port and port and port != external_port:
        raise InvalidRequest(f"port {port} in Host is not the port of this server")
    _check_upgrade(headers)
    version = _read_version(headers, options.versions)
    path, _, query = resource.partition("?")
    return Opening(
        _read_key(headers),
        version,
        host,
        port or (443 if is_secure else 80),
        resource,
        path,
        parse_qs(query) if query else {},
        _read_origin(headers, version, options),
        _read_protocols(headers),
        _read_extensions(headers),
        headers,
    )


def accept_response(
    opening: Opening,
    *,
    subprotocol: str | None = None,
    extensions: str = "",
    headers: HeaderSource = (),
    server: str = "",
) -> bytes:
    """The response 101 that accepts a request (RFC 6455, section 4.2.2).

    Args:
        opening: the request.
        subprotocol: the subprotocol chosen from ``opening.protocols``, None for none.
        extensions: the value of Sec-WebSocket-Extensions, ``""`` for none.
        headers: header fields of the application; see ``flatten_headers``.
        server: the value of the Server header, ``""`` for none; one in ``headers`` replaces it.

    Raises:
        InvalidArgument: the client did not offer the subprotocol, or a header is malformed or belongs to the handshake.
    """
    if subprotocol is not None and subprotocol not in opening.protocols:
        raise InvalidArgument(
            f"subprotocol {subprotocol!r:.80} was not offered by the client; choose from request.protocols, or None"
        )
    given = _application_headers(headers, OWN_HEADERS) if headers else []
    lines = [_accepted_by("" if _has(given, "server") else server)]
    for name, value in given:
        lines.append(header_line(name, value))
    if subprotocol is not None:
        lines.append(header_line("Sec-WebSocket-Protocol", subprotocol))
    lines.append(f"Sec-WebSocket-Accept: {accept_key(opening.key)}\r\n")
    if extensions:
        lines.append(header_line("Sec-WebSocket-Extensions", extensions))
    lines.append("\r\n")
    return "".join(lines).encode()


# It is the same for all connections of a server.
@lru_cache(maxsize=16)
def _accepted_by(server: str) -> str:
    """The beginning of a response 101."""
    return f"{_ACCEPTED}{header_line('Server', server) if server else ''}{_UPGRADE_LINES}"


def refuse_response(
    status: int,
    reason: str | None = None,
    headers: HeaderSource = (),
    body: bytes | None = None,
    server: str = "",
) -> bytes:
    """A complete response other than 101, after which the connection is closed.

    Args:
        status: the status code, from 200 to 599.
        reason: the reason phrase, None for the usual one; characters other than printable ASCII become ``?``.
        headers: header fields; see ``flatten_headers``.
        body: the body, None for a line of text with status and reason.
        server: the value of the Server header, ``""`` for none; one in ``headers`` replaces it.

    Raises:
        InvalidArgument: the status is out of range, or a header is malformed or says how long the body is.
    """
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise InvalidArgument(f"HTTP status must be a number from 200 to 599, not {status!r:.80}")
    given = _application_headers(headers, _FRAMING_HEADERS)
    pairs = [] if not server or _has(given, "server") else [("Server", server)]
    if not _has(given, "content-type"):
        pairs.append(("Content-Type", "text/plain; charset=utf-8"))
    phrase = clean_reason(reason) if reason else reason_phrase(status)
    if body is None:
        body = f"{status} {phrase}\n".encode("ascii")
    return write_response(status, phrase, pairs + given, body)


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that proves that ``key`` was understood (RFC 6455, section 4.2.2)."""
    return b2a_base64(hashlib.sha1(key.encode("ascii") + _GUID).digest(), newline=False).decode("ascii")


def new_key(random_bytes: bytes) -> str:
    """A Sec-WebSocket-Key from 16 bytes of randomness (RFC 6455, section 4.1).

    Raises:
        InvalidArgument: there are not 16 bytes.
    """
    if len(random_bytes) != 16:
        raise InvalidArgument(f"a key is made from 16 bytes, not {len(random_bytes)}")
    return b2a_base64(random_bytes, newline=False).decode("ascii")


def build_request(
    *,
    host: str,
    port: int | str,
    secure: bool,
    resource: str,
    key: str,
    version: int = 18,
    origin: str | None = None,
    protocols: Sequence[str] = (),
    extensions: str = "",
    headers: HeaderSource = (),
    useragent: str | None = None,
) -> bytes:
    """A client's request for a WebSocket (RFC 6455, section 4.1).

    Args:
        host: host name or address, IPv6 without brackets.
        port: TCP port, or the path of a Unix domain socket.
        secure: whether TLS is used.
        resource: path and query, percent-encoded.
        key: from ``new_key``.
        version: the specification as Autobahn counts them, from 10 to 18.
        origin: the value of Origin, None or ``""`` for none.
        protocols: the subprotocols to offer, in order of preference.
        extensions: the value of Sec-WebSocket-Extensions, ``""`` for none.
        headers: header fields of the application; see ``flatten_headers``. Host, User-Agent, Pragma and Cache-Control
            replace ours.
        useragent: the value of User-Agent, None or ``""`` for none.

    Raises:
        InvalidArgument: one of these may not be sent.
    """
    _check_wishes(resource, version, protocols)
    given = _application_headers(headers, OWN_HEADERS)
    if origin and _has(given, "origin"):
        raise InvalidArgument("give the origin once: as origin or as a header")
    pairs = [("User-Agent", useragent)] if useragent else []
    if not _has_host(given):
        pairs.append(("Host", host_header(host, port, secure)))
    pairs += [
        ("Upgrade", "WebSocket"),
        ("Connection", "Upgrade"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache"),
    ]
    replaced = {name.lower() for name, _ in given}
    pairs = [(name, value) for name, value in pairs if name.lower() not in replaced] + given
    pairs.append(("Sec-WebSocket-Key", key))
    if origin:
        # The draft that Autobahn counts as 10 is the last one with a name of its own for it.
        pairs.append(("Origin" if version > 10 else "Sec-WebSocket-Origin", origin))
    if protocols:
        pairs.append(("Sec-WebSocket-Protocol", ",".join(protocols)))
    if extensions:
        pairs.append(("Sec-WebSocket-Extensions", extensions))
    pairs.append(("Sec-WebSocket-Version", str(_WIRE_VERSIONS[version])))
    return write_request("GET", resource, pairs)


def read_response(response: Response, *, key: str, protocols: Sequence[str]) -> Acceptance:
    """Validate a server's response (RFC 6455, section 4.1).

    Args:
        response: its head.
        key: the key that was sent.
        protocols: the subprotocols that were offered.

    Raises:
        InvalidResponse: the server refuses, or accepts with a response that fails the connection. It carries the status
            and the header fields of the response.
    """
    headers = response.headers
    try:
        if response.status != 101:
            phrase = clean_reason(response.reason) or reason_phrase(response.status)
            raise ValueError(f"WebSocket connection upgrade failed [{response.status}]: {phrase}")
        upgrade = headers.get_all("Upgrade")
        if len(upgrade) != 1 or "," in upgrade[0] or not has_member(upgrade, "websocket"):
            raise ValueError('the Upgrade header of the response is not "websocket"')
        if not has_member(headers.get_all("Connection"), "upgrade"):
            raise ValueError('the Connection header of the response has no "upgrade"')
        if headers.get_all("Sec-WebSocket-Accept") != [accept_key(key)]:
            raise ValueError("the Sec-WebSocket-Accept header of the response does not match the key")
        subprotocol = _read_subprotocol(headers, protocols)
        extensions = parse_extensions(headers.get_all("Sec-WebSocket-Extensions"))
    except ValueError as error:
        raise InvalidResponse(str(error), response.status, headers.items()) from None
    return Acceptance(subprotocol, extensions, headers)


def _check_request_line(request: Request) -> None:
    if request.method != "GET":
        raise InvalidRequest(f"HTTP method {quote_text(request.method)} is not allowed", 405, (("Allow", "GET"),))
    if request.version != "HTTP/1.1":
        raise InvalidRequest(f"HTTP version {quote_text(request.version, 16)} is not supported", 505)


def _check_no_body(headers: Headers) -> None:
    # Bytes behind the head are frames here. A proxy in front that takes them for a body would let a client smuggle
    # (GHSA-mfx4-hv73-q22v).
    if headers.lines("transfer-encoding") or headers.lines("content-length") not in ([], ["0"]):
        raise InvalidRequest("a request for a WebSocket has no body")


def _split_target(target: str) -> tuple[str | None, str]:
    """Split a request target into authority, if it has one, and path with query (RFC 9112, section 3.2)."""
    if not is_visible(target):
        raise InvalidRequest("the request target has characters that it may not have")
    if "#" in target:
        # RFC 6455, section 3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be
        # used on these URIs."
        raise InvalidRequest("the request target has a fragment")
    if target.startswith("/"):
        return None, target
    # RFC 9112, section 3.2.2: "a server MUST accept the absolute-form in requests even though most HTTP/1.1 clients
    # will only send the absolute-form to a proxy."
    scheme, _, rest = target.partition("://")
    if scheme.lower() not in _SCHEMES:
        raise InvalidRequest("the request target is not a path or a URL")
    authority = rest.partition("?")[0].partition("/")[0]
    resource = rest[len(authority) :]
    return authority, resource if resource.startswith("/") else "/" + resource


def _read_host(headers: Headers, authority: str | None) -> tuple[str, int | None]:
    # RFC 9112, section 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
    # that lacks a Host header field and to any request message that contains more than one Host header field line or a
    # Host header field with an invalid field value."
    values = headers.lines("host")
    if len(values) != 1:
        raise InvalidRequest("the Host header is missing or there are several")
    try:
        host = parse_host(values[0])
        # RFC 9112, section 3.2.2: with an absolute-form target an origin server "MUST ignore the received Host header
        # field (if any)".
        return host if authority is None else parse_host(authority)
    except ValueError as error:
        raise InvalidRequest(f"bad Host: {error}") from None


def _check_upgrade(headers: Headers) -> None:
    upgrade = headers.lines("upgrade")
    if not upgrade:
        wanted = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
        raise NotAnUpgrade("this is a WebSocket server: the Upgrade header is missing", headers=wanted)
    if not has_member(upgrade, "websocket"):
        raise InvalidRequest('the Upgrade header has no "websocket"')
    if not has_member(headers.lines("connection"), "upgrade"):
        raise InvalidRequest('the Connection header has no "upgrade"')


def _read_version(headers: Headers, supported: Sequence[int]) -> int:
    values = headers.lines("sec-websocket-version")
    if len(values) != 1:
        raise InvalidRequest("the Sec-WebSocket-Version header is missing or there are several")
    text = values[0]
    if text == "13" and 13 in supported:
        return 13
    # RFC 6455, section 11.3.5: a number from 0 to 255 without leading zeros.
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and text == str(int(text))):
        raise InvalidRequest(f"Sec-WebSocket-Version {quote_text(text, 16)} is malformed")
    if int(text) not in supported:
        # RFC 6455, section 4.2.2: the server "MUST abort the WebSocket handshake [...] and instead send an appropriate
        # HTTP error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field".
        names = ", ".join(map(str, sorted(supported, reverse=True)))
        raise InvalidRequest(
            f"WebSocket version {text} is not supported (supported: {names})",
            426,
            (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", names)),
        )
    return int(text)


def _read_key(headers: Headers) -> str:
    values = headers.lines("sec-websocket-key")
    if len(values) != 1:
        raise InvalidRequest("the Sec-WebSocket-Key header is missing or there are several")
    try:
        valid = len(values[0]) == 24 and len(a2b_base64(values[0], strict_mode=True)) == 16
    except ValueError:
        valid = False
    if not valid:
        raise InvalidRequest("Sec-WebSocket-Key is not 16 bytes in base64")
    return values[0]


def _read_origin(headers: Headers, version: int, options: Options) -> str:
    values = headers.lines("origin")
    if version < 13:
        # Some drafts of version 8 call it so. The other name is still looked at: it must not get past the check.
        values += headers.lines("sec-websocket-origin")
    if not values:
        return ""
    if len(values) > 1:
        raise InvalidRequest("there are several Origin headers")
    try:
        origin = parse_origin(values[0])
    except ValueError as error:
        raise InvalidRequest(f"bad Origin: {error}") from None
    if not origin_allowed(origin, options.allowed_origins, options.allow_null_origin):
        raise InvalidRequest(f"origin {quote_text(values[0])} not allowed", 403)
    return values[0]


def _read_protocols(headers: Headers) -> list[str]:
    values = headers.lines("sec-websocket-protocol")
    if not values:
        return []
    try:
        protocols = parse_token_list(",".join(values))
    except ValueError as error:
        raise InvalidRequest(f"bad Sec-WebSocket-Protocol: {error}") from None
    if len(set(protocols)) < len(protocols):
        raise InvalidRequest("a subprotocol is offered twice")
    return protocols


def _read_extensions(headers: Headers) -> list[Extension]:
    values = headers.lines("sec-websocket-extensions")
    if not values:
        return []
    try:
        return parse_extensions(values)
    except ValueError as error:
        raise InvalidRequest(f"bad Sec-WebSocket-Extensions: {error}") from None


def _read_subprotocol(headers: Headers, offered: Sequence[str]) -> str | None:
    values = headers.get_all("Sec-WebSocket-Protocol")
    if len(values) > 1:
        raise ValueError("there are several Sec-WebSocket-Protocol headers in the response")
    chosen = values[0] if values else ""
    if chosen and chosen not in offered:
        raise ValueError(f"the server chose the subprotocol {quote_text(chosen)}, which was not offered")
    return chosen or None


def _application_headers(headers: HeaderSource, reserved: Iterable[str]) -> list[tuple[str, str]]:
    pairs = flatten_headers(headers)
    for name, _ in pairs:
        if name.lower() in reserved:
            raise InvalidArgument(f"header {name} belongs to the handshake: it cannot be given")
    return pairs


def _check_wishes(resource: str, version: int, protocols: Sequence[str]) -> None:
    if version not in _WIRE_VERSIONS:
        raise InvalidArgument(f"version must be from 10 to 18, not {version!r}")
    if not resource.startswith("/") or "#" in resource:
        raise InvalidArgument(f"resource {resource!r:.80} must begin with / and have no fragment")
    if len(set(protocols)) < len(protocols) or not all(map(is_token, protocols)):
        raise InvalidArgument("subprotocols must be a list of tokens, each given once")


def _has_host(pairs: Iterable[tuple[str, str]]) -> bool:
    hosts = [value for name, value in pairs if name.lower() == "host"]
    try:
        for host in hosts:
            parse_host(host)
    except ValueError as error:
        raise InvalidArgument(f"bad Host header: {error}") from None
    if len(hosts) > 1:
        raise InvalidArgument("give one Host header, not several")
    return bool(hosts)


def _has(pairs: Iterable[tuple[str, str]], wanted: str) -> bool:
    return any(name.lower() == wanted for name, _ in pairs)
