"""Which web pages may open a WebSocket.

Browsers let any page open a WebSocket to any server, and send the cookies of that server along. So a server has to
look at the ``Origin`` of the page itself (RFC 6455, section 10.2); unless it is told otherwise, only pages of its own
are let in. Programs that are no browsers send no ``Origin`` and are not concerned.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from starlette.types import Scope

__all__ = ("SAME_ORIGIN", "OriginPolicy")

_DEFAULT_PORTS = {"http": 80, "https": 443}


class OriginPolicy:
    """The origins that are let in: the server's own, and those that are listed.

    A page is of the server's own origin if its host and port are those of the ``Host`` header. The scheme is not
    compared: behind a proxy that ends TLS, the server does not know which one the client sees.

    Args:
        allowed: more origins: ``"https://example.com"``, ``"https://*.example.com"`` where the star stands for at least
            one character of a host name or port, ``"null"`` for pages that have no origin, such as local files. Or just
            ``"*"``: every page.

    Raises:
        ValueError: one of them is no origin, and would never match.
    """

    __slots__ = ("_any", "_listed", "allowed")

    def __init__(self, allowed: Collection[str] | str = ()) -> None:
        self.allowed = (allowed,) if isinstance(allowed, str) else tuple(allowed)
        self._any = "*" in self.allowed
        self._listed = re.compile("|".join(_expression(each) for each in self.allowed if each != "*") or r"(?!)")

    @classmethod
    def of(cls, allowed: OriginPolicy | Collection[str] | str | None) -> OriginPolicy:
        """Return the policy that an option ``allowed_origins`` stands for; None is only the same origin."""
        if isinstance(allowed, OriginPolicy):
            return allowed
        return SAME_ORIGIN if allowed is None else cls(allowed)

    def refusal(self, scope: Scope) -> str | None:
        """Tell why a connection is not let in.

        Args:
            scope: a ``websocket`` scope.

        Returns:
            The reason, for the log; None if it is let in.
        """
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if not origins or self._any:
            return None
        if len(origins) > 1:
            return f"it has {len(origins)} Origin headers"
        origin = origins[0].strip().lower()
        if self._listed.fullmatch(_without_default_port(origin)):
            return None
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        host = hosts[0].strip().lower() if hosts else ""
        if _same(origin, host):
            return None
        return (
            f"a page of {origin!r} is not of this server, which the client calls {host!r}; "
            f"to let it in, add allowed_origins=[{origin!r}] to App() or to the route"
        )

    def __repr__(self) -> str:
        return f"OriginPolicy({self.allowed!r})"


def _split(origin: str) -> SplitResult | None:
    """Return the parts of an origin (RFC 6454, section 6.1); None if it is none."""
    try:
        parts = urlsplit(origin)
        _ = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None or parts.path or "?" in origin or "#" in origin:
        return None
    return parts


def _same(origin: str, host: str) -> bool:
    page = _split(origin)
    if page is None or page.scheme not in _DEFAULT_PORTS:
        return False
    # The server's default port is that of the page's scheme, because the Host header leaves it out just so.
    server = _split(f"{page.scheme}://{host}")
    default = _DEFAULT_PORTS[page.scheme]
    return (
        server is not None and server.hostname == page.hostname and (server.port or default) == (page.port or default)
    )


def _without_default_port(origin: str) -> str:
    scheme = origin.partition(":")[0]
    suffix = f":{_DEFAULT_PORTS.get(scheme)}"
    return origin.removesuffix(suffix)


def _expression(allowed: str) -> str:
    """Return a regular expression for an entry of the list."""
    if not isinstance(allowed, str):
        raise ValueError(f"an allowed origin is text like 'https://example.com', not {allowed!r}")
    if allowed == "null":
        return "null"
    # Stars are digits here, because a port is split as well.
    parts = _split(allowed.replace("*", "0"))
    if parts is None or not parts.scheme:
        raise ValueError(
            f"{allowed!r} is no origin: it consists of scheme, host and possibly port, without a path, like "
            "'https://example.com', 'https://*.example.com' or 'http://localhost:8080'"
        )
    return "[^/:@]+".join(re.escape(each) for each in _without_default_port(allowed.lower()).split("*"))


SAME_ORIGIN = OriginPolicy()
