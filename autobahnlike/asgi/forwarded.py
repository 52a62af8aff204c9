"""What proxies in front say of a client: ``X-Forwarded-For`` and ``X-Forwarded-Proto``.

A proxy appends the address that it saw to what it was sent; what stands before that, the client may have made up. So
the number of proxies says which entry to believe: that many from the right. With 0 nothing is believed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, MutableMapping
from typing import Any

__all__ = ("EXTENSION", "believe_proxies", "peer_of")

EXTENSION = "autobahnlike.proxies"
"""The extension of scopes that tells applications how many proxies were believed."""

_SCHEMES = {"http": False, "ws": False, "https": True, "wss": True}
_SECURE = {"http": "https", "websocket": "wss"}
_PLAIN = {"http": "http", "websocket": "ws"}
# An address, and perhaps the port behind it, which some proxies write as well.
_ADDRESS = re.compile(r"\[(?P<six>[^\[\]]+)\](?::\d{1,5})?|(?P<four>[\d.]+):\d{1,5}|(?P<plain>.+)")


def believe_proxies(scope: MutableMapping[str, Any], proxies: int) -> None:
    """Write the client and the scheme into a scope that the proxies in front tell of.

    What a proxy does not say, or says in a way that cannot be understood, stays that of the connection. The port of an
    address is not known: it is 0.

    Args:
        scope: of a request or a WebSocket.
        proxies: how many proxies are trusted, at least 1.
    """
    address = _address(_trusted(scope["headers"], b"x-forwarded-for", proxies))
    if address is not None:
        scope["client"] = (address, 0)
    is_secure = _SCHEMES.get(_trusted(scope["headers"], b"x-forwarded-proto", proxies).lower())
    if is_secure is not None:
        scope["scheme"] = (_SECURE if is_secure else _PLAIN)[scope["type"]]
    scope["extensions"] = {**scope["extensions"], EXTENSION: proxies}


def peer_of(scope: MutableMapping[str, Any], otherwise: str) -> str:
    """Return the client of a scope as links write it.

    Args:
        scope: the scope.
        otherwise: what is written if the scope has none, or proxies were not asked.
    """
    if EXTENSION not in scope["extensions"] or scope["client"] is None:
        return otherwise
    host, port = scope["client"]
    return f"{'tcp6' if ':' in host else 'tcp4'}:{host}:{port}"


def _trusted(headers: Iterable[tuple[bytes, bytes]], wanted: bytes, proxies: int) -> str:
    """Return the entry of a list that the first of the trusted proxies has written; nothing if there is none."""
    values = b",".join(value for name, value in headers if name == wanted).decode("latin-1").split(",")
    entries = [each.strip() for each in values if each.strip()]
    # Whoever is given fewer was gone around, or it is a field that proxies set and do not append to.
    return entries[max(len(entries) - proxies, 0)] if entries else ""


def _address(text: str) -> str | None:
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    try:
        return str(ipaddress.ip_address(match["six"] or match["four"] or match["plain"]))
    except ValueError:
        return None
