"""RESP, the protocol of Redis and Valkey, without I/O: commands to bytes, bytes to replies; and what can go wrong.

The parser is that of hiredis. Version 3 of the protocol is spoken, where what a subscriber is told is marked as such
and cannot be taken for the reply to a command.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from autobahnlike.backplane.interface import BackplaneError

try:
    import hiredis
except ImportError as error:
    raise ImportError("the backplane for Redis needs hiredis: pip install 'autobahnlike[gateway]'") from error

__all__ = (
    "Argument",
    "Push",
    "RedisBusy",
    "RedisError",
    "RedisLost",
    "RedisMisconfigured",
    "RedisRefused",
    "RedisUnavailable",
    "Reply",
    "RespError",
    "RespReader",
    "pack",
)

Argument: TypeAlias = str | bytes | int
"""What a command consists of; text is sent as UTF-8."""

Reply: TypeAlias = Any
"""Text and binary strings as bytes, arrays as lists, maps as dicts, nothing as None, errors as exceptions."""

Push = hiredis.PushNotification
"""A list that was sent without having been asked for."""


class RedisError(BackplaneError):
    """Redis did not do what it was asked to."""


class RedisUnavailable(RedisError):
    """Redis cannot be reached; the command was not sent."""


class RedisBusy(RedisUnavailable):
    """There are too many commands without a reply; the command was not sent."""


class RedisLost(RedisError):
    """The connection was lost, or Redis did not reply in time: the command may have been carried out or not."""


class RedisMisconfigured(RedisError, ValueError):
    """The address, the password or the server is such that it can never work."""


class RespError(RedisError):
    """What the other end sends is not RESP, or goes beyond a limit."""


class RedisRefused(RedisError):
    """Redis replied with an error.

    Attributes:
        code: its first word, for example ``WRONGPASS``.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code = text.partition(" ")[0]


def pack(arguments: tuple[Argument, ...]) -> bytes:
    """Return a command as bytes."""
    # Its annotation lacks the dots of a tuple of any length.
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]
    return packed


class RespReader:
    """Makes replies of the bytes of one connection.

    Args:
        max_size: the bytes that may come without making a whole reply.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._reader = hiredis.Reader(protocolError=RespError, replyError=RedisRefused)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Take bytes and iterate over the replies that are whole now; an error is one of them, and not raised.

        Raises:
            RespError: it is not RESP, or a reply is too large. The connection is of no use any more.
        """
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            yield reply
        # Up to one KB of what it counts has been read already.
        if self._reader.len() > self._max_size:
            raise RespError(f"Redis sends a reply of more than {self._max_size} bytes")
