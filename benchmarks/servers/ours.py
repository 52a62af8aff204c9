"""What autobahnlike's servers do on every loop: an application as its guide has them, with all defaults.

Only compression is switched off where a scenario has none. A client that does not offer it gets none anyway; the other
libraries are asked the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autobahnlike.websocket.protocol import WebSocketServerProtocol

if TYPE_CHECKING:
    from autobahnlike.websocket.factory import WebSocketServerFactory
    from benchmarks.servers.common import Arguments

__all__ = ("Broadcast", "Echo", "behaviour", "configure")


class Echo(WebSocketServerProtocol):
    """Every message goes back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send it."""
        self.sendMessage(payload, isBinary)


class Broadcast(WebSocketServerProtocol):
    """Every message goes to everybody."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send it."""
        self.factory.broadcast(payload, isBinary)


def behaviour(arguments: Arguments) -> type[WebSocketServerProtocol]:
    """Return the class that does what the command line asks for."""
    return Broadcast if arguments.broadcast else Echo


def configure(factory: WebSocketServerFactory, arguments: Arguments) -> None:
    """Set what differs from the defaults."""
    if not arguments.deflate:
        factory.setProtocolOptions(perMessageCompressionAccept=lambda offers: None)
