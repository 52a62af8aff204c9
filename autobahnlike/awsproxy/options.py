"""What a proxy is told: for which hosts it answers itself, and its limits."""

from __future__ import annotations

import dataclasses
import fnmatch
import ipaddress
import math
from collections.abc import Sequence

__all__ = ("AWS_HOSTS", "Network", "ProxyOptions", "parse_network")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

AWS_HOSTS = ("*.execute-api.*.amazonaws.com", "*.execute-api.*.amazonaws.com.cn")
"""Where API Gateway is."""

HTTPS = 443
"""The port that is answered for. Any other one of the same hosts is connected to."""


def parse_network(text: str) -> Network:
    """Return the addresses that a text means: an address, or a network like ``172.17.0.0/16``.

    Raises:
        ValueError: it is neither.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!a} is no address, and no network like 172.17.0.0/16: {error}") from None


@dataclasses.dataclass(frozen=True, slots=True)
class ProxyOptions:
    """What a proxy does, and how much of it. Times are in seconds, sizes in bytes.

    Attributes:
        hosts: patterns of the hosts that the proxy answers for, on port 443: ``*`` is any text.
        only_hosts: whether it refuses all others, instead of connecting to them.
        allowed: who may use it, besides programmes on this machine.
        head_size: the limit of the head of a request.
        head_timeout: how long a client may take to send it.
        connect_timeout: how long connecting may take.
        handshake_timeout: how long the TLS handshake with a client may take.
        idle_timeout: after what time without a byte in either direction a connection is given up.
        max_connections: how many connections there may be at the same time. Each has two sockets, of which a process
            often may have 1024.

    Raises:
        ValueError: one of them is not what it has to be.
    """

    hosts: Sequence[str] = AWS_HOSTS
    only_hosts: bool = False
    allowed: Sequence[Network] = ()
    head_size: int = 16 * 1024
    head_timeout: float = 10.0
    connect_timeout: float = 10.0
    handshake_timeout: float = 10.0
    idle_timeout: float = 300.0
    max_connections: int = 400

    def __post_init__(self) -> None:
        for name in ("head_size", "max_connections"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} has to be 1 or more, not {getattr(self, name)}")
        for name in ("head_timeout", "connect_timeout", "handshake_timeout", "idle_timeout"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} has to be a number of seconds above 0, not {value}")
        for pattern in self.hosts:
            if not pattern or not pattern.isascii() or any(character in "/: " for character in pattern):
                raise ValueError(f"{pattern!a} is no pattern of host names, like *.execute-api.*.amazonaws.com")

    def answers_for(self, host: str, port: int) -> bool:
        """Whether the proxy is that host itself.

        Args:
            host: its name, in lower case.
            port: its port.
        """
        return port == HTTPS and any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in self.hosts)

    def is_allowed(self, client: str) -> bool:
        """Whether an address may use the proxy."""
        return is_loopback(client) or any(_address(client) in network for network in self.allowed)


def is_loopback(host: str) -> bool:
    """Whether an address, in numbers, is this machine alone."""
    try:
        return _address(host).is_loopback
    except ValueError:
        return False


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    # An IPv4 client of a socket that listens on both.
    return getattr(address, "ipv4_mapped", None) or address
