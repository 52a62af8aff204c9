"""What ``serve echo`` serves, whatever the loop: every message comes back, and browsers get a page to try it with."""

from __future__ import annotations

import logging

from autobahnlike.cli.page import PAGE
from autobahnlike.cli.text import printable
from autobahnlike.websocket.protocol import WebSocketServerProtocol

__all__ = ("EchoDemo", "announce", "log_to_stderr")

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


def announce(urls: list[str], loop: str) -> None:
    """Print where the server listens, for people and for programmes that wait for it.

    Args:
        urls: where.
        loop: what it runs on.
    """
    print(f"Listening on {' and '.join(urls)} ({loop})", flush=True)


def log_to_stderr() -> None:
    """Show who comes and goes, and what goes wrong."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    # Each port and each factory that starts or stops has a line of its own there.
    logging.getLogger("twisted").setLevel(logging.WARNING)
