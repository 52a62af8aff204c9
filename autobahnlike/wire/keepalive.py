"""Automatic pings: when to send one, and when to give the peer up.

A connection whose peer has vanished looks like one whose peer has nothing to say. So after an interval a ping is sent
(RFC 6455, section 5.5.2: "a means to verify that the remote endpoint is still responsive"), and if no sign of life
comes within the time-out, the peer is taken for gone.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ("Keepalive",)


class Keepalive:
    """The schedule of one connection's automatic pings. It is told the time; all times are in seconds.

    Args:
        interval: from the start, or the last sign of life that a ping asked for, to the next ping. 0: no pings.
        timeout: how long to wait for a sign of life after a ping. 0: for ever.
        size: payload of a ping, in bytes. It is random, so that a pong can only answer this very ping.
        any_traffic: whether whatever the peer sends is a sign of life, or only the pong.
        random_bytes: where the payload comes from.

    Attributes:
        deadline: when ``due`` wants to be called, or None.
        rtt: the last measured round-trip time, or None.
    """

    __slots__ = (
        "_any_traffic",
        "_heard",
        "_interval",
        "_payload",
        "_random_bytes",
        "_sent",
        "_size",
        "_suspended",
        "_timeout",
        "deadline",
        "rtt",
    )

    def __init__(
        self,
        interval: float,
        timeout: float,
        size: int,
        *,
        any_traffic: bool,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._interval = interval
        self._timeout = timeout
        self._size = size
        self._any_traffic = any_traffic
        self._random_bytes = random_bytes
        self._payload: bytes | None = None
        self._sent = 0.0
        self._heard = 0.0
        self._suspended = False
        self.deadline: float | None = None
        self.rtt: float | None = None

    def start(self, now: float) -> None:
        """Schedule the first ping."""
        if self._interval:
            self.deadline = now + self._interval

    def stop(self) -> None:
        """Send no more pings and wait for no more pongs."""
        self.deadline = None
        self._payload = None

    def heard(self, now: float) -> None:
        """Note that the peer sent something, or took something we sent."""
        self._heard = now

    def ping(self, now: float) -> bytes:
        """Return the payload of a ping that is sent now, and wait for the answer."""
        self._payload = self._random_bytes(self._size)
        self._sent = now
        self.deadline = now + self._timeout if self._timeout else None
        return self._payload

    def pong(self, payload: bytes, now: float) -> bool:
        """Note a pong; tell whether it answers the ping that is waited for, and measure the round trip if so."""
        if self._payload is None or payload != self._payload:
            return False
        self.rtt = now - self._sent
        self._rest(now)
        return True

    def suspend(self) -> None:
        """Do not give the peer up: we have stopped to read, and would not see its pong."""
        self._suspended = True

    def resume(self, now: float) -> None:
        """We read again; if we had stopped to, the peer gets the full time-out from now."""
        if self._suspended:
            self._suspended = False
            if self._payload is not None and self._timeout:
                self.deadline = now + self._timeout

    def due(self, now: float) -> bytes | None:
        """Do what the deadline was for.

        Returns:
            The payload of a ping to send, or None if there is nothing to do.

        Raises:
            TimeoutError: the peer gave no sign of life in time.
        """
        if self.deadline is None or now < self.deadline:
            return None
        if self._payload is None:
            return self.ping(now)
        if self._suspended:
            self.deadline = now + self._timeout
            return None
        if self._any_traffic and self._heard > self._sent:
            self._rest(self._heard)
            return None if self.deadline is None or now < self.deadline else self.ping(now)
        raise TimeoutError

    def _rest(self, now: float) -> None:
        self._payload = None
        self.deadline = now + self._interval if self._interval else None
