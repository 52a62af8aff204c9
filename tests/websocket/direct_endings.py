"""The ways in which a connection ends, each as what the peer does and what the server's hooks do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.wire.helpers import MASK, TEXT, close_frame

from .direct_kit import Arena, Noting, Peer, Visit, client_frame

BROKE_OFF = (
    False,
    1006,
    'connection was closed uncleanly ("peer dropped the TCP connection without previous WebSocket closing handshake")',
)


class Raising(Noting):
    """Fails at the second message."""

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        """Fail, or send it back."""
        if payload == b"fail":
            raise ValueError("on purpose")
        return super().onMessage(payload, isBinary)


class Doing(Noting):
    """Notes messages, and does what a message names.

    What it has got when it ends is told to the arena along with how it ended.
    """

    def onMessage(self, payload: bytes, isBinary: bool) -> Any:
        """Note it, then do it."""
        self.events.append(payload)
        app: Any = self
        if payload == b"close":
            app.sendClose(3000, "enough")
        elif payload == b"drop":
            app.dropConnection(abort=True)
        elif payload == b"drop gently":
            app.dropConnection()
        elif payload == b"transport":
            transport = app.transport
            (transport.abort if hasattr(transport, "abort") else transport.abortConnection)()
        elif payload == b"transport gently":
            transport = app.transport
            (transport.close if hasattr(transport, "close") else transport.loseConnection)()
        else:
            self.sendMessage(payload, isBinary)  # type: ignore[attr-defined]


class Ending:
    """A way for a connection to end.

    Args:
        script: what the peer does once it is open and has had an echo.
        hooks: what the server does.
        is_race: whether it depends on the transport how much of what was sent is still written.
        **options: those of the server's factory.
    """

    def __init__(
        self, script: Callable[[Visit, Peer], Any], hooks: type = Doing, *, is_race: bool = False, **options: Any
    ) -> None:
        self.script = script
        self.hooks = hooks
        self.is_race = is_race
        self.options = options

    def happens(self, arena: Arena) -> tuple[Any, ...]:
        """Have it happen, and return what was seen of it."""
        seen: list[Any] = []

        def script(visit: Visit) -> None:
            peer = visit.open()
            peer.echo(b"first")
            answer = self.script(visit, peer)
            seen.append(None if self.is_race else answer)
            peer.close()
            seen.append(visit.outcome())

        arena.serve(script, self.hooks, **self.options)
        assert len(arena.ended) == 1
        return (*seen, arena.opened[0].events, len(arena.errors))


def close_first(visit: Visit, peer: Peer) -> Any:
    """The peer closes."""
    peer.send(close_frame(1000, b"bye", mask=MASK))
    return peer.end()


def half_close_silently(visit: Visit, peer: Peer) -> Any:
    """The peer ends its side without a word."""
    peer.half_close()
    return peer.end()


def half_close_politely(visit: Visit, peer: Peer) -> Any:
    """The peer closes, and ends its side at once."""
    peer.send(client_frame(2, b"last"), close_frame(1000, mask=MASK))
    peer.half_close()
    return peer.end()


def half_close_within_a_message(visit: Visit, peer: Peer) -> Any:
    """The peer ends its side with a message begun."""
    peer.send(client_frame(2, bytes(100_000))[:60_000])
    peer.half_close()
    return peer.end()


def reset_within_a_message(visit: Visit, peer: Peer) -> Any:
    """The peer drops the connection with a message begun, of which the server has read most."""
    peer.send(client_frame(2, bytes(1_000_000))[:900_000])
    server = visit.arena.opened[-1]
    visit.until(lambda: server._session.connection.octets_received > 900_000)
    peer.reset()


def violate(visit: Visit, peer: Peer) -> Any:
    """The peer sends what may not be, and messages behind it."""
    peer.send(client_frame(2, b"before"), client_frame(3, b"bad"), client_frame(2, b"behind"))
    answer = peer.frame(), peer.frame()
    peer.send(close_frame(1002, mask=MASK))
    return answer, peer.end()


def not_utf8_within_a_large_frame(visit: Visit, peer: Peer) -> Any:
    """The peer sends half of a large text that is none."""
    text = client_frame(TEXT, b"x" * 500_000 + b"\xff" + bytes(500_000))
    peer.send(text[:600_000])
    answer = peer.frame()
    peer.send(text[600_000:], close_frame(1007, mask=MASK))
    return answer, peer.end()


def have(word: bytes) -> Callable[[Visit, Peer], Any]:
    """The server does something in a hook, while there is more in what it has read."""

    def script(visit: Visit, peer: Peer) -> Any:
        peer.send(*[client_frame(2, payload) for payload in (b"before", word, b"behind", b"behind that")])
        if word in (b"close", b"fail"):
            answer = peer.frame(), peer.frame()
            peer.send(close_frame(1000, mask=MASK))
            return answer, peer.end()
        return peer.end()

    return script


def violate_once(peer: Peer) -> Any:
    """The peer sends what may not be."""
    peer.send(client_frame(3))
    return peer.end()


ENDINGS = {
    "the peer closes": Ending(close_first),
    "the peer ends its side": Ending(half_close_silently),
    "the peer closes and ends its side": Ending(half_close_politely, is_race=True),
    "the peer ends its side within a message": Ending(half_close_within_a_message),
    "a reset within a message": Ending(reset_within_a_message),
    "a violation": Ending(violate),
    "a violation, dropped": Ending(lambda visit, peer: violate_once(peer), failByDrop=True),
    "no text": Ending(not_utf8_within_a_large_frame),
    "close in a hook": Ending(have(b"close")),
    "drop in a hook": Ending(have(b"drop")),
    "drop gently in a hook": Ending(have(b"drop gently")),
    "the transport's abort in a hook": Ending(have(b"transport"), is_race=True),
    "the transport's close in a hook": Ending(have(b"transport gently"), is_race=True),
    "an exception in a hook": Ending(have(b"fail"), type("RaisingDoing", (Raising, Doing), {})),
}
