"""What can be set of a server for ASGI applications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autobahnlike.exception import InvalidArgument

__all__ = ("ServerOptions",)

_LIFESPANS = ("auto", "on", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What can be set. Sizes are in bytes, times in seconds; 0 is no bound.

    Attributes:
        root_path: where the application is mounted, such as ``/api``, if a proxy in front takes that off the path.
        proxies: how many proxies in front are trusted to say who the client is and whether it uses TLS, in
            ``X-Forwarded-For`` and ``X-Forwarded-Proto``; each has to append to the former. 0 is none: whoever can
            connect without going through them can write there what it likes.
        lifespan: "on" if an application has to support the lifespan protocol, "off" if it is not asked, "auto" to go on
            without where an application raises an exception when it is asked.
        access_log: whether each request is worth a line on the logger ``autobahnlike.access``.
        server_header: the value of the header Server, None for none.
        max_head_size: the most that the head of a request may have.
        head_timeout: how long the head of a request may take.
        keep_alive_timeout: how long a connection may wait for its next request.
        max_body_size: the most that the body of a request may have; more is answered with 413.
        body_timeout: how long an application waits for the next piece of a body; then the client is answered with 408.
        write_timeout: how long a client may take nothing of a response that is waiting for it; then it is given up.
        accept_timeout: how long an application may take to accept or deny a WebSocket; then the connection is dropped.
        max_denial_size: the most that the body of a response that denies a WebSocket may have.
        receive_queue_size: how much of what a WebSocket's client sends is kept for an application that does not receive
            it; then the client is not read any more.
        drain_timeout: over how long WebSockets are closed, one after another, when the server stops, so that not all
            clients come back at once; the close code is 1012, "service restart", then. 0 closes all of them at once,
            with 1001, "going away".
        shutdown_timeout: how long requests and WebSockets may go on when the server stops, and all WebSockets have been
            told; then they are cancelled. 0 is no time at all.
        websocket: options of the WebSockets, by the names of ``setProtocolOptions``, such as
            ``{"maxMessagePayloadSize": 65536}``. Of the opening handshake they bound the application's part only.

    Raises:
        InvalidArgument: an option has a value that it cannot have.
    """

    root_path: str = ""
    proxies: int = 0
    lifespan: str = "auto"
    access_log: bool = False
    server_header: str | None = "autobahnlike"
    max_head_size: int = 65536
    head_timeout: float = 5.0
    keep_alive_timeout: float = 5.0
    max_body_size: int = 16777216
    body_timeout: float = 30.0
    write_timeout: float = 60.0
    accept_timeout: float = 60.0
    max_denial_size: int = 1048576
    receive_queue_size: int = 65536
    drain_timeout: float = 0.0
    shutdown_timeout: float = 10.0
    websocket: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.lifespan not in _LIFESPANS:
            raise InvalidArgument(f"lifespan must be one of {', '.join(_LIFESPANS)}, not {self.lifespan!r}")
        if self.root_path and not self.root_path.startswith("/"):
            raise InvalidArgument(f"root_path must begin with /, as in /api, unlike {self.root_path!r}")
        if isinstance(self.proxies, bool) or not isinstance(self.proxies, int):
            raise InvalidArgument(f"proxies is a number of proxies, not {self.proxies!r}")
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and not value >= 0:
                raise InvalidArgument(f"{name} must be at least 0, not {value!r}")

    def of_websockets(self) -> dict[str, Any]:
        """Return the options for ``setProtocolOptions``."""
        return {"webStatus": False, "openHandshakeTimeout": self.accept_timeout, **self.websocket}
