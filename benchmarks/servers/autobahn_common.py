"""What Autobahn's servers do on both loops."""

from __future__ import annotations

from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from benchmarks.servers.common import Arguments

__all__ = ("configure", "make_protocol")


def make_protocol(base: Any, arguments: Arguments) -> Any:
    """Return a protocol class.

    Args:
        base: Autobahn's class for the loop.
        arguments: what it has to do.
    """

    class Echo(base):
        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.sendMessage(payload, isBinary)

    class Broadcast(base):
        clients: set[Any] = set()  # noqa: RUF012

        def onOpen(self) -> None:
            self.clients.add(self)

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            message = self.factory.prepareMessage(payload, isBinary)
            for client in self.clients:
                client.sendPreparedMessage(message)

        def onClose(self, wasClean: bool, code: int, reason: str) -> None:
            self.clients.discard(self)

    return Broadcast if arguments.broadcast else Echo


def configure(factory: Any, arguments: Arguments) -> None:
    """Accept compression if it is asked for, and check what it checks by default."""

    def accept(offers: list[Any]) -> Any:
        for offer in offers:
            if isinstance(offer, PerMessageDeflateOffer):
                return PerMessageDeflateOfferAccept(offer)
        return None

    if arguments.deflate:
        factory.setProtocolOptions(perMessageCompressionAccept=accept)
