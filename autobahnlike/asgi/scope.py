"""The scopes in which applications are called (ASGI 3, "HTTP & WebSocket ASGI Message Format" 2.5)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import Any, TypeAlias, overload
from urllib.parse import unquote_to_bytes

from autobahnlike.asgi.forwarded import believe_proxies

__all__ = (
    "ASGI",
    "HEADER_NAMES",
    "Application",
    "Event",
    "HeaderNames",
    "Receive",
    "Scope",
    "Send",
    "http_scope",
    "parse_head",
    "split_target",
    "websocket_scope",
)

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

HeaderList: TypeAlias = list[tuple[bytes, bytes]]

ASGI = {"version": "3.0", "spec_version": "2.5"}
"""The versions of ASGI and of the message format."""


HEADER_NAMES = "autobahnlike.header_names"
"""An extension: the names of the header fields as they were sent, in the order of ``headers``."""

_NAME = re.compile(rb"\r\n([^:\r\n]+):")


class HeaderNames(Sequence[bytes]):
    """The names of header fields as they were sent; ASGI has them in lower case.

    Many an application keeps the scope of a WebSocket for as long as that lives, and hardly one asks for these: so they
    are kept in one piece.

    Args:
        names: the names.
    """

    __slots__ = ("_joined",)

    def __init__(self, names: Iterable[bytes]) -> None:
        self._joined = b"\n".join(names)

    @classmethod
    def of(cls, head: bytes) -> HeaderNames:
        """Take them from the head of a request, which is valid."""
        return cls(_NAME.findall(head))

    def _split(self) -> list[bytes]:
        return self._joined.split(b"\n") if self._joined else []

    def __len__(self) -> int:
        return len(self._split())

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self._split()[index]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._split())

    def __repr__(self) -> str:
        return f"HeaderNames({self._split()!r})"


def parse_head(head: bytes) -> tuple[bytes, HeaderList]:
    """Split the head of a request that is known to be valid.

    Returns:
        The request target, and the header fields in order, names in lower case.
    """
    first, *lines = head.rstrip(b"\r\n").lstrip(b"\r\n").split(b"\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    return first.split(b" ")[1], headers


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Split a request target into path and query, as they were sent; of a whole URL these parts are taken."""
    if not target.startswith(b"/") and b"://" in target:
        # RFC 9112, section 3.2.2: the absolute form, which a server has to accept.
        authority_and_path = target.partition(b"://")[2]
        stop = min((authority_and_path + b"/").find(b"/"), (authority_and_path + b"?").find(b"?"))
        target = authority_and_path[stop:]
        if not target.startswith(b"/"):
            target = b"/" + target
    path, _, query = target.partition(b"?")
    return path, query


def websocket_scope(
    head: bytes,
    subprotocols: list[str],
    peer: str,
    own: str,
    root_path: str,
    *,
    is_secure: bool,
    state: dict[str, Any],
    extensions: dict[str, Any],
    proxies: int = 0,
) -> dict[str, Any]:
    """Make the scope of a WebSocket.

    Args:
        head: the head of its request, which is valid.
        subprotocols: those that the client offers.
        peer: the client, as links write it: "tcp4:127.0.0.1:51234".
        own: our end, in the same way.
        root_path: where the application is mounted.
        is_secure: whether the connection is TLS.
        state: of the lifespan.
        extensions: those of the server.
        proxies: how many proxies in front are believed; see ``forwarded``.
    """
    target, headers = parse_head(head)
    scope = _scope("websocket", "wss" if is_secure else "ws", "1.1", target, headers, root_path)
    scope["subprotocols"] = list(subprotocols)
    return _finish(scope, peer, own, state, extensions, proxies)


def http_scope(
    method: str,
    http_version: str,
    target: bytes,
    headers: HeaderList,
    peer: str,
    own: str,
    root_path: str,
    *,
    is_secure: bool,
    state: dict[str, Any],
    extensions: dict[str, Any] | None = None,
    proxies: int = 0,
) -> dict[str, Any]:
    """Make the scope of a request; see ``websocket_scope``."""
    scope = _scope("http", "https" if is_secure else "http", http_version, target, headers, root_path)
    scope["method"] = method
    return _finish(scope, peer, own, state, {} if extensions is None else extensions, proxies)


def _scope(
    kind: str, scheme: str, http_version: str, target: bytes, headers: HeaderList, root_path: str
) -> dict[str, Any]:
    path, query = split_target(target)
    if path == b"*":
        # The server as a whole (RFC 9110, section 9.3.7), which is mounted nowhere.
        root_path = ""
    decoded = unquote_to_bytes(path).decode("utf-8", "replace")
    return {
        "type": kind,
        "asgi": dict(ASGI),
        "http_version": http_version,
        "scheme": scheme,
        # The proxy in front has taken the mount point away; the path of ASGI includes it.
        "path": root_path + decoded,
        "raw_path": root_path.encode("ascii", "replace") + path,
        "query_string": query,
        "root_path": root_path,
        "headers": headers,
    }


def _finish(
    scope: dict[str, Any], peer: str, own: str, state: dict[str, Any], extensions: dict[str, Any], proxies: int
) -> dict[str, Any]:
    scope["client"] = _address(peer)
    scope["server"] = _address(own) or (own.removeprefix("unix:"), None)
    scope["state"] = state.copy()
    scope["extensions"] = extensions
    if proxies:
        believe_proxies(scope, proxies)
    return scope


def _address(text: str) -> tuple[str, int] | None:
    kind, _, address = text.partition(":")
    host, _, port = address.rpartition(":")
    return (host, int(port)) if kind in ("tcp4", "tcp6") else None
