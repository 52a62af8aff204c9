"""Where to listen: what people write, and the sockets that it means.

The sockets are opened here and handed to the loop, so that all four loops listen alike. Left to themselves they differ:
asyncio takes the path of a Unix domain socket away from a server that still listens there, Twisted does not even take a
stale one, and Twisted listens on addresses only, not on names.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import NamedTuple, TypeAlias

from autobahnlike.exception import InvalidArgument
from autobahnlike.wire.uri import create_url

__all__ = ("BACKLOG", "LOOPBACK", "Address", "TcpAddress", "UnixAddress", "open_sockets", "parse_address", "url_of")

LOOPBACK = "127.0.0.1"
"""Where to listen if only a port is said: on this machine only."""

BACKLOG = 2048
"""How many connections may wait to be accepted, as far as the system permits: all clients of a node that was replaced
may come to another one in the same second."""

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class TcpAddress(NamedTuple):
    """A TCP port.

    Attributes:
        host: a name or an address, IPv6 without brackets.
        port: the port, 0 for any that is free.
    """

    host: str
    port: int


class UnixAddress(NamedTuple):
    """A Unix domain socket.

    Attributes:
        path: its absolute path.
    """

    path: str


Address: TypeAlias = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Parse ``9000``, ``host:9000``, ``[::1]:9000`` or ``unix:path/of/socket``; a port alone is on 127.0.0.1.

    Raises:
        InvalidArgument: the text is none of these.
    """
    if text.startswith("unix:"):
        if text == "unix:":
            raise InvalidArgument("the path of the Unix domain socket is missing")
        return UnixAddress(os.path.abspath(text.removeprefix("unix:")))
    host, colon, port = text.rpartition(":")
    if not colon:
        host = LOOPBACK
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise InvalidArgument("give a port from 0 to 65535, host:port, or unix:PATH")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidArgument("write an IPv6 address in brackets: [::1]:9000")
    if not host:
        raise InvalidArgument("the host is missing; 0.0.0.0 and [::] are all addresses of this machine")
    return TcpAddress(host, int(port))


def open_sockets(address: Address) -> list[socket.socket]:
    """Open listening sockets, one for each of the addresses that a name has, all on the same port.

    Raises:
        OSError: that is not possible.
    """
    if isinstance(address, UnixAddress):
        return [_open_unix(address.path)]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        raise OSError(f"{address.host!a} is not a host name") from None
    sockets: list[socket.socket] = []
    unavailable = None
    port = address.port
    for family, (host, _, *scope) in dict.fromkeys((entry[0], entry[4]) for entry in found):
        try:
            sock = socket.create_server((host, port, *scope), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                _close(sockets)
                raise
            # localhost is often listed as ::1 as well where there is no IPv6.
            unavailable = error
            continue
        sock.setblocking(False)
        port = sock.getsockname()[1]
        sockets.append(sock)
    if not sockets and unavailable is not None:
        raise unavailable
    return sockets


def url_of(sock: socket.socket, scheme: str = "ws") -> str:
    """Return the URL at which a listening socket can be reached.

    Args:
        sock: the socket.
        scheme: "ws", "wss", "http" or "https".
    """
    name = sock.getsockname()
    url = create_url("unix", name) if isinstance(name, str) else create_url(name[0], name[1])
    return f"{scheme}{url.removeprefix('ws')}"


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _open_unix(path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this platform has no Unix domain sockets")
    sock = socket.socket(socket.AF_UNIX)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_stale(path):
                raise
            os.unlink(path)
            sock.bind(path)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _is_stale(path: str) -> bool:
    """Whether a path is a socket on which nobody listens any more, as a server that was killed leaves it behind."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == errno.ECONNREFUSED
