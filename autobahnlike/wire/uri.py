"""WebSocket URLs, the Host header and origins (RFC 6455, section 3; RFC 6454).

``parse_url`` and ``create_url`` are Autobahn's. Unlike there, the lists of schemes in ``urllib.parse`` are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

from autobahnlike.exception import InvalidArgument

__all__ = (
    "Origin",
    "ParsedUrl",
    "create_url",
    "host_header",
    "origin_allowed",
    "parse_host",
    "parse_origin",
    "parse_url",
)

# RFC 3986, section 3.2.2: what a registered name may consist of.
_HOST_BYTES = b"-._~%!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ADDRESS_BYTES = b"0123456789abcdefABCDEF:."
_SCHEME_BYTES = b"+-.0123456789abcdefghijklmnopqrstuvwxyz"
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

_DEFAULT_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


class ParsedUrl(NamedTuple):
    """The parts of a WebSocket URL, in the order of the tuple that Autobahn's ``parse_url`` returns.

    Attributes:
        secure: whether the scheme is ``wss``.
        host: host name or address in lower case, IPv6 without brackets; ``"unix"`` for a Unix domain socket.
        port: TCP port, the default of the scheme if the URL has none; for a Unix domain socket its path.
        resource: what the request line asks for: path and query, percent-encoded.
        path: the path, decoded.
        params: the parameters of the query, decoded, with all the values of each.
    """

    secure: bool
    host: str
    port: int | str
    resource: str
    path: str
    params: dict[str, list[str]]


class Origin(NamedTuple):
    """The origin of a web page (RFC 6454).

    Attributes:
        scheme: in lower case.
        host: in lower case, IPv6 without brackets.
        port: the port, or the default of the scheme; None if the scheme has no default.
    """

    scheme: str
    host: str
    port: int | None


def parse_url(url: str) -> ParsedUrl:
    """Parse ``ws://host:port/path?query``, ``wss://...`` or, for a Unix domain socket, ``ws://unix:/path/of/socket``.

    Characters outside ASCII are encoded as the wire needs them: the host with IDNA, path and query with percent signs.

    Raises:
        InvalidArgument: the URL is none of these, or has a fragment (RFC 6455, section 3) or user information.
    """
    if not isinstance(url, str) or any(character <= " " or character == "\x7f" for character in url):
        # urlsplit would remove some of these characters without a word.
        raise InvalidArgument(
            f"invalid WebSocket URL {url!r:.80}: it must be text without spaces and control characters"
        )
    try:
        url.encode("utf-8")
        parsed = urlsplit(url)
        host, port = parsed.hostname, parsed.port
    except ValueError as error:
        raise InvalidArgument(f"invalid WebSocket URL: {error}") from None
    if parsed.scheme not in ("ws", "wss"):
        raise InvalidArgument(f"invalid WebSocket URL: the scheme must be ws or wss, not {parsed.scheme!r}")
    if "#" in url:
        raise InvalidArgument("invalid WebSocket URL: it must not have a fragment; write # as %23")
    if "@" in parsed.netloc:
        raise InvalidArgument("invalid WebSocket URL: give credentials in an Authorization header, not in the URL")
    if not host:
        raise InvalidArgument("invalid WebSocket URL: the host is missing")
    path = parsed.path or "/"
    resource = quote(f"{path}?{parsed.query}" if parsed.query else path, safe=_VISIBLE)
    address = _encode_host(host)
    target = _socket_path(parsed) if host == "unix" else _tcp_port(parsed.scheme, port)
    return ParsedUrl(parsed.scheme == "wss", address, target, resource, unquote(path), parse_qs(parsed.query))


def create_url(
    hostname: str,
    port: int | str | None = None,
    isSecure: bool = False,  # noqa: N803 - Autobahn's name
    path: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> str:
    """Create a WebSocket URL, with the port always written out.

    Args:
        hostname: host name or address; IPv6 with or without brackets. ``"unix"`` for a Unix domain socket.
        port: TCP port, None for the default (80, or 443 if secure); the path of the socket if the host is ``"unix"``.
        isSecure: ``wss`` instead of ``ws``.
        path: path of the resource, not yet percent-encoded. None is ``/``.
        params: parameters for the query; a value may be a list of values.

    Raises:
        InvalidArgument: a port that is not from 1 to 65535, no host, or a path together with a Unix domain socket.
    """
    scheme = "wss" if isSecure else "ws"
    query = f"?{urlencode(params, doseq=True)}" if params else ""
    if hostname == "unix":
        if not isinstance(port, str) or not port.startswith("/") or path not in (None, "", "/"):
            raise InvalidArgument("for a Unix domain socket give its absolute path as port, and no path of a resource")
        return f"{scheme}://unix:{quote(port)}{query}"
    if port is None:
        port = _DEFAULT_PORTS[scheme]
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise InvalidArgument(f"port must be a number from 1 to 65535, not {port!r}")
    resource = quote(path or "/")
    return f"{scheme}://{_bracket(_checked_host(hostname))}:{port}{'' if resource[0] == '/' else '/'}{resource}{query}"


def host_header(host: str, port: int | str, secure: bool) -> str:
    """The value of the Host header (RFC 9110, section 7.2): IPv6 in brackets, the default port left out.

    Args:
        host: host name or address, IPv6 without brackets.
        port: TCP port; text (the path of a Unix domain socket) gives ``localhost``, as a socket has no authority.
        secure: whether TLS is used.

    Raises:
        InvalidArgument: ``host`` has characters that no host has.
    """
    if isinstance(port, str):
        return "localhost"
    name = _checked_host(host)
    if ":" in name:
        # The zone of a link-local address means something on this machine only (RFC 6874, section 4).
        name = _bracket(name.partition("%")[0])
    return name if port == _DEFAULT_PORTS["wss" if secure else "ws"] else f"{name}:{port}"


def parse_host(value: str) -> tuple[str, int | None]:
    """Parse ``host`` or ``host:port``: the host in lower case, IPv6 without brackets, and the port or None.

    Raises:
        ValueError: the text is empty or malformed (RFC 9110, section 7.2).
    """
    if value.startswith("["):
        host, bracket, rest = value[1:].partition("]")
        valid = bool(bracket) and ":" in host and _consists_of(host, _ADDRESS_BYTES)
    else:
        host, _, _ = value.partition(":")
        rest = value[len(host) :]
        valid = _consists_of(host, _HOST_BYTES)
    if not valid or rest[:1] not in ("", ":"):
        raise ValueError("the host is malformed")
    digits = rest[1:]
    if not digits:
        return host.lower(), None
    # Five digits at most: int() refuses long numbers with an error of its own.
    port = int(digits) if len(digits) <= 5 and digits.isascii() and digits.isdigit() else 0
    if not 0 < port <= 65535:
        raise ValueError("the port is malformed")
    return host.lower(), port


def parse_origin(text: str) -> Origin | None:
    """Parse an Origin header; None is the null origin, which browsers send for files and sandboxed frames.

    A path is ignored, as Autobahn does.

    Raises:
        ValueError: the text is no origin (RFC 6454, section 7.1).
    """
    if text.lower() == "null":
        return None
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme == "file" and separator:
        return None
    if not separator or not _consists_of(scheme, _SCHEME_BYTES):
        raise ValueError("the scheme is missing or malformed")
    host, port = parse_host(rest.partition("/")[0])
    return Origin(scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else port)


def origin_allowed(origin: Origin | None, patterns: Collection[str], allow_null: bool) -> bool:
    """Whether a server that allows the origins that match ``patterns`` may talk to pages of this origin.

    Args:
        origin: from ``parse_origin``.
        patterns: texts with ``*`` for any characters, compared with ``scheme://host:port`` without regard to case. The
            port must match although the origin left it out: ``http://example.com:80``. An origin whose scheme has no
            default port is compared as ``scheme://host`` and as ``scheme://host:``.
        allow_null: what to say of the null origin. Patterns do not apply to it, not even ``*``.
    """
    if origin is None:
        return allow_null
    if "*" in patterns:
        return True
    site = f"{origin.scheme}://{_bracket(origin.host)}"
    texts = (site, f"{site}:") if origin.port is None else (f"{site}:{origin.port}",)
    return any(_matches(pattern.lower(), text) for pattern in patterns for text in texts)


def _matches(pattern: str, text: str) -> bool:
    """Match a whole text against a pattern with ``*``, each character once; everything else stands for itself."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    last = rest.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in rest:
        position = text.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def _consists_of(text: str, allowed: bytes) -> bool:
    return bool(text) and text.isascii() and not text.encode("ascii").translate(None, allowed)


def _bracket(host: str) -> str:
    # RFC 6874, section 2: the "%" before a zone is written "%25".
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def _checked_host(host: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    address, _, zone = bare.partition("%") if ":" in bare else (bare, "", "")
    if not _consists_of(address, _ADDRESS_BYTES if ":" in bare else _HOST_BYTES) or not _consists_of(
        zone or "0", _HOST_BYTES
    ):
        raise InvalidArgument(f"{host!r:.80} is not a host name or an address")
    return bare


def _encode_host(host: str) -> str:
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise InvalidArgument(f"invalid WebSocket URL: {host!r:.80} is not a host name") from None
    return _checked_host(host.replace("%25", "%", 1) if ":" in host else host)


def _tcp_port(scheme: str, port: int | None) -> int:
    if port == 0:
        raise InvalidArgument("invalid WebSocket URL: port 0 cannot be connected to; give one from 1 to 65535")
    return port or _DEFAULT_PORTS[scheme]


def _socket_path(parsed: SplitResult) -> str:
    path = unquote(parsed.path)
    if parsed.netloc.lower() != "unix:" or path in ("", "/") or "\0" in path:
        raise InvalidArgument("invalid WebSocket URL: write a Unix domain socket as ws://unix:/path/of/socket")
    return path
