"""What ``serve echo`` serves, whatever the loop: every message comes back, and browsers get a page to try it with."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from autobahnlike.cli.page import PAGE
from autobahnlike.cli.text import printable
from autobahnlike.websocket.protocol import WebSocketServerProtocol

if TYPE_CHECKING:
    from autobahnlike.asgi.run_twisted import Places, Startable

__all__ = ("Echo", "EchoDemo")

_log = logging.getLogger("autobahnlike.cli")


class EchoDemo(WebSocketServerProtocol):
    """The protocol, to be combined with that of a loop."""

    # An echo to the end: who closes with a code and a reason sees them again.
    echoCloseCodeReason = True

    _opened_once = False

    def onOpen(self) -> None:
        """Say who is there."""
        self._opened_once = True
        _log.info("%s connected to %s", self.peer, printable(self.http_request_uri or ""))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send it back. A client that does not read what it is sent is not read either: nothing piles up."""
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Say who went. What never was a WebSocket, such as a browser that loads the page, is not worth a line."""
        if self._opened_once:
            _log.info("%s closed: %s %s", self.peer, code or "no code", printable(reason or ""))

    def sendServerStatus(self, redirectUrl: str | None = None, redirectAfter: int = 0) -> None:
        """Show the page."""
        self.sendHtml(PAGE)


class Echo:
    """The server, as ``run_server`` wants it."""

    scheme = "ws"

    def on_asyncio(self, sockets: Sequence[socket.socket]) -> AbstractAsyncContextManager[None]:
        """See ``Server``."""
        from autobahnlike.cli.echo_asyncio import serving

        return serving(sockets)

    def on_twisted(self, reactor: Any, places: Places) -> Startable:
        """See ``Server``."""
        from autobahnlike.cli import echo_twisted

        return echo_twisted.Echo(reactor, places)
