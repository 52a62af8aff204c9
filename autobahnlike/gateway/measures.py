"""What is measured in a gateway, beside its counters: how long handlers take, and with which codes connections end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

__all__ = ("BOUNDS", "Histogram", "Measures")

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds of the buckets of a histogram, in seconds; the last one is of what API Gateway permits."""

# A client can choose among 4,000.
_MAX_CODES = 64
_OTHER = 0


class Histogram:
    """How often something took how long.

    Attributes:
        counts: how often it took no longer than each of ``BOUNDS`` and longer than the one before; then, how often it
            took longer than the last.
        sum: how long it took in all, in seconds.
        bounds: see ``BOUNDS``.
    """

    __slots__ = ("counts", "sum")

    bounds = BOUNDS

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Take in how long it took once."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def __add__(self, other: Histogram) -> Histogram:
        total = Histogram()
        total.counts = [one + another for one, another in zip(self.counts, other.counts, strict=True)]
        total.sum = self.sum + other.sum
        return total


class Measures:
    """What is measured.

    Args:
        clock: gives the time in seconds; it does not go back.

    Attributes:
        closed: the connections that have ended, by their close code; 1006 if there was none, 1005 if it was empty.
            Codes above the first 64 that were seen are counted as 0.
        durations: how long the handlers of each route took, in seconds. One that was given up took until then.
        running: the handlers that were called and have not ended, those that wait for a thread included.
        pending: the messages of clients for which no handler was called yet.
        queued_messages: the messages to clients, and their closes, that were not handed to the server yet.
        queued_bytes: what they have.
    """

    __slots__ = ("_clock", "closed", "durations", "pending", "queued_bytes", "queued_messages", "running")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.closed: dict[int, int] = {}
        self.durations: dict[str, Histogram] = {}
        self.running = 0
        self.pending = 0
        self.queued_messages = 0
        self.queued_bytes = 0
        self._clock = clock

    def count_closed(self, code: int) -> None:
        """A connection has ended."""
        if code not in self.closed and len(self.closed) >= _MAX_CODES:
            code = _OTHER
        self.closed[code] = self.closed.get(code, 0) + 1

    def count_queued(self, messages: int, size: int) -> None:
        """So many messages, which have so many bytes, wait more than before, or less."""
        self.queued_messages += messages
        self.queued_bytes += size

    def begin(self) -> float:
        """A handler is called; returns what ``end`` is to be given."""
        self.running += 1
        return self._clock()

    def end(self, route_key: str, began: float) -> None:
        """The handler of a route has ended."""
        self.running -= 1
        histogram = self.durations.get(route_key)
        if histogram is None:
            histogram = self.durations[route_key] = Histogram()
        histogram.observe(self._clock() - began)
