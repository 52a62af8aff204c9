"""What scopes of ASGI say, in the words of API Gateway."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from starlette.types import Scope, Send

from autobahnlike.backplane.interface import ConnectionInfo
from autobahnlike.gateway.events import Handshake, restore_case

__all__ = ("Place", "header_of", "raw_path_of", "read_handshake", "respond")

# An extension of ASGI, for servers that keep what the specification makes lower case: a list of the names of the header
# fields as they came (bytes), in the order of scope["headers"].
_HEADER_NAMES = "autobahnlike.header_names"
# Another one, for servers that believe proxies: how many.
_PROXIES = "autobahnlike.proxies"


def raw_path_of(scope: Scope) -> str:
    """Return the path below ``root_path``, percent-encoded as it came."""
    root = scope.get("root_path") or ""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        return quote(scope["path"].removeprefix(root), safe="/@:!$&'()*+,;=~")
    # Some servers have the query in it.
    return raw.decode("latin-1").partition("?")[0].removeprefix(quote(root))


def header_of(scope: Scope, name: bytes) -> str | None:
    """Return the last header field of a name; None if there is none."""
    value = None
    for each, field in scope["headers"]:
        if each == name:
            value = field.decode("latin-1")
    return value


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway is found, and what it calls itself.

    Attributes:
        stage: the first part of the path.
        at_root: whether it is found without it, too.
        domain_name: what events say; where the server listens if None.
        api_id: what events say.
        proxies: how many proxies in front are trusted.

    Raises:
        ValueError: the stage is not what may be a part of a path.
    """

    stage: str
    at_root: bool
    domain_name: str | None
    api_id: str
    proxies: int

    def __post_init__(self) -> None:
        if not self.stage or quote(self.stage, safe="$") != self.stage:
            raise ValueError(f"a stage is like api, or $default, without slashes or spaces, unlike {self.stage!r}")

    def is_endpoint(self, scope: Scope) -> bool:
        """Whether this is where WebSockets are served."""
        path = scope["path"].removeprefix(scope.get("root_path") or "")
        return path in (f"/{self.stage}", f"/{self.stage}/") or (self.at_root and path in ("", "/"))

    def below_stage(self, raw_path: str) -> str | None:
        """Return the rest of a path behind the stage, with its slash; None if it is elsewhere."""
        stage, slash, rest = raw_path[1:].partition("/")
        if slash and unquote(stage) == self.stage:
            return f"/{rest}"
        return raw_path if self.at_root else None

    def name_of(self, scope: Scope) -> str:
        """Return what events call the server. What clients say in ``Host`` is not believed: it would be posted to."""
        if self.domain_name is not None:
            return self.domain_name
        host, port = scope.get("server") or ("localhost", None)
        if port is None:
            return "localhost"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_handshake(scope: Scope, place: Place, connection_id: str, now: int) -> tuple[ConnectionInfo, Handshake]:
    """Return what an opening handshake tells.

    Args:
        scope: of the WebSocket.
        place: where the gateway is found.
        connection_id: the id that the connection is given.
        now: milliseconds since 1970.
    """
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    names = (scope.get("extensions") or {}).get(_HEADER_NAMES) or [restore_case(name) for name, _ in fields]
    headers = [
        (name.decode("latin-1") if isinstance(name, bytes) else name, value)
        for name, (_, value) in zip(names, fields, strict=True)
    ]
    forwarded = ", ".join(value for name, value in fields if name == "x-forwarded-for")
    proxies = place.proxies or (scope.get("extensions") or {}).get(_PROXIES, 0)
    source_ip, chain = _source_of(scope, forwarded, proxies)
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    if place.proxies:
        scheme = header_of(scope, b"x-forwarded-proto") or scheme
        scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    default_port = 443 if scheme == "https" else 80
    own_port = (scope.get("server") or (None, None))[1] or default_port
    info = ConnectionInfo(
        connection_id,
        connected_at=now,
        last_active_at=now,
        source_ip=source_ip,
        user_agent=header_of(scope, b"user-agent"),
        host=header_of(scope, b"host") or "",
        domain_name=place.name_of(scope),
        api_id=place.api_id,
        stage=place.stage,
    )
    port = default_port if proxies else own_port
    query = (scope.get("query_string") or b"").decode("latin-1")
    return info, Handshake(headers, query, scheme, port, chain)


def _source_of(scope: Scope, forwarded: str, proxies: int) -> tuple[str, str]:
    """Return the address of the client, and what it says of those that it forwards for."""
    addresses = [each.strip() for each in forwarded.split(",") if each.strip()]
    if not proxies:
        client = scope.get("client")
        return (client[0] if client else ""), ", ".join(addresses)
    # The nearest proxy has written the last one. Who is given fewer has been gone around.
    index = max(len(addresses) - proxies, 0)
    if not addresses:
        client = scope.get("client")
        return (client[0] if client else ""), ""
    return addresses[index], ", ".join(addresses[:index])


async def respond(
    send: Send,
    status: int,
    value: Any = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    is_bodiless: bool = False,
) -> None:
    """Send an HTTP response.

    Args:
        send: of ASGI.
        status: the status.
        value: what the body has as JSON; None for no body.
        headers: more header fields.
        is_bodiless: whether the client is sent the header fields only, as it asked with HEAD.
    """
    body = b"" if value is None else json.dumps(value).encode()
    fields = [*headers]
    if status != 204:
        fields.append((b"content-length", str(len(body)).encode()))
    if body:
        fields.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if is_bodiless else body})
