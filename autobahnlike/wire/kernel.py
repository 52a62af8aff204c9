"""The loops over single bytes: unmasking, UTF-8 that arrives in pieces, the headers of frames and of requests.

All else in the core is one source that runs as Python, and compiled. This is the part that is written twice: here for
readers, and for machines that have no compiler; in ``kernel.pyx`` for those that have.
"""

from __future__ import annotations

from autobahnlike.wire.frames import frame_header
from autobahnlike.wire.headers import OPTIONAL_WHITESPACE, TEXT_BYTES, TOKEN_BYTES
from autobahnlike.wire.masking import apply_mask, rotate_mask
from autobahnlike.wire.utf8 import Utf8Decoder, is_utf8

__all__ = ("Assembly", "apply_mask", "is_utf8", "put_frame", "put_header", "read_fields", "unmask")

# Up to this size, what a call costs is worth saving.
_SMALL = 2048


def unmask(data: bytes, start: int, end: int) -> bytes:
    """Return ``data[start:end]`` unmasked with the masking key that stands in the four bytes in front of it.

    Raises:
        IndexError: there are no such bytes.
    """
    if not 4 <= start <= end <= len(data):
        raise IndexError(f"no masked bytes {start} to {end} in {len(data)}")
    size = end - start
    if size > _SMALL:
        return apply_mask(data[start:end], data[start - 4 : start])
    # As apply_mask does it, without the call.
    key = (data[start - 4 : start] * ((size + 3) >> 2))[:size]
    from_bytes = int.from_bytes
    return (from_bytes(data[start:end], "little") ^ from_bytes(key, "little")).to_bytes(size, "little")


def put_frame(out: bytearray, first_byte: int, payload: bytes, key: bytes | None) -> None:
    """Append a frame.

    Args:
        out: what to append it to.
        first_byte: the opcode with the FIN and RSV bits.
        payload: the payload, not masked yet.
        key: the masking key, four bytes, or None for a frame that is not masked.

    Raises:
        ValueError: the key does not have four bytes.
    """
    length = len(payload)
    if key is None and length < 126:
        out += bytes((first_byte, length))
        out += payload
    else:
        put_header(out, first_byte, length, key)
        out += payload if key is None else apply_mask(payload, key)


def read_fields(data: bytes, start: int, end: int, max_line: int, max_fields: int) -> list[tuple[str, str]] | None:
    """Read header lines that are as they usually are: tokens, colons, and values of printable ASCII.

    Args:
        data: what has the lines in it.
        start: where the first of them begins.
        end: where the last of them ends, its CR LF not included.
        max_line: bytes that a line may have.
        max_fields: lines that there may be.

    Returns:
        The name and the value of each, without the whitespace around the value; None if a line is anything else, which
        need not be wrong.

    Raises:
        IndexError: there are no such bytes.
    """
    if not 0 <= start <= end <= len(data):
        raise IndexError(f"no bytes {start} to {end} in {len(data)}")
    head = data[start:end]
    lines = head.decode("latin-1").split("\r\n")
    if (
        len(lines) > max_fields
        # Nothing but text between the line ends.
        or head.translate(None, TEXT_BYTES) != b"\r\n" * (len(lines) - 1)
        or (end - start > max_line and max(map(len, lines)) > max_line)
    ):
        return None
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name:
            return None
        fields.append((name, value.strip(OPTIONAL_WHITESPACE)))
    if "".join([name for name, _ in fields]).encode("ascii").translate(None, TOKEN_BYTES):
        return None
    return fields


def put_header(out: bytearray, first_byte: int, length: int, key: bytes | None) -> None:
    """Append the header of a frame whose payload, of so many bytes, follows; see ``put_frame``."""
    if key is not None and len(key) != 4:
        raise ValueError("a masking key has four bytes")
    out += frame_header(first_byte, length, key)


class Assembly:
    """A message that arrives in pieces: frames, and pieces of frames.

    Its memory grows with what has arrived, up to four times that, and less than six while it is moved to where there is
    more room; not with what was announced.

    Attributes:
        size: bytes that it holds.
    """

    __slots__ = ("_key", "_message", "_utf8", "size")

    def __init__(self) -> None:
        self._message = bytearray()
        self._key: bytes | None = None
        self._utf8: Utf8Decoder | None = None
        self.size = 0

    def begin_message(self, is_text: bool) -> None:
        """Begin a message.

        Args:
            is_text: whether it has to be UTF-8.
        """
        self._utf8 = Utf8Decoder() if is_text else None

    def begin_frame(self, key: bytes | None) -> None:
        """Begin a frame of the message.

        Args:
            key: the masking key, four bytes, or None if the payload is not masked.

        Raises:
            ValueError: the key does not have four bytes.
        """
        if key is not None and len(key) != 4:
            raise ValueError("a masking key has four bytes")
        self._key = key

    def unmask(self, data: bytes, start: int, end: int) -> bytes:
        """Return the next piece of the frame, ``data[start:end]``, unmasked; it is not added.

        Raises:
            IndexError: there are no such bytes.
        """
        if not 0 <= start <= end <= len(data):
            raise IndexError(f"no bytes {start} to {end} in {len(data)}")
        piece = data[start:end]
        key = self._key
        if key is None:
            return piece
        self._key = rotate_mask(key, end - start)
        return apply_mask(piece, key)

    def add(self, data: bytes, start: int, end: int) -> bool:
        """Add the next piece of the frame, ``data[start:end]``, which is masked if the frame is.

        Returns:
            False if the message is text and what has come can no longer be the beginning of valid UTF-8.

        Raises:
            IndexError: there are no such bytes.
        """
        return self.append(self.unmask(data, start, end))

    def append(self, data: bytes) -> bool:
        """Add what is not masked; see ``add``."""
        self._message += data
        self.size += len(data)
        return self._utf8 is None or self._utf8.feed(data)

    def room(self, wanted: int) -> memoryview | None:
        """Give memory into which the next piece of the frame may be received; then call ``filled``.

        Args:
            wanted: the most that is of use, in bytes.

        Returns:
            Memory for up to so many bytes, three times what has arrived at the most; None if there is none, as always
            here: in Python, what is received in place is copied all the same, to be unmasked.
        """
        return None

    def filled(self, count: int) -> bool:
        """Add what was received into the memory that ``room`` gave; see ``add``.

        Args:
            count: how many bytes.

        Raises:
            ValueError: there was no room for so many.
        """
        raise ValueError("there was no room for that")

    def complete(self) -> bool:
        """Tell whether a text may end here."""
        return self._utf8 is None or self._utf8.complete()

    def take(self) -> bytes:
        """Return the message, and forget it."""
        message = bytes(self._message)
        self.clear()
        return message

    def clear(self) -> None:
        """Forget what has come."""
        self._message = bytearray()
        self.size = 0
