"""What went over a connection, counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, overload

from autobahnlike.wire.connection import Connection

__all__ = ("TrafficStats",)


class _Counter:
    """An attribute of ``TrafficStats``: what the connection has counted since the last reset."""

    def __init__(self, read: Callable[[Connection], int], meaning: str) -> None:
        self._read = read
        self.__doc__ = meaning

    def __set_name__(self, owner: type[TrafficStats], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, stats: None, owner: type[TrafficStats]) -> _Counter: ...

    @overload
    def __get__(self, stats: TrafficStats, owner: type[TrafficStats]) -> int: ...

    def __get__(self, stats: TrafficStats | None, owner: type[TrafficStats]) -> _Counter | int:
        if stats is None:
            return self
        return self.total(stats) - stats._base.get(self._name, 0)

    def total(self, stats: TrafficStats) -> int:
        """Return the count since the connection was made."""
        return 0 if stats._connection is None else self._read(stats._connection)


def _received(name: str) -> Callable[[Connection], int]:
    return lambda connection: 0 if connection.reader is None else int(getattr(connection.reader, name))


def _sent(name: str) -> Callable[[Connection], int]:
    return lambda connection: int(getattr(connection.output, name))


def _octets_sent(connection: Connection) -> int:
    # What is queued counts as sent, as it does in the other counters. A connection that is dropped forgets what is
    # queued, which may be more than was ever written.
    if connection.reader is None:
        return 0
    return max(0, connection.octets_sent + connection.output.size - connection.handshake_octets_sent)


def _octets_received(connection: Connection) -> int:
    return 0 if connection.reader is None else connection.octets_received - connection.handshake_octets_received


class TrafficStats:
    """What was sent and received on one connection. The attributes are always up to date.

    The connection counts anyway, and these are read off its counters when somebody asks, so they cost nothing per
    message. Without a connection everything is 0.
    """

    __slots__ = ("_base", "_connection")

    outgoingOctetsWireLevel = _Counter(
        _octets_sent, "Bytes sent since the connection is open, control frames included."
    )
    outgoingOctetsWebSocketLevel = _Counter(_sent("payload_octets"), "Bytes of payload in the data frames sent.")
    outgoingOctetsAppLevel = _Counter(_sent("message_octets"), "Bytes of the messages sent, before compression.")
    outgoingWebSocketFrames = _Counter(_sent("frames"), "Data frames sent.")
    outgoingWebSocketMessages = _Counter(_sent("messages"), "Messages sent.")
    incomingOctetsWireLevel = _Counter(
        _octets_received, "Bytes received since the connection is open, control frames included."
    )
    incomingOctetsWebSocketLevel = _Counter(
        _received("payload_octets"), "Bytes of payload in the data frames received."
    )
    incomingOctetsAppLevel = _Counter(_received("message_octets"), "Bytes of the messages received, after inflation.")
    incomingWebSocketFrames = _Counter(_received("frames"), "Data frames received.")
    incomingWebSocketMessages = _Counter(_received("messages"), "Messages received.")
    preopenOutgoingOctetsWireLevel = _Counter(
        lambda connection: connection.handshake_octets_sent, "Bytes sent for the opening handshake."
    )
    preopenIncomingOctetsWireLevel = _Counter(
        lambda connection: connection.handshake_octets_received, "Bytes received for the opening handshake."
    )

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._base: dict[str, int] = {}

    @classmethod
    def of(cls, connection: Connection) -> TrafficStats:
        """Return the statistics of a connection. Keep them: ``reset`` is remembered here, not in the connection.

        Args:
            connection: the connection, which is only read.
        """
        stats = cls()
        stats._connection = connection
        return stats

    def reset(self) -> None:
        """Count from 0 again."""
        self._base = {name: counter.total(self) for name, counter in _COUNTERS.items()}

    def __json__(self) -> dict[str, Any]:
        """Return the counters, and what follows from them, as a dictionary.

        A compression ratio is the payload on the wire by that of the application; an overhead is what the wire carries
        beside the payload, by the payload. Both are None where there is nothing to divide by.
        """
        counters: dict[str, Any] = {name: getattr(self, name) for name in _COUNTERS}
        for direction in ("outgoing", "incoming"):
            wire, payload, message = (
                counters[f"{direction}Octets{level}Level"] for level in ("Wire", "WebSocket", "App")
            )
            counters[f"{direction}CompressionRatio"] = payload / message if message else None
            counters[f"{direction}WebSocketOverhead"] = (wire - payload) / payload if payload else None
        return counters

    def __str__(self) -> str:
        return json.dumps(self.__json__())


_COUNTERS = {name: value for name, value in vars(TrafficStats).items() if isinstance(value, _Counter)}
