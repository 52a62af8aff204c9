"""Small things for Twisted: who is at the other end, and sleeping."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred

__all__ = ("address2str", "peer2str", "sleep")


def address2str(address: Any) -> str:
    """Return an address as Autobahn writes it.

    Args:
        address: what ``transport.getPeer()`` or ``getHost()`` gave.

    Returns:
        "tcp4:127.0.0.1:51234", "tcp6:::1:51234", "unix:/path", "unix" for a socket without a name, or "unknown".
    """
    if isinstance(address, IPv4Address):
        return f"tcp4:{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"tcp6:{address.host}:{address.port}"
    if isinstance(address, UNIXAddress):
        name = address.name
        if not name:
            return "unix"
        return f"unix:{name.decode('utf-8', 'replace') if isinstance(name, bytes) else name}"
    if isinstance(address, HostnameAddress):
        return f"tcp:{address.hostname.decode('ascii', 'replace')}:{address.port}"
    return "unknown"


def peer2str(transport: Any) -> str:
    """Return who is at the other end of a transport; see ``address2str``."""
    return address2str(transport.getPeer())


def sleep(delay: float, reactor: Any = None) -> Deferred[None]:
    """Wait without blocking the reactor.

    Args:
        delay: how long, in seconds.
        reactor: the reactor; the global one if None.

    Returns:
        A Deferred that fires, with None, after that time. Cancelling it cancels the timer.
    """
    if reactor is None:
        from twisted.internet import reactor
    waiting: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = reactor.callLater(delay, waiting.callback, None)
    return waiting
