"""How a backplane on Redis behaves: names, intervals, limits."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ("RedisOptions",)

_COUNTS = frozenset({"history", "max_message_size", "max_reply_size", "max_pending", "max_pending_bytes"})


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How a backplane on Redis behaves. All nodes that are to find each other need the same ``prefix``.

    Attributes:
        prefix: what the names of all keys and channels begin with; 1 to 64 bytes of ASCII without braces and spaces.
        heartbeat_interval: seconds between two signs of life of a node; every node also looks that often for dead ones,
            and publishes something to itself to see whether it still hears.
        node_timeout: seconds without a sign of life after which a node is taken for dead; at least three intervals.
        verdict_timeout: seconds that a send waits for the verdict of another node, if nothing else was asked for.
        connect_timeout: seconds that connecting may take, and logging in.
        command_timeout: seconds until a reply must have come; otherwise the connection is taken for broken.
        patience: seconds for which commands are held, and not refused, when the connection is lost.
        min_backoff: seconds until the second attempt to connect; the first is made at once.
        max_backoff: seconds that the time between two attempts doubles up to.
        history: messages that are kept of each room, to fill gaps from; Redis keeps somewhat more.
        history_ttl: seconds after which a room that nobody listens to and publishes to is forgotten.
        room_check_interval: seconds after which a node checks that it has missed nothing in a quiet room.
        max_message_size: bytes of the largest message to another node or a room. Redis cuts a subscriber off that has
            32 MB before it, or 8 MB for a minute, so that this should stay well below.
        max_reply_size: bytes of the largest reply, at least 16 times ``max_message_size``: that many messages of a
            room are read at once.
        max_pending: commands that may be without a reply, or held.
        max_pending_bytes: what they may have in bytes.

    Raises:
        ValueError: a value is out of range.
    """

    prefix: str = "autobahnlike"
    heartbeat_interval: float = 1.0
    node_timeout: float = 5.0
    verdict_timeout: float = 5.0
    connect_timeout: float = 5.0
    command_timeout: float = 5.0
    patience: float = 1.0
    min_backoff: float = 0.1
    max_backoff: float = 3.0
    history: int = 1000
    history_ttl: float = 3600.0
    room_check_interval: float = 30.0
    max_message_size: int = 1024 * 1024
    max_reply_size: int = 32 * 1024 * 1024
    max_pending: int = 20_000
    max_pending_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if not (0 < len(self.prefix) <= 64 and self.prefix.isascii() and self.prefix.isprintable()) or (
            set(self.prefix) & set("{} ")
        ):
            raise ValueError(f"prefix is 1 to 64 characters of ASCII without braces and spaces, unlike {self.prefix!r}")
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _COUNTS and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{each.name} is a number of 1 or more, not {value!r}")
            if each.name != "prefix" and each.name != "patience" and not value > 0:
                raise ValueError(f"{each.name} is more than 0, not {value!r}")
        if self.patience < 0:
            raise ValueError(f"patience is 0 or more, not {self.patience!r}")
        if self.node_timeout < 3 * self.heartbeat_interval:
            raise ValueError(
                "node_timeout is at least three times heartbeat_interval; living nodes would be taken for dead"
            )
        if self.max_reply_size < 16 * self.max_message_size:
            raise ValueError("max_reply_size is at least 16 times max_message_size")
        if self.max_backoff < self.min_backoff:
            raise ValueError("max_backoff is not less than min_backoff")
