"""Text from and for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from autobahnlike.exception import PayloadExceededError

__all__ = ("LineSplitter", "format_binary", "printable")

# Letters of many scripts, and many emoji, are joined with these.
_JOINERS = frozenset("\u200c\u200d")

_SHOWN_BYTES = 64


def printable(text: str, keep: str = "") -> str:
    """Return text as it can be shown on a terminal or in a log, whoever wrote it.

    A terminal obeys control characters: they move the cursor, rename the window, or answer as if somebody had typed.
    Others change the direction of what follows. They are shown as escapes instead.

    Args:
        text: anything.
        keep: control characters that may stay, such as line feeds in a message of several lines.
    """
    if text.isprintable():
        return text
    harmless = _JOINERS.union(keep)
    return "".join(
        character if character.isprintable() or character in harmless else ascii(character)[1:-1] for character in text
    )


def format_binary(payload: bytes) -> str:
    """Return one line that describes a binary message: its length and its first bytes."""
    more = "…" if len(payload) > _SHOWN_BYTES else ""
    return f"(binary, {len(payload)} bytes) {payload[:_SHOWN_BYTES].hex(' ')}{more}"


class LineSplitter:
    """Cuts a stream into lines.

    Args:
        limit: bytes that a line may have, 0 for any number.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next piece of the stream.

        Args:
            chunk: the piece; ``b""`` is the end, which also ends the last line, if there is one.

        Yields:
            The lines that are complete, without their line ends.

        Raises:
            PayloadExceededError: a line is over the limit.
        """
        pending = self._pending
        searched = len(pending)
        pending += chunk
        start = 0
        while (end := pending.find(b"\n", max(start, searched))) >= 0:
            yield self._line(pending[start:end])
            start = end + 1
        del pending[:start]
        if not chunk and pending:
            yield self._line(pending[:])
            pending.clear()
        # Without its line end, which may be the next thing to come.
        self._check(len(pending.removesuffix(b"\r")))

    def _line(self, line: bytearray) -> bytes:
        line = line.removesuffix(b"\r")
        self._check(len(line))
        return bytes(line)

    def _check(self, size: int) -> None:
        if self._limit and size > self._limit:
            raise PayloadExceededError(f"a line has more than {self._limit} bytes, which is the limit of a message")
