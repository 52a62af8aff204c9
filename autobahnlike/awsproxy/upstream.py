"""Where the gateway is, as the command line says it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import ssl
from urllib.parse import urlsplit

__all__ = ("Upstream", "parse_upstream")


@dataclasses.dataclass(frozen=True, slots=True)
class Upstream:
    """The gateway.

    Attributes:
        url: what people write.
        host: its name or address; empty for a Unix domain socket.
        port: its port.
        path: of a Unix domain socket, or None.
        context: for TLS, or None.
    """

    url: str
    host: str
    port: int
    path: str | None = None
    context: ssl.SSLContext | None = None

    async def connect(self, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect.

        Args:
            limit: how many bytes are read ahead.

        Raises:
            OSError: that is not possible.
        """
        if self.path is not None:
            return await asyncio.open_unix_connection(self.path, limit=limit)
        return await asyncio.open_connection(self.host, self.port, ssl=self.context, limit=limit)


def parse_upstream(url: str) -> Upstream:
    """Parse ``http://host:port``, ``https://host:port`` or ``unix:PATH``.

    The certificate of ``https`` is verified with what the system trusts, or ``SSL_CERT_FILE`` says.

    Raises:
        ValueError: it is none of these.
    """
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        if not path:
            raise ValueError("the path of the Unix domain socket is missing")
        return Upstream(url, "", 0, os.path.abspath(path))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!a} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!a} is not like http://127.0.0.1:8000, https://host or unix:PATH")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{url!a} has more than a host and a port: the path is what programmes ask for")
    is_secure = parts.scheme == "https"
    context = None
    if is_secure:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
    return Upstream(url, parts.hostname, port or (443 if is_secure else 80), None, context)
